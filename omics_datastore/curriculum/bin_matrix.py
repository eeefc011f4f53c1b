"""Counts of cells as they come from the warehouse, put into the columns of a curriculum and the order of its bins.

Nothing here loops over cells or counts: rows are gathered by scipy, and columns are sorted by two transpositions,
which are linear and need no comparison (Gustavson, "Two fast algorithms for sparse matrices", ACM TOMS 4, 1978).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from omics_datastore.curriculum.shard import CountsMatrix
from omics_datastore.errors import CorruptionError
from omics_datastore.warehouse.warehouse import CountsBatch

_BLOCK_COUNTS = 1 << 18
"""Counts sorted at once: they stay in the processor's cache."""

BYTES_A_COUNT = 8
"""Memory of a collected count: column and value."""

MOST_COUNTS = 2**31 - 1
"""Counts that one collector holds at most: what int32 can number."""


class CountsCollector:
    """Collect the counts of some cells batch by batch.

    :param cells: Number of cells.
    :param counts: Counts in all at most, before features that are not wanted are dropped.
    :param features: Features of the curriculum.
    """

    def __init__(self, cells: int, counts: int, features: int) -> None:
        self._columns = np.empty(counts, np.int32)
        self._values = np.empty(counts, np.float32)
        self._ends = np.zeros(cells + 1, np.int32)
        self._arrived = np.full(cells, -1, np.int32)
        self._features = features
        self._cells = 0
        self._in_order = True

    def add(self, batch: CountsBatch, columns: NDArray[np.int32]) -> None:
        """Add a batch.

        :param batch: Counts of cells of one ingest; ``rows`` number the collector's cells.
        :param columns: The ingest's map from feature index to column, -1 where a feature is not wanted.
        :raise CorruptionError: When the batch has features or counts that the ingest does not list.
        """
        given, used = len(batch.feature_index), int(self._ends[self._cells])
        if given and int(batch.feature_index.max()) >= len(columns):
            raise CorruptionError(
                f"raw_counts of ingest {batch.ingest_id} has a feature that feature_info lacks; run the ingest again."
            )
        if used + given > len(self._columns) or self._cells + len(batch.rows) > len(self._arrived):
            raise CorruptionError(
                f"raw_counts of ingest {batch.ingest_id} holds more than cell_info says; run the ingest again."
            )
        # Features that are not wanted become one more column, which is cut off when columns are sorted.
        wanted = np.where(columns < 0, np.int32(self._features), columns)
        np.take(wanted, batch.feature_index, out=self._columns[used : used + given], mode="clip")
        self._values[used : used + given] = batch.raw_count
        cells = len(batch.rows)
        self._ends[self._cells + 1 : self._cells + cells + 1] = used + batch.indptr[1:]
        self._arrived[batch.rows] = np.arange(self._cells, self._cells + cells, dtype=np.int32)
        self._cells += cells
        self._in_order = self._in_order and bool((columns >= 0).all() and (np.diff(columns) > 0).all())

    def matrix(self, first: int, last: int) -> CountsMatrix:
        """Return the counts of neighbouring cells in order.

        :param first: First cell.
        :param last: Cell after the last.
        :return: Their counts, sorted by column inside a row.
        :raise CorruptionError: When the counts of a cell never came.
        """
        arrived = self._arrived[first:last]
        if (arrived < 0).any():
            raise CorruptionError("raw_counts lacks cells that cell_info has; run the ingest again.")
        used = int(self._ends[self._cells])
        shape = (self._cells, self._features + 1)
        stored = (self._values[:used], self._columns[:used], self._ends[: self._cells + 1])
        every = sparse.csr_matrix(stored, shape=shape)
        if self._in_order:
            rows = every[arrived]
            return CountsMatrix(rows.indptr, rows.indices, rows.data, self._features)
        step = max(1, _BLOCK_COUNTS * self._cells // max(1, used))
        blocks = [
            _sorted_columns(every[arrived[start : start + step]], self._features)
            for start in range(0, last - first, step)
        ]
        indptr = np.zeros(last - first + 1, np.int32)
        np.cumsum(np.concatenate([np.diff(block.indptr) for block in blocks]), out=indptr[1:])
        indices = np.concatenate([block.indices for block in blocks])
        return CountsMatrix(indptr, indices, np.concatenate([block.data for block in blocks]), self._features)


def _sorted_columns(rows: sparse.csr_matrix, features: int) -> sparse.csr_matrix:
    """Sort the columns of rows and cut those off that come after the last feature."""
    by_column = rows.tocsc()
    end = by_column.indptr[features]
    kept = (by_column.data[:end], by_column.indices[:end], by_column.indptr[: features + 1])
    return sparse.csc_matrix(kept, shape=(rows.shape[0], features)).tocsr()
