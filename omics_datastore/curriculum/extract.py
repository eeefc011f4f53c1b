"""Extract the shards of a planned curriculum: read the counts of neighbouring bins once, write a file a bin."""

import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import polars as pl

from omics_datastore.curriculum.bin_matrix import Buffers, CountsCollector
from omics_datastore.curriculum.features import FeatureMaps
from omics_datastore.curriculum.plan_cells import OBS_PREFIX, GroupReader, read_features
from omics_datastore.curriculum.plan_model import CurriculumPlan, PlannedBin, PlannedGroup, ShardRecord
from omics_datastore.curriculum.scatter import ScatteredCounts
from omics_datastore.curriculum.shard import SHARD_FORMAT, ShardWriter, shard_writer
from omics_datastore.curriculum.shard_files import path_sha256, path_size, put_shard, stored_shard
from omics_datastore.curriculum.shares import Share, divide_into_shares, reads_much_again, rounds_of_shares
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.errors import CorruptionError
from omics_datastore.keys import digest
from omics_datastore.storage.documents import read_document, write_document
from omics_datastore.storage.layout import shard_key, shard_record_key
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.warehouse import CountsBatch, Warehouse

Progress = Callable[[int, int], None]
"""Called with the cells done and the cells in all; never by two threads at once."""

_PLACE = ("ingest_id", "cell_index", "shuffle_key")


@dataclass(frozen=True)
class ExtractResult:
    """Bins whose shard was written now, and bins whose shard was there already."""

    written: list[int]
    kept: list[int]


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
            shares = list(divide_into_shares(chosen, missing, plan, memory_limit_bytes // max(1, workers)))
            with _Extraction(plan, marks, shares, warehouse, store, done) as extraction:
                try:
                    if len(shares) > 1 and (plan_is_scattered(plan) or reads_much_again(plan, shares, warehouse)):
                        for first, last in rounds_of_shares(shares, memory_limit_bytes):
                            _extract_scattered(extraction, shares[first:last], pool, max(1, workers), store)
                    else:
                        readers = max(1, workers // len(shares))
                        _all_done([pool.submit(extraction.extract, share, readers) for share in shares])
                except BaseException:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise
    return ExtractResult([item.bin for item in missing], [item.bin for item in kept])


def plan_is_scattered(plan: CurriculumPlan) -> bool:
    """Tell whether the cells of a bin lie anywhere in the warehouse.

    :param plan: The plan.
    :return: Whether its order is exact or grouped.
    """
    return CurriculumSpecification.model_validate(plan.specification).is_scattered


def _extract_scattered(
    extraction: "_Extraction", shares: list[Share], pool: ThreadPoolExecutor, workers: int, store: ObjectStore
) -> None:
    folder = store.scratch_path("scattered-counts")
    try:
        scattered = extraction.scatter(shares, folder, pool, workers)
        _all_done([pool.submit(extraction.write, share, scattered.take(number)) for number, share in enumerate(shares)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _all_done(futures: Iterable[Future[None]]) -> None:
    for future in list(futures):
        future.result()


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
    key = shard_key(plan.name, plan.version, planned.bin, plan.file_format)
    try:
        record = read_document(store, shard_record_key(plan.name, plan.version, planned.bin), ShardRecord)
        if record.planned_digest != planned_digest:
            return None
        return record if stored_shard(store, key, record.size) == record.sha256 else None
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
        shares: list[Share],
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

    def extract(self, share: Share, readers: int) -> None:
        """Read the counts of a share's bins and write their shards.

        :param share: The share.
        :param readers: Threads that may read.
        """
        cells = self._cells(share)
        if readers == 1 or not self._warehouse.reads_ingests_apart:
            self._write_bins(share, cells, self._warehouse.read_counts(cells.select(*_PLACE)))
            return
        numbered = cells.select(*_PLACE).with_row_index("number")
        ids = numbered["ingest_id"].unique().sort().to_list()
        collector, lock = self._collector(share, cells), threading.Lock()

        def read(thread: int) -> None:
            some = numbered.filter(pl.col("ingest_id").is_in(ids[thread::readers]))
            numbers = some["number"].cast(pl.Int64).to_numpy()
            for batch in self._warehouse.read_counts(some.select(*_PLACE)):
                with lock:
                    collector.add(replace(batch, rows=numbers[batch.rows]), self._maps[batch.ingest_id])

        with ThreadPoolExecutor(readers, thread_name_prefix="read") as pool:
            _all_done([pool.submit(read, thread) for thread in range(min(readers, len(ids)))])
        self._write_collected(share, cells, collector)

    def scatter(self, shares: Sequence[Share], folder: Path, pool: ThreadPoolExecutor, workers: int) -> ScatteredCounts:
        """Read the counts of the cells of many shares once, and lay them aside by share.

        :param shares: The shares.
        :param folder: Where the files go.
        :param pool: Threads.
        :param workers: How many of them to use.
        :return: The counts; the number of a share is its place.
        """
        places = []
        for number, share in enumerate(shares):
            cells = self._cells(share).select(*_PLACE)
            places.append(cells.with_columns(pl.lit(number).alias("share"), pl.int_range(cells.height).alias("row")))
        cells = pl.concat(places)
        ids = cells["ingest_id"].unique().sort().to_list()
        share_of, row_of = (cells[name].cast(pl.Int64).to_numpy() for name in ("share", "row"))
        scattered = ScatteredCounts(folder, ids, share_of, row_of)
        numbered = cells.select(*_PLACE).with_row_index("number")

        def read(thread: int) -> None:
            some = numbered.filter(pl.col("ingest_id").is_in(ids[thread::workers]))
            numbers = some["number"].cast(pl.Int64).to_numpy()
            for batch in self._warehouse.read_counts(some.select(*_PLACE)):
                scattered.add(replace(batch, rows=numbers[batch.rows]), thread)

        _all_done([pool.submit(read, thread) for thread in range(min(workers, len(ids)))])
        return scattered

    def write(self, share: Share, batches: Iterable[CountsBatch]) -> None:
        """Write the shards of a share's bins from counts that were laid aside.

        :param share: The share.
        :param batches: Counts of all of its cells; ``rows`` are rows of the share.
        """
        self._write_bins(share, self._cells(share), batches)

    def _write_bins(self, share: Share, cells: pl.DataFrame, batches: Iterable[CountsBatch]) -> None:
        collector = self._collector(share, cells)
        for batch in batches:
            collector.add(batch, self._maps[batch.ingest_id])
        self._write_collected(share, cells, collector)

    def _collector(self, share: Share, cells: pl.DataFrame) -> CountsCollector:
        counts = sum(item.counts for item in share.bins)
        return CountsCollector(cells.height, counts, self._plan.feature_count, self._buffers())

    def _write_collected(self, share: Share, cells: pl.DataFrame, collector: CountsCollector) -> None:
        start = 0
        for item in share.bins:
            rows = slice(start, start + item.cells)
            self._write(item, cells[rows], collector, rows)
            start += item.cells

    def _cells(self, share: Share) -> pl.DataFrame:
        return self._readers[share.group.group].bins(share.bins[0].bin, share.bins[-1].bin)

    def _buffers(self) -> Buffers:
        if not hasattr(self._local, "buffers"):
            self._local.buffers = Buffers()
        return cast("Buffers", self._local.buffers)

    def _write(self, item: PlannedBin, cells: pl.DataFrame, collector: CountsCollector, rows: slice) -> None:
        plan, store = self._plan, self._store
        counts = collector.matrix(rows.start, rows.stop)
        obs = cells.select(pl.col(f"{OBS_PREFIX}{column.name}").alias(column.name) for column in plan.obs_columns)
        path = store.scratch_path("shard")
        self._writer.write(path, counts, item.first_position, obs)
        record = ShardRecord(
            bin=item.bin,
            planned_digest=self._marks[item.bin],
            cells=item.cells,
            nnz=int(counts.indptr[-1]),
            size=path_size(path),
            sha256=path_sha256(path),
            min_key=item.min_key,
            max_key=item.max_key,
        )
        put_shard(store, path, shard_key(plan.name, plan.version, item.bin, plan.file_format))
        write_document(store, shard_record_key(plan.name, plan.version, item.bin), record)
        self._done.add(item.cells)


def _copy_of(store: ObjectStore, group: PlannedGroup) -> Any:
    if store.stat(group.key) is None:
        raise CorruptionError(f"the plan has lost {store.uri(group.key)}; plan again.")
    return store.local_copy(group.key)
