"""Runs whose process is gone are ended; those whose process lives are left alone."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from nexus_assets.lost_runs import PROCESS, end_lost_runs, running_process
from nexus_assets.run_lookup import latest_run, unfinished_run
from tests.nexus_assets.world import World

STARTED = dg.DagsterRunStatus.STARTED


def add_run(world: World, status: dg.DagsterRunStatus = STARTED, **tags: str) -> dg.DagsterRun:
    run = dg.DagsterRun(job_name="ingest_dataset", status=status, tags={"dagster/partition": "lung", **tags})
    return world.instance.add_run(run)


def test_a_run_of_this_process_lives_as_long_as_its_lock(world: World) -> None:
    with running_process(world.instance) as name:
        run = add_run(world, STARTED, **{PROCESS: name})
        assert end_lost_runs(world.instance) == []
    assert end_lost_runs(world.instance) == [run.run_id]
    ended = world.instance.get_run_by_id(run.run_id)
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.FAILURE
    assert unfinished_run(world.instance, "ingest_dataset") is None
    assert end_lost_runs(world.instance) == []


def test_a_run_of_a_killed_process_is_lost(world: World) -> None:
    program = (
        "import sys, time, dagster as dg\n"
        "from nexus_assets.lost_runs import running_process\n"
        "from types import SimpleNamespace\n"
        "with running_process(SimpleNamespace(root_directory=sys.argv[1])) as name:\n"
        "    print(name, flush=True)\n"
        "    time.sleep(60)\n"
    )
    home = str(world.instance.root_directory)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, home], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        run = add_run(world, STARTED, **{PROCESS: process.stdout.readline().strip()})
        assert end_lost_runs(world.instance) == []
        process.kill()
    assert end_lost_runs(world.instance) == [run.run_id]
    assert [path.name for path in Path(home, "processes").iterdir()] == ["home"]


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE", "CANCELED"])
def test_a_run_that_is_not_being_executed_is_not_lost(world: World, status: str) -> None:
    with running_process(world.instance) as name:
        add_run(world, dg.DagsterRunStatus[status], **{PROCESS: name})
    assert end_lost_runs(world.instance, servers=True) == []


def test_a_run_that_its_process_made_and_never_started_is_lost_but_not_its_repetition(world: World) -> None:
    with running_process(world.instance) as name:
        run = add_run(world, dg.DagsterRunStatus.NOT_STARTED, **{PROCESS: name})
        assert end_lost_runs(world.instance) == []
    again = dg.DagsterRun(
        job_name="ingest_dataset", parent_run_id=run.run_id, root_run_id=run.run_id, tags={PROCESS: name}
    )
    world.instance.add_run(again)
    assert end_lost_runs(world.instance) == [run.run_id]


def test_a_run_that_says_nothing_of_its_process_is_left_alone(world: World) -> None:
    add_run(world)
    assert end_lost_runs(world.instance, servers=True) == []


def test_a_run_of_a_server_is_lost_when_the_server_does_not_answer(world: World, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen()
        # It was executed again from the UI, so that it has the tag of a process that is long gone.
        run = add_run(
            world, STARTED, **{".dagster/grpc_info": json.dumps({"host": "localhost", "socket": path}), PROCESS: "x"}
        )
        assert end_lost_runs(world.instance, servers=True) == []
    assert end_lost_runs(world.instance) == []
    assert end_lost_runs(world.instance, servers=True) == [run.run_id]


def test_a_server_with_a_port(world: World) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        run = add_run(world, STARTED, **{".dagster/grpc_info": json.dumps({"host": "127.0.0.1", "port": port})})
        assert end_lost_runs(world.instance, servers=True) == []
    assert end_lost_runs(world.instance, servers=True) == [run.run_id]


def test_the_newest_run_of_a_partition_is_found(world: World) -> None:
    assert latest_run(world.instance, "ingest_dataset", "lung") is None
    add_run(world, dg.DagsterRunStatus.SUCCESS)
    newest = add_run(world, dg.DagsterRunStatus.FAILURE)
    found = latest_run(world.instance, "ingest_dataset", "lung")
    assert found is not None
    assert found.run_id == newest.run_id
    assert latest_run(world.instance, "ingest_dataset", "heart") is None
    assert latest_run(world.instance, "build_curriculum", "lung") is None


def test_a_run_of_another_home_is_left_alone(world: World) -> None:
    """Machines that share the database of an instance do not see each other's locks."""
    with running_process(world.instance) as name:
        add_run(world, STARTED, **{PROCESS: f"{'0' * 32}.{name.partition('.')[2]}"})
    add_run(world, STARTED, **{PROCESS: "gone"})
    assert end_lost_runs(world.instance, servers=True) == []
