"""Commands that are killed and run again: the same bytes as if nothing had happened. ``make test-crash`` kills more."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from dagster import DagsterInstance

from tests.crash.commands import SETTINGS, command_differences, kill_when, write_inputs
from tests.nexus_assets.cli.conftest import Nexus
from tests.nexus_assets.cli.processes import processes_of, start, wait_until
from tests.nexus_assets.world import make_source


@pytest.mark.timeout(600)
def test_killed_and_run_again_ends_in_the_same_bytes(tmp_path: Path) -> None:
    ingest, build = write_inputs(tmp_path)
    root, undisturbed = tmp_path / "nexus", tmp_path / "undisturbed"
    for command in (ingest, build):
        finish(root, *command)
    root.rename(undisturbed)  # the paths of source files are part of the bytes

    manifests = "ingest/lung/*/manifest.json"
    assert kill_when(root, ingest, lambda: list(root.glob(manifests)), 0), "it ended before it could be killed"
    finish(root, *ingest)
    shard = root / "extracts/all/v1/extract_files/extract_000002.h5ad"
    assert kill_when(root, build, shard.exists, 0), "it ended before it could be killed"
    finish(root, *build)
    assert command_differences(root, undisturbed) == []


def test_an_interrupted_command_says_so_and_leaves_no_process(tmp_path: Path) -> None:
    root = tmp_path / "nexus"
    make_source().write_h5ad(tmp_path / "lung.h5ad")
    process = start(root, "ingest", tmp_path / "lung.h5ad")
    wait_until(lambda: list(root.glob("pipelines/*/tasks/*")), 60, "no task was started")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.strip()) == (130, "nexus: stopped.")
    wait_until(lambda: not processes_of(root), 20, "a process is left")
    with DagsterInstance.from_config(str(root / "dagster")) as instance:
        assert instance.get_runs()[0].is_finished
    shutil.rmtree(root / "pipelines")
    finish(root, "ingest", tmp_path / "lung.h5ad")


def finish(root: Path, *command: str | Path) -> None:
    os.environ.update({f"NEXUS_{name.upper()}": value for name, value in SETTINGS.items()})
    outcome = Nexus(root)(*command)
    assert outcome.code == 0, outcome.err
