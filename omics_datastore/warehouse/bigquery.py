"""The warehouse in BigQuery: tables filled by batch load jobs, queried by SQL, counts read in Arrow."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import ibis.expr.types as ir
import numpy as np
import polars as pl
import pyarrow as pa

from omics_datastore.ingest.manifest import IngestManifest
from omics_datastore.query.committed import only_committed
from omics_datastore.query.compile import compile_sql
from omics_datastore.query.totals import cell_totals, feature_totals
from omics_datastore.schema.arrow import arrow_schema
from omics_datastore.schema.tables import DATA_TABLES, INGEST_INFO
from omics_datastore.storage.lock import WAREHOUSE, Lock, load_lock
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.arrow_rows import conform
from omics_datastore.warehouse.bigquery_address import BigQueryAddress
from omics_datastore.warehouse.bigquery_clients import open_client, open_reader
from omics_datastore.warehouse.bigquery_counts import read_counts
from omics_datastore.warehouse.bigquery_errors import explained
from omics_datastore.warehouse.bigquery_jobs import BigQueryJobs
from omics_datastore.warehouse.bigquery_load import MOST_URIS, BigQueryLoad, ids_parameter
from omics_datastore.warehouse.bigquery_read import read_table
from omics_datastore.warehouse.bigquery_sql import run_sql
from omics_datastore.warehouse.bigquery_statements import clear_statement, held_ingests_statement
from omics_datastore.warehouse.bigquery_tables import prepare_tables
from omics_datastore.warehouse.cell_request import CellRequest, not_in_the_warehouse, number_cells
from omics_datastore.warehouse.ingest_rows import commit_time, mark_current, retired_rows
from omics_datastore.warehouse.warehouse import (
    CountsBatch,
    HeldIngest,
    LoadResult,
    SqlResult,
    Warehouse,
    WarehouseUsage,
)

_IDS_OF_A_QUERY = 5_000
_ROWS_OF_A_PAGE = 2_000
"""Rows of a result that come with the answer; more are read in Arrow."""


class BigQueryWarehouse(Warehouse):
    """Keep the four tables in a BigQuery dataset, which is made when it is missing.

    :param address: Project, dataset, location, and limits.
    :param store: Object store of the ingest files, in Cloud Storage of the same location.
    :param client: ``google.cloud.bigquery.Client``; by default one with the credentials of the environment.
    :param streams: Streams that :meth:`read_counts` reads side by side.
    :param most_uris: URIs of one load job at most.
    :param measure_bytes: Bytes that :meth:`count_totals` may scan to measure the lists of ``raw_counts``. Rows are
        clustered by key, not by ingest, so measuring reads a column of the whole table, whatever the ingests; beyond
        the limit ``nnz`` is the sum of ``n_features`` of ``cell_info``.
    """

    def __init__(
        self,
        address: BigQueryAddress,
        store: ObjectStore,
        *,
        client: Any = None,
        streams: int = 4,
        most_uris: int = MOST_URIS,
        measure_bytes: int = 64 * 2**30,
    ) -> None:
        self._address = address
        self._store = store
        self._streams = streams
        self._most_uris = most_uris
        self._measure_bytes = measure_bytes
        self._opened: BigQueryJobs | None = None
        self._client = client
        self._reader: Any = None
        self._committed: set[str] = set()
        self._lock = threading.Lock()

    # The last step of an ORDER BY runs on one machine of BigQuery, whose memory is not large.
    sort_limit = 10_000_000

    @property
    def uri(self) -> str:
        return self._address.uri

    def load(self, manifests: Sequence[IngestManifest], committed_at: datetime) -> LoadResult:
        # Two loads that share an ingest but are not the same would both put its rows into the tables.
        with ExitStack() as locks:
            for dataset in sorted({manifest.dataset for manifest in manifests}):
                locks.enter_context(self._store.lock(load_lock(dataset)))
            return self._load(manifests, committed_at, locks.enter_context(self._store.lock(WAREHOUSE, shared=True)))

    def _load(self, manifests: Sequence[IngestManifest], committed_at: datetime, lock: Lock) -> LoadResult:
        asked = {manifest.ingest_id: manifest for manifest in manifests}
        load = BigQueryLoad(self._jobs(), self._store, self._most_uris)
        ingests = self.ingests()
        current = set(ingests.filter("is_current")["ingest_id"])
        unchanged = tuple(ingest_id for ingest_id in asked if ingest_id in current)
        new = [manifest for ingest_id, manifest in asked.items() if ingest_id not in current]
        when = commit_time(ingests, new, committed_at)
        rows = {table.name: sum(item.file(table.name).rows for item in new) for table in DATA_TABLES}
        before = self.usage()
        if new:
            known = set(ingests["ingest_id"])
            # The rows of an ingest that was superseded are whole, and where they belong.
            missing = [manifest for manifest in new if manifest.ingest_id not in known]
            load.check_commit(new, when)
            load.check_files(missing)
            since = load.fill(missing) if missing else load.now()
            lock.check()
            load.commit(new, when, ingests, since)
        committed = tuple(manifest.ingest_id for manifest in new)
        usage = self.usage()
        metadata = {
            "jobs": load.links,
            "bytes_loaded": load.bytes_loaded,
            "bytes_processed": usage.bytes_processed - before.bytes_processed,
            "bytes_billed": usage.bytes_billed - before.bytes_billed,
        }
        return LoadResult(committed, unchanged, {**rows, INGEST_INFO.name: len(new)}, metadata)

    def retire(self, datasets: Sequence[str], retired_at: datetime) -> tuple[str, ...]:
        load = BigQueryLoad(self._jobs(), self._store, self._most_uris)
        with self._store.lock(WAREHOUSE, shared=True):
            since = load.now()
            rows = retired_rows(self.ingests(), datasets, retired_at).to_pylist()
            if rows:
                load.retire(rows, since)
        return tuple(row["ingest_id"] for row in rows)

    def held_ingests(self) -> list[HeldIngest]:
        job = self._jobs().query(held_ingests_statement())
        return [HeldIngest(row["ingest_id"], 0, 0.0) for row in job.result()]

    def purge(self, ingest_ids: Sequence[str]) -> None:
        if not ingest_ids:
            return
        for table in (INGEST_INFO, *DATA_TABLES):
            for start in range(0, len(ingest_ids), _IDS_OF_A_QUERY):
                ids = ids_parameter(ingest_ids[start : start + _IDS_OF_A_QUERY])
                self._jobs().query(clear_statement(table.name), [ids])
        self._committed -= set(ingest_ids)

    def ingests(self) -> pl.DataFrame:
        # Listing the rows of a table costs nothing, unlike a query.
        jobs = self._jobs()
        with explained(self._address):
            rows = jobs.client.list_rows(self._address.table(INGEST_INFO.name)).to_arrow(create_bqstorage_client=False)
        schema = arrow_schema(INGEST_INFO)
        frame = pl.DataFrame(rows.select(schema.names).cast(schema))
        return mark_current(frame)

    def query(self, expression: ir.Table) -> pl.DataFrame:
        return self._rows(only_committed(expression), expression)

    def stream(self, expression: ir.Table, batch_rows: int) -> Iterator[pl.DataFrame]:
        for batch in self._batches(only_committed(expression)):
            for start in range(0, batch.num_rows, batch_rows):
                yield conform(batch.slice(start, batch_rows), expression)

    def sql(self, text: str, limit: int) -> SqlResult:
        return run_sql(text, limit, self._jobs())

    def scanned_bytes(self, expression: ir.Table) -> int:
        return self._jobs().scanned_bytes(compile_sql(only_committed(expression), "bigquery"))

    def usage(self) -> WarehouseUsage:
        return self._jobs().usage()

    def count_totals(self, ingest_ids: Sequence[str]) -> pl.DataFrame:
        names = ("raw_counts_rows", "nnz", "cell_info_rows", "distinct_cells", "orphan_cells", "feature_info_rows")
        totals = pl.DataFrame({"ingest_id": pl.Series(list(ingest_ids), dtype=pl.String)})
        parts = []
        for start in range(0, len(ingest_ids), _IDS_OF_A_QUERY):
            ids = list(ingest_ids[start : start + _IDS_OF_A_QUERY])
            cells, features = cell_totals(ids, lists=True), feature_totals(ids)
            if self._jobs().scanned_bytes(compile_sql(cells, "bigquery")) > self._measure_bytes:
                cells = cell_totals(ids, lists=False)
            found = self._rows(cells, cells).join(self._rows(features, features), "ingest_id", "full", coalesce=True)
            parts.append(found)
        if parts:
            totals = totals.join(pl.concat(parts), "ingest_id", "left", maintain_order="left")
        return totals.select("ingest_id", *(pl.col(name).fill_null(0) for name in names if name in totals.columns))

    def read_counts(self, cells: pl.DataFrame) -> Iterator[CountsBatch]:
        numbered = number_cells(cells)
        if not numbered.height:
            return
        firsts = numbered.group_by("ingest_id", maintain_order=True).first()
        ids = firsts["ingest_id"].to_list()
        unknown = self._unknown(ids)
        for ingest_id, cell_index in firsts.select("ingest_id", "cell_index").rows():
            if ingest_id in unknown:
                raise not_in_the_warehouse(ingest_id, cell_index)
        numbers = pl.Series(np.arange(len(ids), dtype=np.int64))
        request = CellRequest(
            ids,
            numbered["ingest_id"].replace_strict(firsts["ingest_id"], numbers, return_dtype=pl.Int64).to_numpy(),
            numbered["cell_index"].to_numpy(),
            numbered["shuffle_key"].to_numpy(),
            numbered["row"].to_numpy(),
        )
        yield from read_counts(request, self._open_reader(), self._jobs(), self._streams)

    def _rows(self, run: ir.Table, promised: ir.Table) -> pl.DataFrame:
        return pl.concat([conform(batch, promised) for batch in self._batches(run)])

    def _batches(self, run: ir.Table) -> Iterator[pa.RecordBatch | pa.Table]:
        """Run a query and give its rows in order, at least one batch."""
        jobs = self._jobs()
        job, rows = jobs.rows(compile_sql(run, "bigquery"))
        if rows.total_rows <= _ROWS_OF_A_PAGE:
            with explained(self._address):
                yield rows.to_arrow(create_bqstorage_client=False)
            return
        result = job.destination.to_bqstorage()
        # One stream, because several would lose the order.
        yield from read_table(self._open_reader(), jobs, result, streams=1, free=True)

    def _unknown(self, ids: Sequence[str]) -> set[str]:
        # What was committed stays committed, so workers that read many times need not look each time.
        if not self._committed.issuperset(ids):
            self._committed = set(self.ingests()["ingest_id"])
        return set(ids) - self._committed

    def _jobs(self) -> BigQueryJobs:
        with self._lock:
            if self._opened is None:
                client = self._client or open_client(self._address)
                prepare_tables(client, self._address)
                self._opened = BigQueryJobs(client, self._address)
            return self._opened

    def _open_reader(self) -> Any:
        with self._lock:
            if self._reader is None:
                self._reader = open_reader(self._address)
            return self._reader
