"""Cells whose counts were asked for, matched with rows of ``raw_counts``. The same for every warehouse.

A list column of Arrow is CSR already: nothing here loops over cells or counts.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from omics_datastore.errors import CorruptionError
from omics_datastore.warehouse.warehouse import CountsBatch

COUNTS_COLUMNS = ("cell_index", "shuffle_key", "feature_index", "raw_count")
"""The columns of ``raw_counts`` that a match needs, besides the ingest."""

_MOST_CELLS = 2**32
_MOST_FEATURES = 2**31 - 1


class CellRequest:
    """Match rows of ``raw_counts`` with the cells that were asked for, and notice what is missing or there twice.

    :param ingest_ids: The ingests, none twice.
    :param ingest: int64 (n,), of each cell the position of its ingest in ``ingest_ids``.
    :param cell_index: int64 (n,), the cells; none of an ingest twice.
    :param shuffle_key: int64 (n,), their shuffle keys.
    :param rows: int64 (n,), what the batches call the cells.
    """

    def __init__(
        self,
        ingest_ids: Sequence[str],
        ingest: NDArray[np.int64],
        cell_index: NDArray[np.int64],
        shuffle_key: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> None:
        self.ingest_ids = list(ingest_ids)
        cells = _cells(ingest, cell_index)
        order = np.argsort(cells)
        self._cells, self._keys, self._rows = cells[order], shuffle_key[order], rows[order]
        self._found = np.zeros(len(cells), np.int8)

    @property
    def keys(self) -> NDArray[np.int64]:
        """Return the shuffle keys of the cells, ascending: int64 (n,)."""
        return np.sort(self._keys)

    def take(self, ingest: NDArray[np.int64], batch: pa.RecordBatch) -> Iterator[CountsBatch]:
        """Take the cells that were asked for out of some rows.

        :param ingest: int64 (rows,), positions of the rows' ingests; -1 where an ingest was not asked for.
        :param batch: The rows, with :data:`COUNTS_COLUMNS`; lists of int32 or int64.
        :return: Batches, one an ingest.
        :raise CorruptionError: When the lists of a row differ in length, or a number does not fit 31 bits.
        """
        chosen, place = self._match(ingest, batch)
        if not len(chosen):
            return
        owner = ingest[chosen]
        if (owner != owner[0]).any():
            order = np.argsort(owner, kind="stable")
            chosen, place, owner = chosen[order], place[order], owner[order]
        np.add.at(self._found, place, 1)
        indptr, features, counts = _slice_lists(batch, chosen)
        ends = np.flatnonzero(np.diff(owner, append=-1)) + 1
        for start, end in zip((0, *ends[:-1]), ends, strict=True):
            span = slice(indptr[start], indptr[end])
            yield CountsBatch(
                self.ingest_ids[owner[start]],
                self._rows[place[start:end]],
                indptr[start : end + 1] - indptr[start],
                features[span],
                counts[span],
            )

    def check_complete(self) -> None:
        """Check that every cell was found once.

        :raise CorruptionError: When a cell was not found, was found twice, or only under another shuffle key.
        """
        wrong = np.flatnonzero(self._found != 1)
        if len(wrong):
            cell = int(self._cells[wrong[0]])
            problem = "has no" if self._found[wrong[0]] == 0 else "has more than one"
            raise CorruptionError(
                f"raw_counts {problem} row of cell {cell % _MOST_CELLS} of ingest "
                f"{self.ingest_ids[cell // _MOST_CELLS]}; run the ingest again."
            )

    def _match(self, ingest: NDArray[np.int64], batch: pa.RecordBatch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if not len(self._cells):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        cells = _cells(ingest, batch.column("cell_index").to_numpy())
        place = np.searchsorted(self._cells, cells)
        place[place == len(self._cells)] = 0
        keys = batch.column("shuffle_key").to_numpy()
        chosen = np.flatnonzero((self._cells[place] == cells) & (self._keys[place] == keys) & (ingest >= 0))
        return chosen, place[chosen]


def number_cells(cells: pl.DataFrame) -> pl.DataFrame:
    """Give the cells of a request their numbers.

    :param cells: Columns ``ingest_id``, ``cell_index``, ``shuffle_key``.
    :return: Those, and int64 ``row``.
    :raise ValueError: When a cell stands twice.
    """
    numbered = cells.select("ingest_id", "cell_index", "shuffle_key").with_row_index("row").cast({"row": pl.Int64})
    if numbered.select("ingest_id", "cell_index").is_duplicated().any():
        raise ValueError("a cell was asked for twice")
    return numbered


def not_in_the_warehouse(ingest_id: str, cell_index: int) -> CorruptionError:
    """Return the error of a cell whose ingest is not committed.

    :param ingest_id: The ingest.
    :param cell_index: One of its cells that was asked for.
    :return: The error.
    """
    return CorruptionError(
        f"raw_counts has no row of cell {cell_index} of ingest {ingest_id}, which is not in the warehouse; "
        "run the ingest again."
    )


def _cells(ingest: NDArray[np.int64], cell_index: NDArray[np.int64]) -> NDArray[np.int64]:
    return ingest * _MOST_CELLS + cell_index


def _slice_lists(
    batch: pa.RecordBatch, chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    features, counts = batch.column("feature_index"), batch.column("raw_count")
    offsets = features.offsets.to_numpy().astype(np.int64)
    lengths = counts.offsets.to_numpy().astype(np.int64)
    if not np.array_equal(offsets - offsets[0], lengths - lengths[0]):
        raise CorruptionError("raw_counts holds lists of different lengths in one row; run the ingest again.")
    indices = _int32(features.values.slice(offsets[0], offsets[-1] - offsets[0]))
    data = _int32(counts.values.slice(lengths[0], lengths[-1] - lengths[0]))
    offsets = offsets - offsets[0]
    first, last = int(chosen[0]), int(chosen[-1])
    if last - first + 1 == len(chosen) and (np.diff(chosen) == 1).all():
        offsets = offsets[first : last + 2]
        span = slice(offsets[0], offsets[-1])
        return offsets - offsets[0], indices[span], data[span]
    shape = (len(offsets) - 1, _MOST_FEATURES)
    rows = sparse.csr_array((data, indices, offsets.astype(np.int32)), shape=shape)[chosen]
    return rows.indptr.astype(np.int64), rows.indices.astype(np.int32, copy=False), rows.data


def _int32(values: pa.Array) -> NDArray[np.int32]:
    try:
        fitting: NDArray[np.int32] = values.cast(pa.int32()).to_numpy()
        return fitting
    except pa.ArrowInvalid as error:
        largest = pc.max(values).as_py()
        raise CorruptionError(
            f"raw_counts holds the number {largest}, which does not fit 31 bits; run the ingest again."
        ) from error
