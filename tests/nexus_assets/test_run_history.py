"""What is forgotten of old runs, and what stays."""

import shutil
import time
from pathlib import Path

import dagster as dg

from nexus_assets.run_history import forget_old_runs, gone_versions
from tests.nexus_assets.world import World, failure, make_source

AT_ONCE = 1e-9
TABLES = [["ingest", "validation_report"], ["ingest", "ingest_files"], ["warehouse", "cell_info"]]


def known(world: World) -> list[str]:
    return [run.run_id for run in world.instance.get_runs()]


def test_runs_stay_by_which_something_is_known(tmp_path: Path) -> None:
    world = World(tmp_path / "nexus", durable=True)
    old = world.ingest("lung", a=make_source()).run_id
    latest = world.ingest("lung", a=make_source(seed=2)).run_id
    world.drop("lung/a", make_source(negative=True))
    failed_before = world.run("ingest_dataset", "lung").run_id
    failed = world.run("ingest_dataset", "lung")
    assert "negative" in failure(failed)
    built = world.build()[1].run_id
    purged = world.run("purge", None, add=False).run_id
    world.store.write("tasks/gone/ingest/0000/config.yaml", b"x")
    assert forget_old_runs(world.instance, 1) == []
    assert forget_old_runs(world.instance, AT_ONCE, dry_run=True) == [old, failed_before, purged]
    time.sleep(0.01)

    config = {"ops": {"forget_old_history": {"config": {"keep_days": AT_ONCE}}}}
    job = world.definitions().resolve_job_def("retention")
    done = job.execute_in_process(run_config=config, instance=world.instance)
    assert known(world) == [done.run_id, built, failed.run_id, latest]
    kept = {f"{run_id}.db" for run_id in known(world)} | {"index.db", ".db"}
    assert {path.name for path in (world.root / "dagster/history/runs").iterdir()} <= kept
    assert {path.name for path in (world.root / "dagster/storage").iterdir()} <= set(known(world))
    assert world.store.folders("tasks/") == []
    for asset in TABLES:
        event = world.instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        assert event.run_id in (latest, failed.run_id)


def test_a_deleted_version_is_not_there_any_more(tmp_path: Path) -> None:
    world = World(tmp_path / "nexus")
    world.ingest("lung", a=make_source())
    first, second = world.build()[1].run_id, world.build(seed=1)[1].run_id
    shutil.rmtree(world.root / "extracts/all/v1")
    gone = gone_versions(world.instance, world.store)
    assert gone == {"all.v1"}
    assert forget_old_runs(world.instance, AT_ONCE, gone=gone) == [first]
    assert second in known(world)


def test_nothing_is_forgotten_that_a_run_in_flight_repeats(tmp_path: Path) -> None:
    world = World(tmp_path / "nexus")
    done = world.run("purge", None, add=False)
    world.instance.create_run_for_job(
        world.definitions().resolve_job_def("purge"), parent_run_id=done.run_id, root_run_id=done.run_id
    )
    time.sleep(0.01)
    assert forget_old_runs(world.instance, AT_ONCE) == []


def test_without_days_all_is_kept(tmp_path: Path) -> None:
    world = World(tmp_path / "nexus")
    done = world.run("purge", None, add=False)
    config = {"ops": {"forget_old_history": {"config": {"keep_days": 0}}}}
    again = (
        world.definitions().resolve_job_def("retention").execute_in_process(run_config=config, instance=world.instance)
    )
    assert known(world) == [again.run_id, done.run_id]
