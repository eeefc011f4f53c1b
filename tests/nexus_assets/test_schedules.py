"""The schedules, called as the daemon calls them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from nexus_assets.defs.ops.schedules import nightly_snapshot, weekly_curricula
from nexus_assets.policy import REQUESTED_BY
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.versions import drop_specification
from tests.nexus_assets.world import World, make_source

MONDAY = datetime(2026, 3, 2, 6, tzinfo=UTC)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "nexus", durable=True)  # a schedule opens the instance anew


def test_the_snapshot_is_asked_for_once_a_night(world: World) -> None:
    with _context(world) as context:
        data = nightly_snapshot.evaluate_tick(context)
    (run,) = data.run_requests or []
    assert (run.run_key, run.tags[REQUESTED_BY]) == ("2026-03-02", "nightly_snapshot")


class TestWeeklyCurricula:
    @pytest.fixture
    def world(self, world: World) -> World:
        world.ingest("lung", a=make_source())
        return world

    def test_without_specifications_it_says_so(self, world: World) -> None:
        assert _asked(world) == []
        (skipped,) = _evaluated(world)
        assert isinstance(skipped, dg.SkipReason)
        assert "refresh: weekly" in str(skipped.skip_message)

    def test_only_weekly_ones_whose_data_changed_are_asked_for(self, world: World) -> None:
        _, built = world.build(name="weekly", refresh="weekly")
        assert built.success
        world.build(name="never")
        assert _asked(world) == []
        world.ingest("lung", b=make_source(seed=5))
        (run,) = _asked(world)
        assert (run.partition_key, run.run_key) == ("weekly.v2", "2026-03-02:weekly.v2")
        assert run.tags[REQUESTED_BY] == "weekly_curricula"
        assert "weekly.v2" in world.instance.get_dynamic_partitions("curricula")
        assert world.run("build_curriculum", run.partition_key).success
        assert _asked(world) == []

    def test_one_that_cannot_be_built_does_not_keep_the_others_waiting(self, world: World) -> None:
        for name, tissue in (("aaa", "brain"), ("bbb", "lung")):
            content = {"name": name, "refresh": "weekly", "filter": [{"column": "tissue", "op": "eq", "value": tissue}]}
            drop_specification(world.store, CurriculumSpecification.model_validate(content))
        assert [run.partition_key for run in _asked(world)] == ["bbb.v1"]

    def test_one_that_is_being_built_is_left_to_that_run(self, world: World) -> None:
        specification = CurriculumSpecification.model_validate({"name": "weekly", "refresh": "weekly"})
        drop_specification(world.store, specification)
        run = dg.DagsterRun(
            job_name="build_curriculum",
            status=dg.DagsterRunStatus.STARTED,
            tags={"dagster/partition": "weekly.v1"},
        )
        world.instance.add_run(run)
        assert _asked(world) == []


def _context(world: World) -> dg.ScheduleEvaluationContext:
    resources = {name: world.resources[name] for name in ("store", "warehouse")}
    return dg.build_schedule_context(world.instance, scheduled_execution_time=MONDAY, resources=resources)


def _asked(world: World) -> list[dg.RunRequest]:
    return [found for found in _evaluated(world) if isinstance(found, dg.RunRequest)]


def _evaluated(world: World) -> list[object]:
    with _context(world) as context:
        found = weekly_curricula(context)
        assert isinstance(found, Iterator)
        return list(found)
