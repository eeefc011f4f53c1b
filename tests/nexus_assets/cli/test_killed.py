"""Commands that are killed at any moment, and run again: the same bytes as if nothing had happened."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import polars as pl
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from nexus_resources.pipelines.local_job import is_locked
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.folder import FolderWarehouse
from tests.nexus_assets.cli.conftest import SPECIFICATION, Nexus
from tests.nexus_assets.cli.processes import processes_of, start, wait_until
from tests.nexus_assets.world import make_source, tree

INGEST_MOMENTS = (
    "inbox/lung/*.h5ad",
    "ingest/lung/*/manifest.json",
    "warehouse/raw_counts/*/*.parquet",
)
BUILD_MOMENTS = (
    "extracts/all/v1/plan/plan.json",
    "pipelines/nexus-extract*/tasks/*",
    "extracts/all/v1/extract_files/extract_000002.h5ad",
)
SETTINGS = {"bins_per_group": "1", "workers": "1"}


@pytest.mark.timeout(600)
def test_killed_and_run_again_ends_in_the_same_bytes(tmp_path: Path) -> None:
    sources = tmp_path / "lung"
    sources.mkdir()
    for number, name in enumerate("abc"):
        make_source(40, range(number, number + 60), number).write_h5ad(sources / f"{name}.h5ad")
    specification = tmp_path / "all.yaml"
    specification.write_text(SPECIFICATION.replace("bin_size: 4", "bin_size: 10"))
    root, undisturbed = tmp_path / "nexus", tmp_path / "undisturbed"
    ingest, build = ("ingest", sources), ("curriculum", "build", specification)
    for command in (ingest, build):
        finish(root, *command)
    root.rename(undisturbed)  # the paths of source files are part of the bytes

    chance = random.Random(7)
    killed = kill_at_each(root, ingest, INGEST_MOMENTS, chance)
    finish(root, *ingest)
    killed += kill_at_each(root, build, BUILD_MOMENTS, chance)
    finish(root, *build)
    assert killed >= 4, "too few commands were caught alive for this test to mean anything"

    for folder in ("ingest", "inbox", "extracts", "reports", "curricula"):
        assert tree(root / folder) == tree(undisturbed / folder), folder
    for table in ("cell_info", "feature_info", "raw_counts"):
        assert tree(root / "warehouse" / table) == tree(undisturbed / "warehouse" / table), table
    rows, expected = (
        FolderWarehouse(FolderStore(where)).ingests().with_columns(pl.lit(0).alias("committed_at")).sort("ingest_id")
        for where in (root, undisturbed)
    )
    assert rows.equals(expected)
    left = {path.stem for path in (root / ".scratch").glob("*")}
    assert {name for name in left if not is_locked(root / f".scratch/{name}.lock")} == set(), (
        "of a process that is gone"
    )
    with DagsterInstance.from_config(str(root / "dagster")) as instance:
        states = [run.status for run in instance.get_runs()]
    assert set(states) == {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE}


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


def kill_at_each(root: Path, command: tuple[str | Path, ...], moments: tuple[str, ...], chance: random.Random) -> int:
    """Start a command once for every moment and kill it, and it alone, soon after the moment has come."""
    killed = 0
    for moment in moments:
        before = set(root.glob(moment)) if "pipelines" in moment else set()
        process = start(root, *command, **SETTINGS)
        while process.poll() is None and not set(root.glob(moment)) - before:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        wait_until(lambda: not processes_of(root), 20, f"a process outlived its command, killed at {moment}")
    return killed


def finish(root: Path, *command: str | Path) -> None:
    os.environ.update({f"NEXUS_{name.upper()}": value for name, value in SETTINGS.items()})
    outcome = Nexus(root)(*command)
    assert outcome.code == 0, outcome.err
