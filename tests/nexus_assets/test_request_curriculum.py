"""The job that takes a specification from the launchpad."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from omics_datastore.curriculum.versions import list_curricula
from tests.nexus_assets.world import World, make_source


def launch(world: World, specification: dict[str, Any]) -> dg.ExecuteInProcessResult:
    return (
        world.definitions()
        .resolve_job_def("request_curriculum")
        .execute_in_process(
            instance=world.instance,
            raise_on_error=False,
            run_config={
                "ops": {"keep_specification": {"config": {"specification": specification}}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.ingest("lung", a=make_source(6))
    return made


def test_a_request_becomes_a_specification_that_builds(world: World) -> None:
    asked = {"name": "lung", "bin_size": 4, "filter": {"tissue__in": ["lung"]}}
    assert launch(world, asked).success
    assert world.instance.get_dynamic_partitions("curricula") == ["lung.v1"]
    assert [(entry.name, entry.state) for entry in list_curricula(world.store)] == [("lung", "claimed")]
    assert world.run("build_curriculum", "lung.v1").success
    assert launch(world, asked).success, "asking again is a no-op"
    assert world.instance.get_dynamic_partitions("curricula") == ["lung.v1"]


@pytest.mark.parametrize(
    ("specification", "said"),
    [
        ({"bin_size": 4}, "the launchpad's specification: name: Field required"),
        ({"name": "x", "bin_sizes": 4}, "bin_sizes is not a known key"),
        ({"name": "x", "filter": {"tissue__eq": "nowhere"}}, "selects no cell"),
    ],
)
def test_a_wrong_request_says_why_and_leaves_nothing(world: World, specification: dict[str, Any], said: str) -> None:
    result = launch(world, specification)
    assert not result.success
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert said in str(failure.user_failure_data.description)
    assert list_curricula(world.store) == []
    assert not (world.root / "curricula").exists()
    assert world.instance.get_dynamic_partitions("curricula") == []
