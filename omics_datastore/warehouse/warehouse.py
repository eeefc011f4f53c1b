"""The warehouse seam: load with commit, query by Ibis expression, read counts of chosen cells."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import ibis.expr.types as ir
import numpy as np
import polars as pl
from numpy.typing import NDArray

from omics_datastore.ingest.manifest import IngestManifest


@dataclass(frozen=True)
class LoadResult:
    """What a load did: ids that became visible, ids that were visible already, and details for people."""

    committed: tuple[str, ...]
    unchanged: tuple[str, ...]
    rows: dict[str, int]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CountsBatch:
    """Counts of some of the cells that were asked for, all of one ingest, as CSR.

    ``rows`` (n,) are row numbers of the frame that was asked with; ``indptr`` (n + 1,) int64,
    ``feature_index`` and ``raw_count`` int32.
    """

    ingest_id: str
    rows: NDArray[np.int64]
    indptr: NDArray[np.int64]
    feature_index: NDArray[np.int32]
    raw_count: NDArray[np.int32]


@dataclass(frozen=True)
class WarehouseUsage:
    """What the jobs of a warehouse object cost so far.

    ``jobs`` and the bytes their queries processed and billed; bytes that :meth:`Warehouse.read_counts` scanned, as
    estimated; ``links`` are pages of the latest jobs.
    """

    jobs: int = 0
    bytes_processed: int = 0
    bytes_billed: int = 0
    bytes_read: int = 0
    links: tuple[str, ...] = ()


@dataclass(frozen=True)
class HeldIngest:
    """An ingest of which a data table holds rows, committed or not.

    ``size`` is in bytes and 0 where nobody counts them, ``changed`` in seconds since 1970 and 0 where nobody knows.
    """

    ingest_id: str
    size: int
    changed: float


@dataclass(frozen=True)
class SqlResult:
    """Rows of a statement that somebody wrote, and whether there were more than were asked for."""

    rows: pl.DataFrame
    is_cut: bool


class Warehouse(ABC):
    """Hold the four tables of :mod:`omics_datastore.schema.tables`."""

    sort_limit: int | None = None
    """Rows that one ordered query should give at most; ``None`` where any number is sorted."""

    reads_ingests_apart = False
    """Whether :meth:`read_counts` of some ingests costs nothing more when threads share the ingests."""

    @property
    @abstractmethod
    def uri(self) -> str:
        """Return the address of the warehouse for people."""

    @abstractmethod
    def load(self, manifests: Sequence[IngestManifest], committed_at: datetime) -> LoadResult:
        """Load ingest files and make all of them visible at once.

        An ingest that is visible and current is left alone, unless its files are damaged: then it is loaded again. One
        that was superseded becomes current again. Whatever an interrupted load of the same ids left is replaced.

        :param manifests: Manifests of the ingests.
        :param committed_at: Time of the commit, with a time zone.
        :return: What was done.
        :raise CorruptionError: When an ingest file is not what its manifest says.
        """

    @abstractmethod
    def retire(self, datasets: Sequence[str], retired_at: datetime) -> tuple[str, ...]:
        """Hide the current ingests of datasets at once from whoever asks for current ones; nothing is deleted.

        What pinned them can still read them. Loading one again makes it current again.

        :param datasets: Dataset keys.
        :param retired_at: Time of the retirement, with a time zone.
        :return: The ids of the ingests that were hidden; none when nothing of the datasets was current.
        """

    @abstractmethod
    def held_ingests(self) -> list[HeldIngest]:
        """Return the ingests of which a data table holds rows, those of unfinished loads too.

        :return: In the order of their ids.
        """

    @abstractmethod
    def purge(self, ingest_ids: Sequence[str]) -> None:
        """Hide ingests, then delete their rows; killed in between and called again it ends the same.

        Nothing may load them at the same time.

        :param ingest_ids: Ingest ids; those of which nothing is there are no error.
        """

    @abstractmethod
    def ingests(self) -> pl.DataFrame:
        """Return the committed ingests, with ``ingest_info``'s columns and ``is_current``.

        Of the ingests of one source file, that is of one (dataset, source_uri), the one committed last
        is current, unless it was retired since.

        :return: One row an ingest id, ordered by dataset, source_uri and committed_at.
        """

    @abstractmethod
    def query(self, expression: ir.Table) -> pl.DataFrame:
        """Run an expression over the relations of the four tables.

        Only rows of committed ingests are visible in any table.

        :param expression: Built with :mod:`omics_datastore.query`.
        :return: The result.
        """

    @abstractmethod
    def sql(self, text: str, limit: int) -> SqlResult:
        """Run a statement that somebody wrote in the BigQuery dialect; it can only read.

        The tables are the four tables and the view ``raw_counts_coo``, named without a dataset. Columns without a
        name are called ``f0_``, ``f1_``, …; JSON is text. Superseded and retired ingests are seen; in BigQuery rows of
        a load that has not ended are too, and ``ingest_info`` alone says what is committed.

        :param text: One SELECT or WITH.
        :param limit: Rows to give at most, at least one.
        :return: The rows, in the order of the statement.
        :raise InputError: When it is anything else, cannot be read, names what is not there, or fails over its own
            values; one sentence, with the place where that is known.
        """

    @abstractmethod
    def stream(self, expression: ir.Table, batch_rows: int) -> Iterator[pl.DataFrame]:
        """Run an expression and give its result in batches, in order, without holding all of it.

        :param expression: Built with :mod:`omics_datastore.query`.
        :param batch_rows: Rows a batch, about.
        :return: The batches.
        """

    @abstractmethod
    def count_totals(self, ingest_ids: Sequence[str]) -> pl.DataFrame:
        """Count what the tables really hold of some ingests, committed or not.

        :param ingest_ids: Ingest ids.
        :return: One row an id with int64 columns ``raw_counts_rows``, ``nnz``, ``cell_info_rows``,
            ``distinct_cells``, ``orphan_cells`` (cells in only one of the two tables) and ``feature_info_rows``.
        """

    @abstractmethod
    def read_counts(self, cells: pl.DataFrame) -> Iterator[CountsBatch]:
        """Read the counts of chosen cells.

        :param cells: Columns ``ingest_id``, ``cell_index``, ``shuffle_key``; no cell twice.
        :return: Batches that together hold every cell once, in any order.
        :raise CorruptionError: When a cell is not in ``raw_counts``.
        """

    def scanned_bytes(self, expression: ir.Table) -> int | None:
        """Tell how many bytes a query would read, without running it.

        :param expression: Built with :mod:`omics_datastore.query`.
        :return: Bytes; ``None`` where reading is free.
        """
        del expression
        return None

    def usage(self) -> WarehouseUsage:
        """Return what the jobs of this object cost so far; nothing where they are free."""
        return WarehouseUsage()
