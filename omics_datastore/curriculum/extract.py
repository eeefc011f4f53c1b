"""Extract the shards of a planned curriculum: read the counts of neighbouring bins once, write a file a bin."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

import polars as pl

from omics_datastore.curriculum.bin_matrix import BYTES_A_COUNT, MOST_COUNTS, Buffers, CountsCollector
from omics_datastore.curriculum.features import FeatureMaps
from omics_datastore.curriculum.plan_cells import OBS_PREFIX, GroupReader, read_features
from omics_datastore.curriculum.plan_model import CurriculumPlan, PlannedBin, PlannedGroup, ShardRecord
from omics_datastore.curriculum.shard import SHARD_FORMAT, ShardWriter, shard_writer
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.errors import CorruptionError
from omics_datastore.keys import digest
from omics_datastore.storage.documents import read_document, write_document
from omics_datastore.storage.file_digest import file_sha256
from omics_datastore.storage.layout import shard_key, shard_record_key
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.warehouse import Warehouse

Progress = Callable[[int, int], None]
"""Called with the cells done and the cells in all; never by two threads at once."""

_BYTES_A_CELL = 2_000
"""Memory of a cell's obs values and places, about."""


@dataclass(frozen=True)
class ExtractResult:
    """Bins whose shard was written now, and bins whose shard was there already."""

    written: list[int]
    kept: list[int]


@dataclass(frozen=True)
class _Share:
    """Neighbouring bins of one group that are read together."""

    group: PlannedGroup
    bins: list[PlannedBin]


def extract_groups(
    plan: CurriculumPlan,
    groups: Sequence[int],
    warehouse: Warehouse,
    store: ObjectStore,
    *,
    workers: int = 1,
    memory_limit_bytes: int = 2**30,
    on_progress: Progress | None = None,
) -> ExtractResult:
    """Write the shards of groups of bins, but those that are there already as planned.

    The bytes of a shard depend on the plan alone, not on groups, workers or memory.

    :param plan: The plan.
    :param groups: Numbers of the groups.
    :param warehouse: The warehouse.
    :param store: Object store.
    :param workers: Threads; the libraries at work release the interpreter's lock.
    :param memory_limit_bytes: Bytes of cell data to hold at once; at least one bin a thread is held.
    :param on_progress: Called after each shard.
    :return: What was written and what was kept.
    :raise CorruptionError: When the plan or the warehouse is not what it was.
    """
    chosen = [plan.groups[number] for number in sorted(set(groups))]
    marks = planned_digests(plan)
    bins = [item for group in chosen for item in plan.bins[group.first_bin : group.last_bin + 1]]
    total = sum(item.cells for item in bins)
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="extract") as pool:
        intact = pool.map(lambda item: read_shard_record(plan, item, marks[item.bin], store) is not None, bins)
        kept = [item for item, whole in zip(bins, intact, strict=True) if whole]
        kept_bins = {item.bin for item in kept}
        missing = [item for item in bins if item.bin not in kept_bins]
        done = _Counter(sum(item.cells for item in kept), total, on_progress)
        if missing:
            shares = list(_shares(chosen, missing, plan, memory_limit_bytes // max(1, workers)))
            with _Extraction(plan, marks, shares, warehouse, store, done) as extraction:
                futures = [pool.submit(extraction.extract, share) for share in shares]
                try:
                    for future in futures:
                        future.result()
                except BaseException:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise
    return ExtractResult([item.bin for item in missing], [item.bin for item in kept])


def planned_digests(plan: CurriculumPlan) -> list[str]:
    """Return, for each bin, the digest of everything that decides the bytes of its shard.

    :param plan: The plan.
    :return: One text of 64 hexadecimal digits a bin.
    """
    specification = CurriculumSpecification.model_validate(plan.specification)
    common = digest(
        {
            "format": SHARD_FORMAT,
            "output": specification.output.model_dump(mode="json"),
            "features": plan.features_digest,
            "obs": [column.model_dump(mode="json") for column in plan.obs_columns],
        }
    )
    return [digest([common, item.bin, item.digest]) for item in plan.bins]


def read_shard_record(
    plan: CurriculumPlan, planned: PlannedBin, planned_digest: str, store: ObjectStore
) -> ShardRecord | None:
    """Return the record of a shard when the shard is there as planned, byte for byte.

    :param plan: The plan.
    :param planned: The bin.
    :param planned_digest: What decides its bytes.
    :param store: Object store.
    :return: The record, or ``None`` when the shard must be made.
    """
    key = shard_key(plan.name, plan.version, planned.bin)
    try:
        record = read_document(store, shard_record_key(plan.name, plan.version, planned.bin), ShardRecord)
        stored = store.stat(key)
        if stored is None or stored.size != record.size or record.planned_digest != planned_digest:
            return None
        with store.local_copy(key) as path:
            return record if file_sha256(path) == record.sha256 else None
    except (FileNotFoundError, CorruptionError):
        return None


class _Counter:
    """Count cells over threads and tell the listener."""

    def __init__(self, done: int, total: int, listener: Progress | None) -> None:
        self._lock = threading.Lock()
        self._done, self._total, self._listener = done, total, listener
        self.add(0)

    def add(self, cells: int) -> None:
        with self._lock:
            self._done += cells
            if self._listener is not None:
                self._listener(self._done, self._total)


class _Extraction:
    """What the threads of one call share."""

    def __init__(
        self,
        plan: CurriculumPlan,
        marks: list[str],
        shares: list[_Share],
        warehouse: Warehouse,
        store: ObjectStore,
        done: _Counter,
    ) -> None:
        self._plan, self._marks, self._warehouse, self._store, self._done = plan, marks, warehouse, store, done
        specification = CurriculumSpecification.model_validate(plan.specification)
        features = read_features(store, plan)
        output = specification.output
        self._writer: ShardWriter = shard_writer(features, plan.obs_columns, output.format, output.compression)
        ingest_ids = [ingest.ingest_id for ingest in plan.ingests]
        self._maps = FeatureMaps(features["feature_id"], ingest_ids, warehouse)
        self._local = threading.local()
        self._files = ExitStack()
        self._readers: dict[int, GroupReader] = {}
        with self._files:
            for group in {share.group.group: share.group for share in shares}.values():
                path = self._files.enter_context(_copy_of(store, group))
                self._readers[group.group] = GroupReader(store, group, path)
            self._files = self._files.pop_all()

    def __enter__(self) -> "_Extraction":
        return self

    def __exit__(self, *error: Any) -> None:
        self._files.close()

    def extract(self, share: _Share) -> None:
        """Read the counts of a share's bins and write their shards."""
        first = share.bins[0]
        cells = self._readers[share.group.group].bins(first.bin, share.bins[-1].bin)
        counts = sum(item.counts for item in share.bins)
        collector = CountsCollector(cells.height, counts, self._plan.feature_count, self._buffers())
        for batch in self._warehouse.read_counts(cells.select("ingest_id", "cell_index", "shuffle_key")):
            collector.add(batch, self._maps[batch.ingest_id])
        start = 0
        for item in share.bins:
            rows = slice(start, start + item.cells)
            self._write(item, cells[rows], collector, rows)
            start += item.cells

    def _buffers(self) -> Buffers:
        if not hasattr(self._local, "buffers"):
            self._local.buffers = Buffers()
        return cast("Buffers", self._local.buffers)

    def _write(self, item: PlannedBin, cells: pl.DataFrame, collector: CountsCollector, rows: slice) -> None:
        plan, store = self._plan, self._store
        counts = collector.matrix(rows.start, rows.stop)
        obs = cells.select(pl.col(f"{OBS_PREFIX}{column.name}").alias(column.name) for column in plan.obs_columns)
        path = store.scratch_path("shard")
        self._writer.write(path, counts, item.bin * plan.bin_size, obs)
        record = ShardRecord(
            bin=item.bin,
            planned_digest=self._marks[item.bin],
            cells=item.cells,
            nnz=int(counts.indptr[-1]),
            size=path.stat().st_size,
            sha256=file_sha256(path),
            min_key=item.min_key,
            max_key=item.max_key,
        )
        store.put(path, shard_key(plan.name, plan.version, item.bin))
        write_document(store, shard_record_key(plan.name, plan.version, item.bin), record)
        self._done.add(item.cells)


def _copy_of(store: ObjectStore, group: PlannedGroup) -> Any:
    if store.stat(group.key) is None:
        raise CorruptionError(f"the plan has lost {store.uri(group.key)}; plan again.")
    return store.local_copy(group.key)


def _shares(
    groups: list[PlannedGroup], missing: list[PlannedBin], plan: CurriculumPlan, limit_bytes: int
) -> Iterator[_Share]:
    """Divide the missing bins into runs of neighbours that fit into memory."""
    wanted = {item.bin for item in missing}
    for group in groups:
        run: list[PlannedBin] = []
        for item in plan.bins[group.first_bin : group.last_bin + 1]:
            if run and (item.bin not in wanted or not _fits([*run, item], limit_bytes)):
                yield _Share(group, run)
                run = []
            if item.bin in wanted:
                run.append(item)
        if run:
            yield _Share(group, run)


def _fits(bins: list[PlannedBin], limit_bytes: int) -> bool:
    counts = sum(item.counts for item in bins)
    # One bin is there a second time while its shard is written.
    most = counts + max(item.counts for item in bins)
    cells = sum(item.cells for item in bins)
    return counts <= MOST_COUNTS and BYTES_A_COUNT * most + _BYTES_A_CELL * cells <= limit_bytes
