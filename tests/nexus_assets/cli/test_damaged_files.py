"""One bit of every kind of stored file is flipped, and the file is used: it is named, made again, or nothing differs.

The kinds are found by listing a root in which everything was done, so that a new kind of file cannot be forgotten.
``NEXUS_FAULT_FLIPS`` says how many bits of each kind are flipped, one after the other (``make test-faults``).
"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kfp_components.configurations import ExtractTaskConfig, ExtractTaskResult, IngestTaskConfig, IngestTaskResult
from kfp_components.parameters import resolve, shorten
from kfp_components.results import read_result
from nexus_resources.pipelines.local_job import read_record, read_spec
from omics_datastore.curriculum.extract import extract_groups
from omics_datastore.curriculum.feature_schema import load_feature_schema
from omics_datastore.curriculum.plan import plan_curriculum, read_plan
from omics_datastore.curriculum.release import release_curriculum
from omics_datastore.curriculum.release_model import read_release
from omics_datastore.curriculum.trace import trace_in_store
from omics_datastore.curriculum.versions import is_complete, load_specification, parse_specification
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.create import create_ingest_files, validate_source
from omics_datastore.ingest.ingest_set import read_ingest_set
from omics_datastore.ingest.manifest import FileReport
from omics_datastore.ingest.source_kinds import describe_source, find_members
from omics_datastore.ingest.validation_report import read_validation_report
from omics_datastore.query.cells import selected_cells
from omics_datastore.query.filters import CellFilter
from omics_datastore.schema.relations import relation
from omics_datastore.schema.tables import TABLES
from omics_datastore.storage.documents import content_digest, read_configuration, write_document
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.layout import pinned_specification_key
from omics_datastore.training.reader import CurriculumReader
from omics_datastore.training.release_folder import ReleaseFolder
from omics_datastore.warehouse.folder import FolderWarehouse
from tests.nexus_assets.cli.conftest import Outcome

FLIPS = int(os.environ.get("NEXUS_FAULT_FLIPS", "1"))
PARTS = "name: parts\nbin_size: 4\nobs_columns: [donor_id]\noutput: {format: zarr}\nsplit: {by: cell, a: 0.5, b: 0.5}\n"
KEYS = [f"tasks/{number:03d}" for number in range(40)]

FOR_PEOPLE = (
    r"curricula/.*\.yaml|inbox/.*\.yaml|mappings/.*",  # written and edited by people; what was made of them is pinned
    r"reports/.*\.csv|plots/.*\.png|pipelines/.*\.txt",  # looked at only; the report is beside it as a document
    r"tasks/.*/messages/.*",  # progress
    r"pipelines/.*\.lock|\.scratch/.*",  # held, not read
    r"dagster/.*",  # Dagster's own
)


def _store(root: Path) -> FolderStore:
    return FolderStore(root)


def _report(root: Path, name: str, make: Callable[..., FileReport], tag: str | None = None) -> FileReport:
    store, key = _store(root), f"inbox/lung/{name}.h5ad"
    return make(describe_source(store, key, find_members(store, key)), "lung", DatasetConfig(tag=tag), store)


def _read_source(root: Path, file: str) -> Any:
    known = {item.ingest_id for item in read_ingest_set(_store(root), "lung")}
    report = _report(root, Path(file).stem, create_ingest_files)
    if not report.valid or report.ingest_id not in known:
        raise InputError(f"{file} is refused, or another source than it was")
    return None


def _ingest_again(root: Path, file: str) -> bytes:
    for name in ("a", "b"):
        assert _report(root, name, create_ingest_files).valid
    return (root / file).read_bytes()


def _check_again(root: Path, file: str) -> bytes:
    assert _report(root, "a", validate_source, "another").valid
    return (root / file).read_bytes()


def _query(root: Path, file: str) -> Any:
    (table,) = (table for table in TABLES if table.name == file.split("/")[1])
    warehouse = FolderWarehouse(_store(root), threads=1)
    if table.name != "raw_counts":
        return warehouse.query(relation(table)).to_dicts()
    cells = warehouse.query(selected_cells(CellFilter()).order_by("shuffle_key"))
    read = warehouse.read_counts(cells.select("ingest_id", "cell_index", "shuffle_key"))
    return [(batch.ingest_id, batch.rows.tobytes(), batch.raw_count.tobytes()) for batch in read]


def _version(file: str) -> tuple[str, int]:
    return file.split("/")[1], 1


def _plan_again(root: Path, file: str) -> bytes:
    store, (name, version) = _store(root), _version(file)
    bins = len(read_plan(store, name, version).bins)
    specification = load_specification(store, name, version)
    plan_curriculum(specification, version, FolderWarehouse(store, threads=1), store, bins_per_group=bins)
    return (root / file).read_bytes()


def _extract_again(root: Path, file: str) -> bytes:
    store = _store(root)
    plan = read_plan(store, *_version(file))
    extract_groups(plan, [group.group for group in plan.groups], FolderWarehouse(store, threads=1), store)
    return (root / file).read_bytes()


def _read_shards(root: Path, file: str) -> Any:
    name, version = _version(file)
    release = read_release(_store(root), name, version)
    folder = root / f"extracts/{name}/v{version}"
    cells = [str(cell) for cell in range(release.total_cells)]
    try:
        batches = CurriculumReader(folder, batch_size=8, shuffle=False, columns=["donor_id"], dense=True)
        read = [(np.asarray(batch.counts).tolist(), batch.obs["donor_id"].tolist()) for batch in batches]
    except CorruptionError as error:
        with pytest.raises(CorruptionError, match="does not match its checksum"):
            trace_in_store(release, cells, _store(root))
        (root / file).unlink()  # as the message says
        try:
            assert not is_complete(_store(root), release)
            _extract_again(root, file)
        finally:
            assert is_complete(_store(root), release)
        raise CorruptionError(f"{file}: {error}") from error
    return read, trace_in_store(release, cells, _store(root))


def _read_beside(root: Path, file: str) -> Any:
    name, version = _version(file)
    release = read_release(_store(root), name, version)
    try:
        for split in (None, *(split.name for split in release.splits)):
            opened = ReleaseFolder(root / f"extracts/{name}/v{version}", split)
        rows, masks = opened.masks()
        return opened.metadata, opened.genes(), rows, masks.tolist()
    finally:
        if not is_complete(_store(root), release):  # as a build does then
            release_curriculum(name, version, _store(root))
        assert is_complete(_store(root), release)


def _collection(root: Path, file: str) -> bytes:
    _read_beside(root, file)
    return (root / file).read_bytes()


def _parameter(root: Path, file: str) -> Any:
    return [resolve(_store(root), f"@{file}#{number}") for number in range(len(KEYS))]


USES: dict[str, Callable[[Path, str], Any]] = {
    r"inbox/lung/.*\.h5ad": _read_source,
    r"feature_schemas/mine\.csv": lambda root, file: load_feature_schema(_store(root), Path(file).stem).digest(),
    r"feature_schemas/\.registered/.*": lambda root, file: load_feature_schema(_store(root), Path(file).stem).digest(),
    r"ingest/.*/ingest_set\.json": lambda root, file: read_ingest_set(_store(root), file.split("/")[1]),
    r"ingest/.*/manifest\.json": lambda root, file: read_ingest_set(_store(root), file.split("/")[1]),
    r"ingest/lung/.*\.parquet": _ingest_again,
    r"(inbox|ingest)/heart/.*\.(h5ad|parquet)": lambda root, file: None,  # noqa: ARG005 - as those of lung
    r"warehouse/ingest_info/.*": _query,
    r"warehouse/cell_info/.*": _query,
    r"warehouse/feature_info/.*": _query,
    r"warehouse/raw_counts/.*": _query,
    r"reports/.*/validation_report\.json": lambda root, file: read_validation_report(_store(root), file.split("/")[1]),
    r"reports/.*/checked/.*": _check_again,
    r"extracts/.*/specification\.json": lambda root, file: load_specification(_store(root), *_version(file)),
    r"extracts/.*/plan/plan\.json": lambda root, file: read_plan(_store(root), *_version(file)),
    r"extracts/.*/plan/[^/]+\.parquet": _plan_again,
    r"extracts/.*/plan/shards/.*": _extract_again,
    r"extracts/all/.*/extract_000001\.h5ad": _read_shards,
    r"extracts/all/.*/extract_00000[023]\.h5ad": _extract_again,
    r"extracts/parts/.*/collection\.zarr/dataset_.*": _read_shards,
    r"extracts/parts/.*/collection\.zarr/zarr\.json": _collection,
    r"extracts/.*/genes\.csv": _read_beside,
    r"extracts/all/v1/measured_genes\.parquet": _read_beside,
    r"extracts/parts/v1/measured_genes\.parquet": _read_beside,
    r"extracts/[^/]+/v1/extract_metadata\.json": _read_beside,
    r"extracts/.*/splits/.*": _read_beside,
    r"extracts/.*/release\.json": lambda root, file: read_release(_store(root), *_version(file)),
    r"tasks/.*/ingest/.*/config\.yaml": lambda root, file: read_configuration(_store(root), file, IngestTaskConfig),
    r"tasks/.*/extract/.*/config\.yaml": lambda root, file: read_configuration(_store(root), file, ExtractTaskConfig),
    r"tasks/.*/ingest/.*/result\.json": lambda root, file: read_result(_store(root), file, IngestTaskResult),
    r"tasks/.*/extract/.*/result\.json": lambda root, file: read_result(_store(root), file, ExtractTaskResult),
    r"tasks/parameters/.*": _parameter,
    r"pipelines/.*/record\.json": lambda root, file: read_record((root / file).parent),
    r"pipelines/.*/pipeline\.yaml": lambda root, file: read_spec((root / file).parent),
}
"""How each kind of file is used; what is returned is what others go on with."""


@pytest.fixture(scope="module")
def root(done: tuple[Path, dict[str, Outcome]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the used root, with a zarr collection in splits, a check without ingest and long parameters."""
    copied = tmp_path_factory.mktemp("damaged") / "nexus"
    shutil.copytree(done[0], copied, ignore=shutil.ignore_patterns(".scratch", "log.txt"))
    store = FolderStore(copied)
    specification = parse_specification(PARTS, "parts")
    write_document(store, pinned_specification_key("parts", 1), specification)
    plan = plan_curriculum(specification, 1, FolderWarehouse(store, threads=1), store, bins_per_group=9)
    extract_groups(plan, [group.group for group in plan.groups], FolderWarehouse(store, threads=1), store)
    release_curriculum("parts", 1, store)
    for key, content in shorten({"keys": KEYS}, limit=10)[1].items():
        store.write(key, content)
    _report(copied, "a", validate_source, "another")  # a file that was ingested so is not checked again
    return copied


def _files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_every_file_of_a_root_is_of_a_kind_that_is_checked(root: Path) -> None:
    used = dict.fromkeys(USES, 0)
    for file in _files(root):
        kinds = [kind for kind in USES if re.fullmatch(kind, file)]
        seen = [kind for kind in FOR_PEOPLE if re.fullmatch(kind, file)]
        assert len(kinds) + len(seen) == 1, f"{file}: say in USES how it is used, so that damage to it is noticed"
        for kind in kinds:
            used[kind] += 1
    assert [kind for kind, files in used.items() if not files] == []


def _use(root: Path, kind: str, file: str) -> tuple[str | None, Any]:
    try:
        return None, USES[kind](root, file)
    except (CorruptionError, InputError) as error:
        return str(error), None


@pytest.mark.parametrize("kind", USES)
def test_a_flipped_bit_never_becomes_wrong_data(root: Path, kind: str) -> None:
    files = [file for file in _files(root) if re.fullmatch(kind, file)]
    random = np.random.default_rng(len(kind))
    whole = {file: (root / file).read_bytes() for file in files}
    outcomes: list[str] = []
    undamaged: dict[str, Any] = {}
    for number in range(FLIPS):
        file = files[int(random.integers(len(files)))]
        size = len(whole[file])
        place = (0, size - 1)[number] if number < min(2, FLIPS - 1) else int(random.integers(size))
        if file not in undamaged:
            undamaged[file] = USES[kind](root, file)
        content = bytearray(whole[file])
        content[place] ^= 1 << int(random.integers(8))
        (root / file).unlink()  # it may be a link to another one
        (root / file).write_bytes(content)
        said, found = _use(root, kind, file)
        again = (root / file).read_bytes() == whole[file]
        if not again:
            (root / file).write_bytes(whole[file])
        if said is None:
            assert found == undamaged[file], f"byte {place} of {file} is another, and nobody noticed"
            outcomes.append("made again" if again else "harmless")
        else:
            assert Path(file).name in said or file in said or "feature schema mine" in said, said
            assert "\n" not in said
            outcomes.append("named")
    assert "harmless" not in outcomes or set(outcomes) > {"harmless"} or "heart" in kind


def test_the_digest_of_a_release_is_that_of_its_content(root: Path) -> None:
    release = read_release(_store(root), "parts", 1)
    assert len(content_digest(release)) == 64
    assert release.is_collection
