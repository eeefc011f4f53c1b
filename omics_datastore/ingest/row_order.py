"""Rows put into shuffle order in bounded memory: kept while they fit, scattered over files when they do not.

A row's rank is its place in shuffle order. Files of the scatter hold ranges of ranks, so that each can be read,
sorted and written out alone; because the order is a hash, they fill evenly.
"""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from omics_datastore.ingest.counts import finish_rows

_BYTES_PER_NONZERO = 8
_RANGE_NONZEROS = 2**21
"""About how many counts a range holds that is given back from memory: few enough to stay in the allocator's reuse."""


class CountsInOrder:
    """Collect counts in any order and give them back as CSR in shuffle order.

    :param rank: int64 (cells,): the place of each row of the source in shuffle order.
    :param features: Number of features.
    :param expected_nonzeros: At most how many counts will come.
    :param limit_bytes: Bytes to hold before rows go to files.
    :param group: Ranges of ranks are multiples of this many rows.
    :param folder: Where files may be written; removed by :meth:`close`.
    """

    def __init__(
        self,
        rank: NDArray[np.int64],
        features: int,
        expected_nonzeros: int,
        limit_bytes: int,
        group: int,
        folder: Path,
    ) -> None:
        self._rank = rank
        self._features = features
        self._limit = limit_bytes
        self._folder = folder
        self._group = group
        capacity = min(expected_nonzeros, limit_bytes // 2 // _BYTES_PER_NONZERO)
        # Never-touched parts of these cost nothing; filled in place, the rows need not be joined later.
        self._columns = np.empty(capacity, np.int32)
        self._counts = np.empty(capacity, np.int32)
        self._held: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []  # ranks of rows, and their lengths
        self._held_entries = 0
        self._spilled = False
        buckets = -(-expected_nonzeros * _BYTES_PER_NONZERO // max(1, limit_bytes // 4))
        self._bucket_rows = self._range_rows(buckets)

    def add_rows(self, first_row: int, rows: sparse.csr_matrix) -> None:
        """Add whole rows.

        :param first_row: Row of the source that the matrix begins at.
        :param rows: Canonical int32 CSR matrix.
        """
        ranks = self._rank[first_row : first_row + rows.shape[0]]
        lengths = np.diff(rows.indptr)
        if self._held_entries + rows.nnz > len(self._counts):
            self._spill()
        if rows.nnz > len(self._counts):
            self._scatter(np.repeat(ranks, lengths), rows.indices, rows.data)
            return
        low, high = self._held_entries, self._held_entries + rows.nnz
        self._columns[low:high] = rows.indices
        self._counts[low:high] = rows.data
        self._held.append((ranks, lengths))
        self._held_entries = high

    def add_entries(self, rows: NDArray[np.int64], columns: NDArray[np.int32], counts: NDArray[np.int32]) -> None:
        """Add entries of any cells, to be joined with others of the same cells.

        :param rows: int64 (n,), rows of the source.
        :param columns: int32 (n,), features.
        :param counts: int32 (n,).
        """
        self._spill()
        self._scatter(self._rank[rows], columns, counts)

    def ranges(self) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """Give back the rows.

        :return: (first rank, canonical CSR matrix of the rows from there), ranges ascending without gaps.
        """
        cells = len(self._rank)
        if self._spilled:
            self._spill()
            for first in range(0, cells, self._bucket_rows):
                yield first, self._read_bucket(first, min(cells, first + self._bucket_rows))
            return
        held, source = self._held_rows()
        step = self._range_rows(-(-held.nnz // _RANGE_NONZEROS))
        for first in range(0, cells, step):
            yield first, held[source[first : first + step]]

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _range_rows(self, ranges: int) -> int:
        """Return how many rows each of about so many ranges has: a multiple of the group."""
        return max(self._group, -(-len(self._rank) // max(1, ranges)) // self._group * self._group)

    def _held_rows(self) -> tuple[sparse.csr_matrix, NDArray[np.int64]]:
        """Return the rows in the order they came, and by rank which of them it is."""
        cells = len(self._rank)
        pointers = np.zeros(cells + 1, np.int64)
        source = np.empty(cells, np.int64)
        if self._held:
            np.cumsum(np.concatenate([lengths for _, lengths in self._held]), out=pointers[1:])
            source[np.concatenate([ranks for ranks, _ in self._held])] = np.arange(cells)
        entries = slice(self._held_entries)
        parts = (self._counts[entries], self._columns[entries], pointers.astype(np.int32))
        return sparse.csr_matrix(parts, shape=(cells, self._features), copy=False), source

    def _spill(self) -> None:
        self._spilled = True
        self._folder.mkdir(parents=True, exist_ok=True)
        first = 0
        for ranks, lengths in self._held:
            last = first + int(lengths.sum())
            self._scatter(np.repeat(ranks, lengths), self._columns[first:last], self._counts[first:last])
            first = last
        self._held.clear()
        self._held_entries = 0

    def _scatter(self, ranks: NDArray[np.int64], columns: NDArray[np.int32], counts: NDArray[np.int32]) -> None:
        bucket = ranks // self._bucket_rows
        order = _stable_order(bucket)
        triples = np.empty((len(order), 3), np.int32)
        triples[:, 0] = (ranks - bucket * self._bucket_rows)[order]
        triples[:, 1] = columns[order]
        triples[:, 2] = counts[order]
        edges = np.flatnonzero(np.diff(bucket[order], prepend=-1, append=-1))
        for low, high in itertools.pairwise(edges):
            with (self._folder / f"{bucket[order[low]]:06d}").open("ab") as file:
                triples[low:high].tofile(file)

    def _read_bucket(self, first: int, last: int) -> sparse.csr_matrix:
        path = self._folder / f"{first // self._bucket_rows:06d}"
        triples = np.fromfile(path, np.int32).reshape(-1, 3) if path.exists() else np.empty((0, 3), np.int32)
        shape = (last - first, self._features)
        pointers = np.concatenate([[0], np.cumsum(np.bincount(triples[:, 0], minlength=shape[0]))]).astype(np.int32)
        # Stable, so that entries written by ascending column stay so within each row.
        order = _stable_order(triples[:, 0])
        matrix = sparse.csr_matrix((triples[order, 2], triples[order, 1], pointers), shape=shape)
        path.unlink(missing_ok=True)
        return finish_rows(matrix)


def _stable_order(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the stable order of small non-negative integers; numpy sorts 16 bits by radix, in a fifth of the time."""
    small = len(values) == 0 or int(values.max()) < 2**16
    return np.argsort(values.astype(np.uint16) if small else values, kind="stable")
