"""The landing sensor over many datasets: few runs, a small cursor, and what it has taken survives."""

import json
from pathlib import Path

import dagster as dg
import pytest

from nexus_assets.batches import MOST_DATASETS, RANGE_END, RANGE_START, partitions_of
from nexus_assets.defs.ops import landing_sensor as module
from nexus_assets.landing_state import read_state
from omics_datastore.ingest.inbox import read_drop
from tests.nexus_assets.landing_daemon import Daemon, asked, load, put, reason
from tests.nexus_assets.world import World

STARTED = dg.DagsterRunStatus.STARTED


@pytest.fixture(autouse=True)
def no_quiet_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUS_QUIET_SECONDS", "0")


@pytest.fixture
def daemon(world: World) -> Daemon:
    return Daemon(world)


def test_many_datasets_land_in_few_runs_and_the_cursor_stays_small(
    world: World, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DATASETS", 2 * MOST_DATASETS)
    world.instance.add_dynamic_partitions("datasets", ["d050", "zzz"])
    names = [f"d{number:03d}" for number in range(2 * MOST_DATASETS + 5)]
    for name in names:
        put(world, f"inbox/{name}.h5ad")
    put(world, "feature_schemas/genes.csv")
    ticks = [daemon.tick() for _ in range(3)]
    assert [len(runs) for runs in ticks] == [4, 1, 0]
    order = world.instance.get_dynamic_partitions("datasets")
    runs = [dg.DagsterRun("ingest_dataset", tags=run.tags) for tick in ticks for run in tick if RANGE_START in run.tags]
    of_runs = [list(partitions_of(run, lambda: order)) for run in runs]
    assert [len(keys) for keys in of_runs] == [MOST_DATASETS, MOST_DATASETS - 1, 5]
    assert sorted(key for keys in of_runs for key in keys) == sorted(set(names) - {"d050"})
    assert asked(ticks[0])[0] == ("ingest_dataset", "d050")  # known before, and not next to another
    assert runs[0].tags[RANGE_END] == of_runs[0][-1]
    assert len(daemon.cursor or "") < 40


def test_a_batch_in_hand_is_known_by_its_ends(world: World, daemon: Daemon) -> None:
    for name in ("a", "b", "c"):
        put(world, f"inbox/{name}.h5ad")
    (request,) = daemon.tick()
    run = world.instance.add_run(dg.DagsterRun("ingest_dataset", status=STARTED, tags=request.tags))
    put(world, "inbox/b.h5ad", "changed")
    assert f"b is being ingested by run {run.run_id}" in reason(daemon)


def test_a_snapshot_is_made_when_the_last_run_made_none(world: World, daemon: Daemon) -> None:
    put(world, "inbox/lung.h5ad")
    daemon.tick()
    load(world, "lung")
    assert daemon.tick() == []
    world.instance.report_runless_asset_event(dg.AssetMaterialization(["warehouse", "ingest_info"], partition="lung"))
    (request,) = daemon.tick()
    assert asked([request]) == [("refresh_snapshot", None)]
    run = world.instance.add_run(dg.DagsterRun("refresh_snapshot", status=STARTED, tags=request.tags))
    place = daemon.cursor
    assert reason(daemon) == f"the snapshot is made by run {run.run_id}, which is started"
    assert daemon.tick() == []
    assert daemon.cursor == place


def test_what_was_taken_survives_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path / "nexus", durable=True)
    daemon = Daemon(world)
    put(world, "inbox/lung.h5ad")
    assert asked(daemon.tick()) == [("ingest_dataset", "lung")]
    with dg.DagsterInstance.from_ref(world.instance.get_ref()) as again:
        assert set(read_state(again, daemon.cursor).datasets) == {"lung"}
        assert read_state(again, "a:of another storage").datasets == {}
        assert again.get_dynamic_partitions("datasets") == ["lung"]


def test_the_cursor_of_an_older_nexus_is_understood(world: World, daemon: Daemon) -> None:
    put(world, "inbox/lung.h5ad")
    daemon.cursor = json.dumps({"datasets": {"lung": read_drop(world.store, "lung").digest}, "ticks": 3})
    assert daemon.tick() == []
    assert (daemon.cursor or "").startswith("a:")
