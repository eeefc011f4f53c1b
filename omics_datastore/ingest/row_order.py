"""Rows put into shuffle order in bounded memory: kept while they fit, laid aside in files when they do not.

A row's rank is its place in shuffle order. A file laid aside holds a range of ranks, so that each can be read,
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

    One matrix comes either as whole rows or as entries of any cells, never as both.

    :param rank: int64 (cells,): the place of each row of the source in shuffle order.
    :param features: Number of features.
    :param expected_nonzeros: At most how many counts will come.
    :param limit_bytes: Bytes to hold, about; half of it are kept before rows go to files.
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
        self._folder = folder
        self._group = group
        capacity = min(expected_nonzeros, limit_bytes // 2 // _BYTES_PER_NONZERO)
        # Never-touched parts of these cost nothing; filled in place, the rows need not be joined later.
        self._columns = np.empty(capacity, np.int32)
        self._counts = np.empty(capacity, np.int32)
        self._held: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []  # ranks of rows, and their lengths
        self._held_entries = 0
        self._spilled = False
        buckets = -(-expected_nonzeros * _BYTES_PER_NONZERO // max(1, limit_bytes // 8))
        self._bucket_rows = self._range_rows(buckets)

    def add_rows(self, first_row: int, rows: sparse.csr_matrix) -> None:
        """Add whole rows.

        :param first_row: Row of the source that the matrix begins at.
        :param rows: Canonical int32 CSR matrix.
        """
        ranks = self._rank[first_row : first_row + rows.shape[0]]
        if self._held_entries + rows.nnz > len(self._counts):
            self._spill_held()
        if rows.nnz > len(self._counts):
            self._spill_rows(ranks, rows)
            return
        low, high = self._held_entries, self._held_entries + rows.nnz
        self._columns[low:high] = rows.indices
        self._counts[low:high] = rows.data
        self._held.append((ranks, np.diff(rows.indptr).astype(np.int64)))
        self._held_entries = high

    def add_entries(self, rows: NDArray[np.int64], columns: NDArray[np.int32], counts: NDArray[np.int32]) -> None:
        """Add entries of any cells, to be joined with others of the same cells.

        :param rows: int64 (n,), rows of the source.
        :param columns: int32 (n,), features.
        :param counts: int32 (n,).
        """
        ranks = self._rank[rows]
        bucket = ranks // self._bucket_rows
        order = _stable_order(bucket)
        triples = np.empty((len(order), 3), np.int32)
        triples[:, 0] = (ranks - bucket * self._bucket_rows)[order]
        triples[:, 1] = columns[order]
        triples[:, 2] = counts[order]
        for number, low, high in _runs(bucket[order]):
            self._append(number, triples[low:high])

    def ranges(self) -> Iterator[tuple[int, sparse.csr_matrix]]:
        """Give back the rows.

        :return: (first rank, canonical CSR matrix of the rows from there), ranges ascending without gaps.
        :raise RefusedSourceError: When entries of one cell and feature add up to more than a count may be.
        """
        cells = len(self._rank)
        if self._held and not self._spilled:
            held, ranks = self._take_held()
            order = np.argsort(ranks)
            step = self._range_rows(-(-held.nnz // _RANGE_NONZEROS))
            for first in range(0, cells, step):
                yield first, held[order[first : first + step]]
            return
        self._spill_held()
        for first in range(0, cells, self._bucket_rows):
            # No name here may hold on to what was read while the rows are being written.
            yield first, self._read_bucket(first, min(cells, first + self._bucket_rows))

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _range_rows(self, ranges: int) -> int:
        """Return how many rows each of about so many ranges has: a multiple of the group."""
        return max(self._group, -(-len(self._rank) // max(1, ranges)) // self._group * self._group)

    def _take_held(self) -> tuple[sparse.csr_matrix, NDArray[np.int64]]:
        """Return the held rows in the order they came, as a view, with their ranks; nothing is held afterwards."""
        ranks = np.concatenate([ranks for ranks, _ in self._held])
        lengths = np.concatenate([lengths for _, lengths in self._held])
        held = self._matrix(lengths, self._columns[: self._held_entries], self._counts[: self._held_entries])
        self._held.clear()
        self._held_entries = 0
        return held, ranks

    def _matrix(
        self, lengths: NDArray[np.int64], columns: NDArray[np.int32], counts: NDArray[np.int32]
    ) -> sparse.csr_matrix:
        pointers = np.zeros(len(lengths) + 1, np.int32)
        np.cumsum(lengths, out=pointers[1:])
        return sparse.csr_matrix((counts, columns, pointers), shape=(len(lengths), self._features), copy=False)

    def _spill_held(self) -> None:
        if self._held:
            rows, ranks = self._take_held()
            self._spill_rows(ranks, rows)

    def _spill_rows(self, ranks: NDArray[np.int64], rows: sparse.csr_matrix) -> None:
        """Append to each file: the number of rows and entries, the ranks, the lengths, the columns, the counts."""
        self._spilled = True
        order = np.argsort(ranks)
        ranks = ranks[order]
        for number, low, high in _runs(ranks // self._bucket_rows):
            part = rows[order[low:high]]
            head = np.concatenate([[high - low, part.nnz], ranks[low:high] - number * self._bucket_rows])
            self._append(number, head.astype(np.int32), np.diff(part.indptr).astype(np.int32), part.indices, part.data)

    def _append(self, number: int, *parts: NDArray[np.int32]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{number:06d}").open("ab") as file:
            for part in parts:
                part.tofile(file)

    def _read_bucket(self, first: int, last: int) -> sparse.csr_matrix:
        path = self._folder / f"{first // self._bucket_rows:06d}"
        stored = np.fromfile(path, np.int32) if path.exists() else np.empty(0, np.int32)
        path.unlink(missing_ok=True)
        return self._join_rows(stored, first) if self._spilled else self._join_entries(stored, last - first)

    def _join_rows(self, stored: NDArray[np.int32], first: int) -> sparse.csr_matrix:
        parts: list[list[NDArray[np.int32]]] = []
        place = 0
        while place < len(stored):
            height, entries = (int(size) for size in stored[place : place + 2])
            ends = np.cumsum([place + 2, height, height, entries, entries])
            parts.append([stored[low:high] for low, high in itertools.pairwise(ends)])
            place = int(ends[-1])
        if not parts:
            raise ValueError(f"no rows were laid aside from rank {first} on")
        ranks, lengths, columns, counts = (np.concatenate(pieces) for pieces in zip(*parts, strict=True))
        return self._matrix(lengths.astype(np.int64), columns, counts)[np.argsort(ranks)]

    def _join_entries(self, stored: NDArray[np.int32], height: int) -> sparse.csr_matrix:
        triples = stored.reshape(-1, 3)
        lengths = np.bincount(triples[:, 0], minlength=height)
        # Stable, so that entries written by ascending column stay so within each row.
        order = _stable_order(triples[:, 0])
        return finish_rows(self._matrix(lengths, triples[order, 1], triples[order, 2]))


def _runs(values: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Return (value, first place, place after the last) of each run of equal values in an ascending array."""
    edges = np.flatnonzero(np.diff(values, prepend=-1, append=-1))
    for low, high in itertools.pairwise(edges):
        yield int(values[low]), int(low), int(high)


def _stable_order(values: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the stable order of small non-negative integers; numpy sorts 16 bits by radix, in a fifth of the time."""
    small = len(values) == 0 or int(values.max()) < 2**16
    return np.argsort(values.astype(np.uint16) if small else values, kind="stable")
