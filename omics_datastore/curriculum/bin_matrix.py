"""Counts of cells as they come from the warehouse, put into the columns of a curriculum and the order of its bins.

Nothing here loops over counts: whole rows are copied, or gathered by scipy where columns must be sorted, by two
transpositions, which are linear and need no comparison (Gustavson, "Two fast algorithms for sparse matrices", ACM TOMS
4, 1978).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from omics_datastore.curriculum.shard import CountsMatrix
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.warehouse.warehouse import CountsBatch

_BLOCK_COUNTS = 1 << 18
"""Counts put in order at once: they stay in the processor's cache."""

_CELLS_AT_ONCE = 256
"""Cells gathered at once: so few objects are made that Python does not collect garbage meanwhile."""

LARGEST_EXACT = 2**24
"""The largest count up to which float32 holds every whole number."""

BYTES_A_COUNT = 8
"""Memory of a collected count: column and value."""

MOST_COUNTS = 2**31 - 1
"""Counts that one collector holds at most: what int32 can number."""


class Buffers:
    """Arrays that are used again and again by one thread: new memory costs more than what is done with it."""

    def __init__(self) -> None:
        self._kept: dict[str, NDArray[Any]] = {}

    def take(self, name: str, size: int, dtype: type[np.generic]) -> NDArray[Any]:
        """Return an array, whose content is of no meaning, in the place of the last one of this name.

        :param name: What the array is for.
        :param size: Its length.
        :param dtype: Its type, always the same for a name.
        :return: The array.
        """
        kept = self._kept.get(name)
        if kept is None or len(kept) < size:
            self._kept.pop(name, None)
            kept = self._kept[name] = np.empty(size + size // 8, dtype)  # the next one may be a little larger
        return kept[:size]


class CountsCollector:
    """Collect the counts of some cells batch by batch.

    :param cells: Number of cells.
    :param counts: Counts in all at most, before features that are not wanted are dropped.
    :param features: Features of the curriculum.
    :param buffers: Memory to use; no other collector may use it meanwhile.
    """

    def __init__(self, cells: int, counts: int, features: int, buffers: Buffers | None = None) -> None:
        self._buffers = buffers or Buffers()
        self._columns = self._buffers.take("columns", counts, np.int32)
        self._values = self._buffers.take("values", counts, np.float32)
        self._ends = np.zeros(cells + 1, np.int32)
        self._arrived = np.full(cells, -1, np.int32)
        self._features = features
        self._cells = 0
        self._in_order = True
        self._maps: dict[int, tuple[NDArray[np.int32], _Map]] = {}

    def add(self, batch: CountsBatch, columns: NDArray[np.int32]) -> None:
        """Add a batch.

        :param batch: Counts of cells of one ingest; ``rows`` number the collector's cells.
        :param columns: The ingest's map from feature index to column, -1 where a feature is not wanted.
        :raise CorruptionError: When the batch has features or counts that the ingest does not list.
        :raise InputError: When a count cannot be held exactly as float32.
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
        if given and int(batch.raw_count.max()) > LARGEST_EXACT:
            raise InputError(
                f"ingest {batch.ingest_id} has a count of {int(batch.raw_count.max())}, above {LARGEST_EXACT}, which "
                "the float32 of a shard cannot hold exactly; leave that ingest out with a filter on dataset."
            )
        known = self._map_of(columns)
        if known.same:
            self._columns[used : used + given] = batch.feature_index
        else:
            np.take(known.columns, batch.feature_index, out=self._columns[used : used + given], mode="clip")
        self._values[used : used + given] = batch.raw_count
        cells = len(batch.rows)
        self._ends[self._cells + 1 : self._cells + cells + 1] = used + batch.indptr[1:]
        self._arrived[batch.rows] = np.arange(self._cells, self._cells + cells, dtype=np.int32)
        self._cells += cells

    def matrix(self, first: int, last: int) -> CountsMatrix:
        """Return the counts of neighbouring cells in order.

        :param first: First cell.
        :param last: Cell after the last.
        :return: Their counts, sorted by column inside a row; the next call overwrites them.
        :raise CorruptionError: When the counts of a cell never came.
        """
        arrived = self._arrived[first:last]
        if (arrived < 0).any():
            raise CorruptionError("raw_counts lacks cells that cell_info has; run the ingest again.")
        lengths = self._ends[arrived + 1] - self._ends[arrived]
        indices = self._buffers.take("indices", int(lengths.sum()), np.int32)
        data = self._buffers.take("data", len(indices), np.float32)
        indptr = np.zeros(last - first + 1, np.int32)
        np.cumsum(lengths, out=indptr[1:])
        if self._in_order:
            for start in range(0, len(arrived), _CELLS_AT_ONCE):
                some = arrived[start : start + _CELLS_AT_ONCE]
                ends = zip(self._ends[some].tolist(), self._ends[some + 1].tolist(), strict=True)
                spans = [slice(low, high) for low, high in ends]
                out = slice(int(indptr[start]), int(indptr[start + len(some)]))
                np.concatenate([self._columns[span] for span in spans], out=indices[out])
                np.concatenate([self._values[span] for span in spans], out=data[out])
        else:
            self._sort(arrived, indptr, indices, data)
        return CountsMatrix(indptr, indices[: indptr[-1]], data[: indptr[-1]], self._features)

    def _map_of(self, columns: NDArray[np.int32]) -> "_Map":
        """Return what is known of a map; ingests share arrays, and an array that is kept keeps its id."""
        if id(columns) not in self._maps:
            self._maps[id(columns)] = (columns, _Map.of(columns, self._features))
            self._in_order = self._in_order and self._maps[id(columns)][1].in_order
        return self._maps[id(columns)][1]

    def _sort(
        self,
        arrived: NDArray[np.int32],
        indptr: NDArray[np.int32],
        indices: NDArray[np.int32],
        data: NDArray[np.float32],
    ) -> None:
        """Put the counts of cells in order, sorted by column; those of features that are not wanted go."""
        used = int(self._ends[self._cells])
        stored = (self._values[:used], self._columns[:used], self._ends[: self._cells + 1])
        every = sparse.csr_matrix(stored, shape=(self._cells, self._features + 1))
        step = max(1, _BLOCK_COUNTS * self._cells // max(1, used))
        for start in range(0, len(arrived), step):
            block = _sorted_columns(every[arrived[start : start + step]], self._features)
            begin, end = indptr[start], indptr[start] + block.nnz
            indptr[start + 1 : start + 1 + block.shape[0]] = begin + block.indptr[1:]
            indices[begin:end], data[begin:end] = block.indices, block.data


@dataclass(frozen=True)
class _Map:
    """Where the features of an ingest are: the column of each feature index, and whether that keeps their order.

    Features that are not wanted become one more column, which is cut off when columns are sorted.
    """

    columns: NDArray[np.int32]
    in_order: bool
    same: bool

    @classmethod
    def of(cls, columns: NDArray[np.int32], features: int) -> "_Map":
        wanted = np.where(columns < 0, np.int32(features), columns)
        in_order = bool((columns >= 0).all() and (np.diff(columns) > 0).all())
        return cls(wanted, in_order, in_order and (len(columns) == 0 or int(columns[-1]) == len(columns) - 1))


def _sorted_columns(rows: sparse.csr_matrix, features: int) -> sparse.csr_matrix:
    """Sort the columns of rows and cut those off that come after the last feature."""
    by_column = rows.tocsc()
    end = by_column.indptr[features]
    kept = (by_column.data[:end], by_column.indices[:end], by_column.indptr[: features + 1])
    return sparse.csc_matrix(kept, shape=(rows.shape[0], features)).tocsr()
