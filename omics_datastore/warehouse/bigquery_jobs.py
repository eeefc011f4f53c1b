"""Run jobs in BigQuery: queries, statements and loads, with limits, labels, links, and what they cost."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from omics_datastore.errors import UnavailableError
from omics_datastore.warehouse.bigquery_address import BigQueryAddress
from omics_datastore.warehouse.bigquery_errors import LOST_REASONS, explained, first_line, reason_of
from omics_datastore.warehouse.warehouse import WarehouseUsage

_LINKS_KEPT = 50
TRIES = 5
"""How often a job is run that the service loses."""
FIRST_PAUSE = 2.0
"""Seconds before it is run a second time."""


@dataclass
class _Totals:
    jobs: int = 0
    processed: int = 0
    billed: int = 0
    read: int = 0
    links: list[str] = field(default_factory=list)


class LostJobError(UnavailableError):
    """Say that the service failed a job for a reason of its own."""


def pause(lost: int) -> None:
    """Wait before a job that was lost is run again, longer each time.

    :param lost: How often it was lost.
    """
    time.sleep(FIRST_PAUSE * 2.0 ** (lost - 1))


class BigQueryJobs:
    """Run the jobs of one warehouse and add up what they cost.

    :param client: ``google.cloud.bigquery.Client``.
    :param address: The warehouse.
    """

    def __init__(self, client: Any, address: BigQueryAddress) -> None:
        self.client = client
        self.address = address
        self._totals = _Totals()
        self._lock = threading.Lock()

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Run a query or statement and wait for it.

        :param sql: The statement; its tables are those of the warehouse's dataset.
        :param parameters: Query parameters of the client.
        :return: The finished ``QueryJob``.
        :raise InputError: See :func:`omics_datastore.warehouse.bigquery_errors.explained`.
        """
        with explained(self.address):
            job = self._begin(sql, parameters, None)
            job.result()
        self.count(job)
        return job

    def rows(self, sql: str) -> tuple[Any, Any]:
        """Run a query and return its rows, fetched as they are asked for.

        :param sql: The query.
        :return: The finished ``QueryJob`` and its ``RowIterator``.
        :raise InputError: See :func:`omics_datastore.warehouse.bigquery_errors.explained`.
        """
        with explained(self.address):
            job = self._begin(sql, (), None)
            rows = job.result()
        self.count(job)
        return job, rows

    def scanned_bytes(self, sql: str) -> int:
        """Ask how many bytes a query would read, without running it.

        :param sql: The query.
        :return: Bytes.
        :raise InputError: See :func:`omics_datastore.warehouse.bigquery_errors.explained`.
        """
        with explained(self.address):
            config = self._query_config((), limited=False)
            config.dry_run, config.use_query_cache = True, False
            job = self.client.query(sql, job_config=config, location=self.address.location)
        return int(job.total_bytes_processed or 0)

    def statement_type(self, sql: str) -> str | None:
        """Ask what a statement is, without running it.

        :param sql: The statement.
        :return: ``SELECT``, ``SCRIPT`` or another of BigQuery's names.
        :raise InputError: See :func:`omics_datastore.warehouse.bigquery_errors.explained`.
        """
        with explained(self.address):
            config = self._query_config((), limited=False)
            config.dry_run, config.use_query_cache = True, False
            job = self.client.query(sql, job_config=config, location=self.address.location)
        kind = job.statement_type
        return None if kind is None else str(kind)

    def run_once(
        self, name: str, since: datetime, begin: Callable[[str], Any], *, repeats: bool = True
    ) -> tuple[Any, bool]:
        """Run a job under a fixed name, so that a call that is made again does not run it a second time.

        A job of that name that still runs, or ended since, is waited for. Of one that ended before, whatever it did
        was seen by who asks: the job is run again under the next number. So is one that the service lost.

        :param name: Name of the job; says everything the job does.
        :param since: When the state was read that the job is to change, by BigQuery's clock.
        :param begin: Submits the job under an id; must not wait.
        :param repeats: Whether a job that was lost may be run again without a look at what it left.
        :return: The finished job, and whether this call submitted it.
        :raise InputError: See :func:`omics_datastore.warehouse.bigquery_errors.explained`.
        :raise LostJobError: When the service lost the job too often, or it must not be repeated.
        """
        from google.api_core.exceptions import Conflict, GoogleAPICallError

        lost = 0
        for attempt in itertools.count():
            job_id, submitted = f"{name}_{attempt}", True
            with explained(self.address):
                try:
                    job = begin(job_id)
                except Conflict:
                    job, submitted = self.client.get_job(job_id, location=self.address.location), False
                    if job.state == "DONE" and job.ended < since:
                        continue
                try:
                    job.result()
                except GoogleAPICallError as error:
                    if submitted and reason_of(error) not in LOST_REASONS:
                        raise
                    lost += submitted
                    if submitted and (lost == TRIES or not repeats):
                        raise LostJobError(
                            f"BigQuery lost the job {job_id} ({first_line(error)}); run again."
                        ) from error
                    if submitted:
                        pause(lost)
                    continue
            self.count(job)
            return job, submitted
        raise AssertionError

    def statement_once(self, name: str, since: datetime, sql: str, parameters: Sequence[Any]) -> tuple[Any, bool]:
        """Run a statement under a fixed name; see :meth:`run_once`.

        :param name: Name of the job.
        :param since: When the state was read that it is to change.
        :param sql: The statement.
        :param parameters: Query parameters of the client.
        :return: The finished job, and whether this call submitted it.
        """
        return self.run_once(name, since, lambda job_id: self._begin(sql, parameters, job_id))

    def settle(self, job_id: str) -> None:
        """Wait until a job has ended, if it was ever submitted, however it ends.

        :param job_id: Its id.
        """
        from google.api_core.exceptions import GoogleAPICallError, NotFound

        with explained(self.address):
            try:
                job = self.client.get_job(job_id, location=self.address.location)
            except NotFound:
                return
            with suppress(GoogleAPICallError):
                job.result()

    def link(self, job: Any) -> str:
        """Return the page of a job in the Cloud console.

        :param job: A job of the client.
        :return: Its address.
        """
        place = f"project={self.address.project}&j=bq:{job.location or self.address.location}:{job.job_id}"
        return f"https://console.cloud.google.com/bigquery?{place}&page=queryresults"

    def count(self, job: Any) -> None:
        """Add a finished job to what the jobs cost.

        :param job: A query or load job.
        """
        with self._lock:
            totals = self._totals
            totals.jobs += 1
            totals.processed += int(getattr(job, "total_bytes_processed", None) or 0)
            totals.billed += int(getattr(job, "total_bytes_billed", None) or 0)
            totals.links = [*totals.links, self.link(job)][-_LINKS_KEPT:]

    def count_read(self, scanned: int) -> None:
        """Add bytes that the Storage Read API scanned.

        :param scanned: Bytes, as it estimates them.
        """
        with self._lock:
            self._totals.read += scanned

    def usage(self) -> WarehouseUsage:
        """Return what the jobs cost so far."""
        with self._lock:
            totals = self._totals
            return WarehouseUsage(totals.jobs, totals.processed, totals.billed, totals.read, tuple(totals.links))

    def _begin(self, sql: str, parameters: Sequence[Any], job_id: str | None) -> Any:
        config = self._query_config(parameters, limited=True)
        if job_id is None:
            return self.client.query(sql, job_config=config, location=self.address.location)
        return self.client.query(sql, job_config=config, job_id=job_id, location=self.address.location, job_retry=None)

    def _query_config(self, parameters: Sequence[Any], *, limited: bool) -> Any:
        from google.cloud.bigquery import QueryJobConfig

        config = QueryJobConfig(
            default_dataset=f"{self.address.project}.{self.address.dataset}",
            labels={"application": "nexus", **self.address.labels},
            query_parameters=list(parameters),
        )
        if limited and self.address.maximum_bytes_billed is not None:
            config.maximum_bytes_billed = self.address.maximum_bytes_billed
        return config
