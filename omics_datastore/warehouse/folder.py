"""The warehouse of a laptop: a folder of Parquet files, queried by DuckDB, without a lock."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import ibis.expr.types as ir
import numpy as np
import polars as pl
import pyarrow.parquet as pq

from omics_datastore.errors import CorruptionError
from omics_datastore.ingest.manifest import IngestManifest
from omics_datastore.schema.tables import CELL_INFO, DATA_TABLES, FEATURE_INFO, INGEST_INFO, RAW_COUNTS
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.lock import WAREHOUSE
from omics_datastore.warehouse.arrow_rows import conform
from omics_datastore.warehouse.cell_request import not_in_the_warehouse, number_cells
from omics_datastore.warehouse.counts_reader import count_nonzeros, read_cells
from omics_datastore.warehouse.duckdb_query import DuckDBLimits, open_query
from omics_datastore.warehouse.duckdb_sql import run_sql
from omics_datastore.warehouse.folder_tables import FolderTables
from omics_datastore.warehouse.ingest_rows import commit_time, mark_current, retired_rows
from omics_datastore.warehouse.warehouse import CountsBatch, HeldIngest, LoadResult, SqlResult, Warehouse

Result = TypeVar("Result")


class FolderWarehouse(Warehouse):
    """Keep the four tables as Parquet files below ``warehouse/`` of a folder store.

    Many processes may read and load at once; none of them while ingests are purged.

    :param store: The store, which also holds the ingest files.
    :param memory_limit_bytes: Memory of DuckDB for one query; more goes to the temporary folder.
    :param threads: Threads of one query; by default one a core.
    :param temp_directory: The temporary folder; by default one of the store's scratch paths.
    :param counts_batch_bytes: Bytes of counts that :meth:`read_counts` holds at once, about; what fits into the
        processor's cache is decoded fastest.
    """

    reads_ingests_apart = True

    def __init__(
        self,
        store: FolderStore,
        *,
        memory_limit_bytes: int = 512 * 2**20,
        threads: int | None = None,
        temp_directory: Path | None = None,
        counts_batch_bytes: int = 2 * 2**20,
    ) -> None:
        self._store = store
        self._tables = FolderTables(store)
        self._memory_limit_bytes = memory_limit_bytes
        self._threads = threads or os.cpu_count() or 1
        self._temp_directory = temp_directory
        self._counts_batch_bytes = counts_batch_bytes

    @property
    def uri(self) -> str:
        return self._store.root

    def load(self, manifests: Sequence[IngestManifest], committed_at: datetime) -> LoadResult:
        with self._store.lock(WAREHOUSE, shared=True):
            return self._load(manifests, committed_at)

    def _load(self, manifests: Sequence[IngestManifest], committed_at: datetime) -> LoadResult:
        ingests = self.ingests()
        current = set(ingests.filter("is_current")["ingest_id"])
        asked = {manifest.ingest_id: manifest for manifest in manifests}
        unchanged = tuple(item for item, manifest in asked.items() if item in current and self._tables.holds(manifest))
        new = [manifest for ingest_id, manifest in asked.items() if ingest_id not in unchanged]
        when = commit_time(ingests, new, committed_at)
        with ThreadPoolExecutor(self._threads, thread_name_prefix="load") as threads:
            rows = {
                table.name: sum(threads.map(self._tables.add, new, [table.name] * len(new))) for table in DATA_TABLES
            }
        if new:
            self._tables.commit(new, when)
        committed = tuple(manifest.ingest_id for manifest in new)
        return LoadResult(committed, unchanged, {**rows, INGEST_INFO.name: len(new)})

    def retire(self, datasets: Sequence[str], retired_at: datetime) -> tuple[str, ...]:
        with self._store.lock(WAREHOUSE, shared=True):
            rows = retired_rows(self.ingests(), datasets, retired_at)
            if rows.num_rows:
                self._tables.append(rows, rows["retired_at"][0].as_py())
        return tuple(rows["ingest_id"].to_pylist())

    def held_ingests(self) -> list[HeldIngest]:
        return self._tables.held()

    def purge(self, ingest_ids: Sequence[str]) -> None:
        self._tables.withdraw(ingest_ids)
        for ingest_id in ingest_ids:
            for table in DATA_TABLES:
                self._tables.remove(table.name, ingest_id)

    def ingests(self) -> pl.DataFrame:
        return mark_current(self._tables.committed_rows())

    def query(self, expression: ir.Table) -> pl.DataFrame:
        def run(ingests: pl.DataFrame) -> pl.DataFrame:
            with open_query(expression, self._tables, ingests, self._limits()) as result:
                return conform(result.to_arrow_table(), expression)

        return self._of_what_is_there(run)

    def stream(self, expression: ir.Table, batch_rows: int) -> Iterator[pl.DataFrame]:
        ingests, given = self.ingests(), False
        while True:
            try:
                with open_query(expression, self._tables, ingests, self._limits()) as result:
                    for batch in result.to_arrow_reader(batch_rows):
                        given = True
                        yield conform(batch, expression)
                return
            except CorruptionError:
                before, ingests = ingests, self.ingests()
                if given or not _some_purged(before, ingests):
                    raise

    def sql(self, text: str, limit: int) -> SqlResult:
        return self._of_what_is_there(lambda ingests: run_sql(text, limit, self._tables, ingests, self._limits()))

    def _of_what_is_there(self, read: Callable[[pl.DataFrame], Result]) -> Result:
        """Read the committed ingests; again, when some were purged meanwhile.

        :param read: Takes rows of ``ingest_info``.
        :return: What it returns.
        :raise CorruptionError: When a file of an ingest is missing that is still committed.
        """
        ingests = self.ingests()
        while True:
            try:
                return read(ingests)
            except CorruptionError:
                before, ingests = ingests, self.ingests()
                if not _some_purged(before, ingests):
                    raise

    def count_totals(self, ingest_ids: Sequence[str]) -> pl.DataFrame:
        self.ingests()  # so that checksums are known
        with ThreadPoolExecutor(self._threads) as threads:
            totals = list(threads.map(self._totals, ingest_ids))
        names = ("raw_counts_rows", "nnz", "cell_info_rows", "distinct_cells", "orphan_cells", "feature_info_rows")
        schema = {"ingest_id": pl.String, **dict.fromkeys(names, pl.Int64)}
        rows = [(ingest_id, *total) for ingest_id, total in zip(ingest_ids, totals, strict=True)]
        return pl.DataFrame(rows, schema=schema, orient="row")

    def read_counts(self, cells: pl.DataFrame) -> Iterator[CountsBatch]:
        numbered = number_cells(cells)
        committed = set(self.ingests()["ingest_id"])
        for (name,), asked in numbered.group_by("ingest_id", maintain_order=True):
            ingest_id = str(name)
            path = self._tables.path(RAW_COUNTS.name, ingest_id)
            if ingest_id not in committed or not path.exists():
                raise not_in_the_warehouse(ingest_id, asked["cell_index"][0])
            yield from read_cells(
                path,
                ingest_id,
                asked["cell_index"].to_numpy(),
                asked["shuffle_key"].to_numpy(),
                asked["row"].to_numpy(),
                self._counts_batch_bytes,
                self._tables.check(RAW_COUNTS.name, ingest_id),
            )

    def _limits(self) -> DuckDBLimits:
        folder = self._temp_directory or self._store.scratch_path("duckdb")
        return DuckDBLimits(self._memory_limit_bytes, self._threads, folder)

    def _totals(self, ingest_id: str) -> tuple[int, int, int, int, int, int]:
        counts, cells, features = (
            self._tables.path(table.name, ingest_id) for table in (RAW_COUNTS, CELL_INFO, FEATURE_INFO)
        )
        counted, nnz = np.empty(0, np.int64), 0
        described = np.empty(0, np.int64)
        for table in (RAW_COUNTS, CELL_INFO, FEATURE_INFO):
            self._tables.check_whole(table.name, [ingest_id])
        if counts.exists():
            counted, nnz = count_nonzeros(counts, self._counts_batch_bytes // self._threads)
        if cells.exists():
            described = pq.read_table(cells, columns=["cell_index"], partitioning=None)["cell_index"].to_numpy()
        distinct = len(np.union1d(counted, described))
        orphans = len(np.setxor1d(counted, described))
        feature_rows = pq.read_metadata(features).num_rows if features.exists() else 0
        return len(counted), nnz, len(described), distinct, orphans, feature_rows


def _some_purged(before: pl.DataFrame, after: pl.DataFrame) -> bool:
    return not set(before["ingest_id"]) <= set(after["ingest_id"])
