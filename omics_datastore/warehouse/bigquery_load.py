"""The load of BigQuery: batch load jobs from Parquet, then one statement that commits. Made again, it ends the same.

What a load finds of its ingests in the tables decides what it does: rows that are as the manifests say stay, others
are removed and loaded again. Jobs have names made from what they do, so a job that a killed call left running is
waited for and not run twice. Rows are counted before the commit, so an ingest that shows is whole.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import polars as pl

from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.ingest.manifest import IngestFile, IngestManifest
from omics_datastore.keys import digest
from omics_datastore.schema.bigquery import bigquery_schema
from omics_datastore.schema.tables import DATA_TABLES, INGEST_INFO, Table
from omics_datastore.storage.layout import load_jobs_key
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.bigquery_errors import first_line
from omics_datastore.warehouse.bigquery_jobs import TRIES, BigQueryJobs, LostJobError, pause
from omics_datastore.warehouse.bigquery_statements import (
    IDS,
    ROWS,
    clear_statement,
    commit_statement,
    count_rows_statement,
    retire_statement,
)
from omics_datastore.warehouse.ingest_rows import ingest_rows

MOST_URIS = 10_000
"""URIs that BigQuery takes in one load job."""

_CHECKS_AT_ONCE = 8
_MOST_REQUEST_BYTES = 9_500_000
"""Bytes of the rows that one statement commits; BigQuery takes requests of 10 MB."""

Held = dict[str, dict[str, int]]
"""Rows of each ingest in each table."""


class BigQueryLoad:
    """Put ingests into the tables and commit them.

    :param jobs: The jobs of the warehouse.
    :param store: Object store of the ingest files, in Cloud Storage.
    :param most_uris: URIs of one load job at most.
    """

    def __init__(self, jobs: BigQueryJobs, store: ObjectStore, most_uris: int = MOST_URIS) -> None:
        self._jobs = jobs
        self._store = store
        self._most_uris = most_uris
        self.links: list[str] = []
        self.bytes_loaded = 0
        self._noted: list[str] = []

    def check_files(self, manifests: Sequence[IngestManifest]) -> None:
        """Check that ingest files are what their manifests say, before anything is loaded.

        :param manifests: Manifests of the ingests.
        :raise CorruptionError: When a file is gone or differs.
        """
        files = [file for manifest in manifests for file in manifest.files]
        with ThreadPoolExecutor(_CHECKS_AT_ONCE) as threads:
            for _ in threads.map(self._check_file, files):
                pass

    def check_commit(self, manifests: Sequence[IngestManifest], committed_at: datetime) -> None:
        """Check that one statement can commit all ingests, before anything is loaded.

        :param manifests: Manifests of the ingests.
        :param committed_at: Time of the commit, with a time zone.
        :raise InputError: When they are too many.
        """
        rows = rows_parameter(ingest_rows(manifests, committed_at).to_pylist())
        size = len(json.dumps(rows.to_api_repr()))
        if size > _MOST_REQUEST_BYTES:
            raise InputError(
                f"{len(manifests)} ingests cannot be committed at once: their rows of ingest_info are {size} bytes and "
                f"one request to BigQuery holds {_MOST_REQUEST_BYTES}; divide dataset {manifests[0].dataset} into "
                "several, or keep less of uns (uns_keep)."
            )

    def fill(self, manifests: Sequence[IngestManifest]) -> datetime:
        """Put the rows of ingests into the tables, each once; nobody sees them yet.

        :param manifests: Manifests of ingests that are not committed.
        :return: When the rows were counted last, by BigQuery's clock.
        :raise CorruptionError: When a table does not hold the rows that a manifest says.
        """
        datasets = sorted({manifest.dataset for manifest in manifests})
        self._wait_for_broken_off(datasets)
        held, since = self._held(manifests)
        for table in DATA_TABLES:
            for start in range(0, len(manifests), self._most_uris):
                self._fill_table(table, manifests[start : start + self._most_uris], held[table.name], since)
        held, since = self._held(manifests)
        for manifest in manifests:
            for table in DATA_TABLES:
                file, found = manifest.file(table.name), held[table.name].get(manifest.ingest_id, 0)
                if found != file.rows:
                    raise CorruptionError(
                        f"the ingest file {self._store.uri(file.key)} gave {found} rows of {table.name}, not "
                        f"{file.rows}; delete it and run the ingest again."
                    )
        for dataset in datasets:
            self._store.delete(load_jobs_key(dataset))
        return since

    def commit(
        self, manifests: Sequence[IngestManifest], committed_at: datetime, ingests: pl.DataFrame, since: datetime
    ) -> None:
        """Make ingests visible, all at once.

        :param manifests: Manifests of the ingests, whose rows are in the tables.
        :param committed_at: Time of the commit, with a time zone.
        :param ingests: What was committed before.
        :param since: When that was true, by BigQuery's clock.
        """
        ids = [manifest.ingest_id for manifest in manifests]
        sources = {(manifest.dataset, manifest.source_uri) for manifest in manifests}
        before = [
            [row["ingest_id"], row["committed_at"].isoformat()]
            for row in ingests.to_dicts()
            if (row["dataset"], row["source_uri"]) in sources
        ]
        name = self._name("commit", INGEST_INFO.name, [sorted(ids), before])
        rows = ingest_rows(manifests, committed_at).to_pylist()
        job, _ = self._jobs.statement_once(name, since, commit_statement(), [rows_parameter(rows)])
        self.links.append(self._jobs.link(job))

    def retire(self, rows: Sequence[dict[str, Any]], since: datetime) -> None:
        """Hide ingests, all at once; one that was committed again meanwhile stays.

        :param rows: Rows of ``ingest_info`` with ``retired_at``.
        :param since: When these rows were current, by BigQuery's clock.
        """
        content = [[row["ingest_id"], row["committed_at"].isoformat()] for row in rows]
        name = self._name("retire", INGEST_INFO.name, content)
        job, _ = self._jobs.statement_once(name, since, retire_statement(), [rows_parameter(rows)])
        self.links.append(self._jobs.link(job))

    def now(self) -> datetime:
        """Return the time by BigQuery's clock, after which what is read next is true."""
        job = self._jobs.query("SELECT 1 AS one")
        started: datetime = job.started
        return started

    def _check_file(self, file: IngestFile) -> None:
        uri = self._store.uri(file.key)
        entry = self._store.stat(file.key)
        if entry is None:
            raise CorruptionError(f"the ingest file {uri} is gone; run the ingest again.")
        if entry.size != file.size:
            raise CorruptionError(
                f"the ingest file {uri} has {entry.size} bytes, not {file.size}; run the ingest again, which mends it."
            )
        if self._store.sha256(file.key) != file.sha256:
            raise CorruptionError(
                f"the ingest file {uri} does not match its SHA-256; run the ingest again, which mends it."
            )

    def _wait_for_broken_off(self, datasets: Sequence[str]) -> None:
        """Wait for jobs of loads that were killed: they may put rows into the tables that were not there when asked."""
        for dataset in datasets:
            try:
                noted = json.loads(self._store.read(load_jobs_key(dataset)))
            except FileNotFoundError:
                continue
            for job_id in noted:
                self._jobs.settle(job_id)

    def _note(self, manifests: Sequence[IngestManifest], job_id: str) -> None:
        """Note a job before it is submitted, for whoever loads the datasets after this process was killed."""
        self._noted.append(job_id)
        for dataset in sorted({manifest.dataset for manifest in manifests}):
            self._store.write(load_jobs_key(dataset), json.dumps(self._noted).encode())

    def _held(self, manifests: Sequence[IngestManifest]) -> tuple[Held, datetime]:
        held: Held = {table.name: {} for table in DATA_TABLES}
        ids = [manifest.ingest_id for manifest in manifests]
        job = self._jobs.query(count_rows_statement(), [ids_parameter(ids)])
        for row in job.result():
            held[row["table_name"]][row["ingest_id"]] = row["held"]
        return held, job.started

    def _fill_table(
        self, table: Table, manifests: Sequence[IngestManifest], held: dict[str, int], since: datetime
    ) -> None:
        expected = {item.ingest_id: item.file(table.name).rows for item in manifests if item.file(table.name).rows}
        ids = [manifest.ingest_id for manifest in manifests]
        files = [manifest.file(table.name) for manifest in manifests]
        content = [[item, file.sha256] for item, file in zip(ids, files, strict=True)]
        lost = 0
        while {item: held[item] for item in ids if item in held} != expected:
            if any(item in held for item in ids):
                name = self._name("clear", table.name, sorted(ids))
                self._jobs.statement_once(name, since, clear_statement(table.name), [ids_parameter(ids)])
            name = self._name("load", table.name, content)
            try:
                job, submitted = self._run_load(table, manifests, name, since)
            except LostJobError:
                lost += 1
                if lost == TRIES:
                    raise
                pause(lost)
            else:
                self.links.append(self._jobs.link(job))
                if submitted:
                    self.bytes_loaded += int(job.input_file_bytes or 0)
                    return
            # An earlier call's job has ended meanwhile, or ours was lost, whatever it left: look again.
            all_held, since = self._held(manifests)
            held = all_held[table.name]

    def _run_load(
        self, table: Table, manifests: Sequence[IngestManifest], name: str, since: datetime
    ) -> tuple[Any, bool]:
        from google.api_core.exceptions import BadRequest, NotFound

        files = [manifest.file(table.name) for manifest in manifests]

        def begin(job_id: str) -> Any:
            self._note(manifests, job_id)
            return self._begin_load(table, files, job_id)

        try:
            return self._jobs.run_once(name, since, begin, repeats=False)
        except (BadRequest, NotFound) as error:
            raise CorruptionError(
                f"BigQuery did not load {len(files)} ingest files into {table.name}, the first of them "
                f"{self._store.uri(files[0].key)} ({first_line(error)}); run the ingest again."
            ) from error

    def _begin_load(self, table: Table, files: Sequence[IngestFile], job_id: str) -> Any:
        from google.cloud import bigquery

        address = self._jobs.address
        lists = bigquery.format_options.ParquetOptions()
        lists.enable_list_inference = True
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            write_disposition=bigquery.WriteDisposition.WRITE_APPEND,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            schema=[bigquery.SchemaField.from_api_repr(column) for column in bigquery_schema(table)],
            parquet_options=lists,
            labels={"application": "nexus", **address.labels},
        )
        uris = [self._store.uri(file.key) for file in files]
        return self._jobs.client.load_table_from_uri(
            uris, address.table(table.name), job_id=job_id, location=address.location, job_config=config
        )

    def _name(self, action: str, table: str, content: Any) -> str:
        mark = digest([self._jobs.address.dataset, table, content])[:32]
        return f"nexus_{action}_{table}_{mark}"


def ids_parameter(ids: Sequence[str]) -> Any:
    """Return the query parameter of ingest ids.

    :param ids: Ingest ids.
    :return: ``ArrayQueryParameter``.
    """
    from google.cloud.bigquery import ArrayQueryParameter

    return ArrayQueryParameter(IDS, "STRING", list(ids))


def rows_parameter(rows: Iterator[dict[str, Any]] | Sequence[dict[str, Any]]) -> Any:
    """Return the query parameter of rows of ``ingest_info``.

    :param rows: Values by column name.
    :return: ``ArrayQueryParameter`` of structs, typed by the table.
    """
    from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter, StructQueryParameter

    kinds = {column["name"]: column["type"] for column in bigquery_schema(INGEST_INFO)}
    structs = [
        StructQueryParameter(None, *(ScalarQueryParameter(name, kind, row[name]) for name, kind in kinds.items()))
        for row in rows
    ]
    return ArrayQueryParameter(ROWS, "STRUCT", structs)
