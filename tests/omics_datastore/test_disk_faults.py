"""A disk that is full, or closed to us, at every stage from source file to release: one sentence, nothing half-made.

The process is really limited: by ``RLIMIT_FSIZE``, which fails every write beyond some bytes of a file, and by the
rights of a user who is not root.
"""

import gc
import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from omics_datastore.curriculum.extract import extract_groups
from omics_datastore.curriculum.plan import plan_curriculum, read_plan
from omics_datastore.curriculum.release import release_curriculum
from omics_datastore.errors import InputError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.create import create_ingest_files
from omics_datastore.ingest.manifest import read_manifest
from omics_datastore.ingest.source_kinds import describe_source, find_members
from omics_datastore.storage.disk_errors import clear_disk_errors, disk_sentence
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.folder import FolderWarehouse
from tests.contracts.warehouse_contract import NOON
from tests.omics_datastore.curriculum.curriculum_world import gene, make_source, specification

KEY = "inbox/lung/a.h5ad"
SPECIFICATION = specification(metadata_extra_columns=[])


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Let no file become larger than some bytes, as on a disk that is full by then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user without rights, where this one is root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


@contextmanager
def closed(path: Path, mode: int) -> Iterator[None]:
    """Close a folder with all below it, or a file, to a user who is not root."""
    paths = [path, *(below for below in path.rglob("*") if below.is_dir())]
    for each in paths:
        each.chmod(mode)
    try:
        with nobody():
            yield
    finally:
        for each in paths:
            each.chmod(0o755)


def _ingest(store: FolderStore) -> str:
    report = create_ingest_files(
        describe_source(store, KEY, find_members(store, KEY)), "lung", DatasetConfig(feature_ids="any"), store
    )
    if report.errors:
        raise InputError(report.errors[0])
    assert report.ingest_id is not None
    return report.ingest_id


def _load(store: FolderStore) -> None:
    (ingest_id,) = store.folders("ingest/lung/")
    FolderWarehouse(store, threads=1).load([read_manifest(store, "lung", ingest_id)], NOON)


def _plan(store: FolderStore) -> None:
    plan_curriculum(SPECIFICATION, 1, FolderWarehouse(store, threads=1), store, bins_per_group=9)


def _extract(store: FolderStore) -> None:
    plan = read_plan(store, "all", 1)
    extract_groups(plan, [group.group for group in plan.groups], FolderWarehouse(store, threads=1), store)


def _release(store: FolderStore) -> None:
    release_curriculum("all", 1, store)


def _retire(store: FolderStore) -> None:
    FolderWarehouse(store, threads=1).retire(["lung"], NOON + timedelta(hours=1))


STAGES: tuple[Callable[[FolderStore], object], ...] = (_ingest, _load, _plan, _extract, _release, _retire)


@pytest.fixture
def root() -> Iterator[Path]:
    """A root that anybody may look into; the folders of pytest are closed."""
    folder = Path(tempfile.mkdtemp(prefix="nexus-disk-"))
    folder.chmod(0o755)
    path = folder / KEY
    path.parent.mkdir(parents=True)
    make_source(gene(*range(30)), 60, 1).write_h5ad(path)
    yield folder
    shutil.rmtree(folder)


def _tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".scratch" not in path.parts
    }


def _said(stage: Callable[[FolderStore], object], root: Path) -> str:
    with pytest.raises(InputError) as caught, clear_disk_errors():
        stage(FolderStore(root))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_full_disk(root: Path) -> None:
    for stage in STAGES:
        stage(FolderStore(root))
    undisturbed = _tree(root)
    for name in ("ingest", "warehouse", "extracts"):
        shutil.rmtree(root / name)
    for stage in STAGES:
        for size in (0, 300):
            before = _tree(root)
            with limited(size):
                said = _said(stage, root)
            assert said.startswith("there is no room left on the disk"), (stage, said)
            # What is whole by itself may be there; nothing that names it, so nobody takes it for made.
            new = _tree(root).keys() - before.keys()
            assert not [key for key in new if key.endswith(("manifest.json", "plan.json", "release.json"))]
            assert not [key for key in new if key.startswith("warehouse/ingest_info")]
            assert {key: content for key, content in _tree(root).items() if key in before} == before
        stage(FolderStore(root))
    gc.collect()
    assert list(root.glob(".scratch/*/*")) == []  # of a process that goes on; what is killed is swept by the next
    assert _tree(root) == undisturbed


def test_a_disk_that_may_not_be_written(root: Path) -> None:
    for stage in STAGES:
        before = _tree(root)
        shutil.rmtree(root / ".scratch", ignore_errors=True)
        with closed(root, 0o555):
            said = _said(stage, root)
        assert f"{root}" in said, (stage, said)
        assert "may not be read or written (Permission denied): give the user with id" in said, (stage, said)
        assert _tree(root) == before
        stage(FolderStore(root))
    (ingest_id,) = FolderStore(root).folders("ingest/lung/")
    uses: dict[str, Callable[[FolderStore], object]] = {
        KEY: _ingest,
        "warehouse/ingest_info": lambda store: FolderWarehouse(store).ingests(),
        f"warehouse/cell_info/ingest_id={ingest_id}": lambda store: FolderWarehouse(store).count_totals([ingest_id]),
        "extracts/all/v1/plan/plan.json": lambda store: read_plan(store, "all", 1),
    }
    for path, use in uses.items():
        with closed(root / path, 0):
            assert f"{root / path}" in _said(use, root), path


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/data/x"), "no room left on the disk at /data/x (No space left on"),
        (OSError("Can't write data (errno = 28, error message = 'No space left on device')"), "no room left"),
        (RuntimeError('IO Error: Could not write file "/data/tmp.db": No space left on device'), "at /data/tmp.db"),
        (OSError(122, "Disk quota exceeded"), "no room left on the disk (Disk quota exceeded)"),
        (OSError(30, "Read-only file system", "/data"), "/data may not be read or written (Read-only file system)"),
    ],
)
def test_errors_of_libraries(error: Exception, words: str) -> None:
    assert words in str(disk_sentence(error))


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("x"), FileNotFoundError(2, "No such")])
def test_other_errors_are_let_through(error: Exception) -> None:
    assert disk_sentence(error) is None
    with pytest.raises(type(error)), clear_disk_errors():
        raise error
