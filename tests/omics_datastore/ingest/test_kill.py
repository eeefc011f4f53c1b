"""Killed in the middle of its pass and run again, an ingest ends in the same bytes; ``tests/crash`` kills the rest."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.omics_datastore.ingest.ingest_run import IngestRun
from tests.source_files import Layout, make_source, sha256_tree

LIMIT = 2**16

_CHILD = """
import itertools, os, signal, sys
from pathlib import Path
from omics_datastore.storage.folder import FolderStore
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.create import create_ingest_files
from tests.omics_datastore.ingest.ingest_run import DATASET, SMALL_GROUPS, IngestRun

root, die_at = Path(sys.argv[1]), int(sys.argv[2])
calls = itertools.count(1)

def progress(done, total):
    if next(calls) == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

run = IngestRun(root)
print("ready", flush=True)
create_ingest_files(
    run.observed(), DATASET, DatasetConfig(), FolderStore(root), layout=SMALL_GROUPS, memory_limit_bytes=2**16,
    on_progress=progress,
)
"""


def _start(root: Path, *, die_at: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _CHILD, str(root), str(die_at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = np.random.default_rng(0).poisson(0.5, (200, 90))
    return make_source(tmp_path_factory.mktemp("source") / "a.h5ad", counts, Layout("csc", chunks=500))


def _new_run(root: Path, source: Path) -> IngestRun:
    run = IngestRun(root)
    run.source.hardlink_to(source)
    return run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, source: Path) -> dict[str, str]:
    run = _new_run(tmp_path_factory.mktemp("undisturbed"), source)
    assert run.create(LIMIT).valid
    return _tree(run)


def _tree(run: IngestRun) -> dict[str, str]:
    """Return the digests of the ingest files; the manifest names its source's place, which differs."""
    return {name: mark for name, mark in sha256_tree(run.root / "ingest").items() if not name.endswith("manifest.json")}


def _rerun(run: IngestRun, undisturbed: dict[str, str]) -> None:
    dead = {path.name for path in (run.root / ".scratch").iterdir()}
    assert dead, "the killed process had no scratch folder: it was killed too early to tell anything"
    again = IngestRun(run.root)
    assert again.create(LIMIT).valid
    assert _tree(again) == undisturbed
    assert not dead & {path.name for path in (run.root / ".scratch").iterdir()}


def test_killed_while_counts_are_written(tmp_path: Path, source: Path, undisturbed: dict[str, str]) -> None:
    run = _new_run(tmp_path / "nexus", source)
    child = _start(run.root, die_at=8)
    child.communicate(timeout=120)
    assert child.returncode == -9
    assert not list(run.root.glob("ingest/*/*/manifest.json"))
    _rerun(run, undisturbed)


def test_killed_at_a_random_moment(tmp_path: Path, source: Path, undisturbed: dict[str, str]) -> None:
    run = _new_run(tmp_path / "nexus", source)
    child = _start(run.root, die_at=0)
    assert child.stdout is not None
    child.stdout.readline()
    scratch = run.root / ".scratch"
    while child.poll() is None and not (scratch.is_dir() and list(scratch.glob("*/ingest-*"))):
        time.sleep(0.001)
    time.sleep(float(np.random.default_rng().random()) * 0.1)
    child.kill()
    child.communicate(timeout=120)
    if child.returncode == 0:  # it was faster
        assert _tree(run) == undisturbed
    else:
        _rerun(run, undisturbed)


def test_existing_ingest_is_not_written_again(tmp_path: Path, source: Path) -> None:
    run = _new_run(tmp_path / "nexus", source)
    first = run.create(LIMIT)
    before = {path: path.stat().st_mtime_ns for path in (run.root / "ingest").rglob("*")}
    assert run.create(LIMIT) == first
    assert {path: path.stat().st_mtime_ns for path in (run.root / "ingest").rglob("*")} == before


def test_damaged_ingest_is_made_again(tmp_path: Path, source: Path, undisturbed: dict[str, str]) -> None:
    run = _new_run(tmp_path / "nexus", source)
    run.create(LIMIT)
    [counts] = (run.root / "ingest").rglob("raw_counts.parquet")
    counts.write_bytes(counts.read_bytes()[:-10])
    run.create(LIMIT)
    assert _tree(run) == undisturbed
