"""Rows put into shuffle order in bounded memory: kept while they fit, laid aside in files when they do not.

A row's rank is its place in shuffle order. A file laid aside holds a range of ranks, so that each can be read,
sorted and written out alone; because the order is a hash, they fill evenly.
"""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from omics_datastore.ingest.counts import finish_rows

_BYTES_PER_NONZERO = 8
"""Of a count that is given back, or laid aside in a file."""
_RANGE_NONZEROS = 2**20
"""About how many counts a range holds that is given back from memory: few enough to stay in the processor's cache."""
_SMALL = 2**16
"""Columns and counts below this are held in 16 bits."""


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
        self._expected = expected_nonzeros
        self._held_entries = 0
        self._held_bytes = limit_bytes // 2
        # Never-touched parts of these cost nothing; filled in place, the rows need not be joined later.
        self._columns: NDArray[Any] = np.empty(0, np.uint16 if features <= _SMALL else np.int32)
        self._counts: NDArray[Any] = np.empty(0, np.uint16)
        self._resize()
        self._held: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []  # ranks of rows, and their lengths
        self._gathered = (np.empty(0, np.int32), np.empty(0, np.int32))
        self._spilled = False
        buckets = -(-expected_nonzeros * _BYTES_PER_NONZERO // max(1, limit_bytes // 8))
        self._bucket_rows = self._range_rows(buckets)

    def add_rows(self, first_row: int, rows: sparse.csr_matrix) -> None:
        """Add whole rows.

        :param first_row: Row of the source that the matrix begins at.
        :param rows: Canonical int32 CSR matrix.
        """
        ranks = self._rank[first_row : first_row + rows.shape[0]]
        if self._counts.dtype == np.uint16 and rows.nnz and int(rows.data.max()) >= _SMALL:
            self._widen()
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

        :return: (first rank, canonical CSR matrix of the rows from there), ranges ascending without gaps; the next
            one may overwrite the last.
        :raise RefusedSourceError: When entries of one cell and feature add up to more than a count may be.
        """
        cells = len(self._rank)
        if self._held and not self._spilled:
            order, _, starts, lengths = self._held_rows()
            step = self._range_rows(-(-self._held_entries // _RANGE_NONZEROS))
            for first in range(0, cells, step):
                yield first, self._gather(starts, lengths, order[first : first + step])
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

    def _resize(self) -> None:
        """Make room for as many counts as fit, and keep those that are held."""
        columns, counts, held = self._columns, self._counts, self._held_entries
        capacity = min(self._expected, self._held_bytes // (columns.itemsize + counts.itemsize))
        self._columns, self._counts = np.empty(capacity, columns.dtype), np.empty(capacity, counts.dtype)
        self._columns[:held], self._counts[:held] = columns[:held], counts[:held]

    def _widen(self) -> None:
        """Hold counts in 32 bits from now on; what does not fit any more goes to files."""
        if self._held_entries > self._held_bytes // (self._columns.itemsize + 4):
            self._spill_held()
        self._counts = self._counts[: self._held_entries].astype(np.int32)
        self._resize()

    def _held_rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the order of the held rows by rank, and of each row as it came its rank, first place and length."""
        ranks = np.concatenate([ranks for ranks, _ in self._held])
        lengths = np.concatenate([lengths for _, lengths in self._held])
        return np.argsort(ranks), ranks, np.cumsum(lengths) - lengths, lengths

    def _gather(
        self, starts: NDArray[np.int64], lengths: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> sparse.csr_matrix:
        """Return held rows as a matrix, in memory that the next call uses again."""
        entries = int(lengths[rows].sum())
        if len(self._gathered[0]) < entries:
            self._gathered = (np.empty(entries + entries // 8, np.int32), np.empty(entries + entries // 8, np.int32))
        spans = [
            slice(low, high) for low, high in zip(starts[rows].tolist(), (starts + lengths)[rows].tolist(), strict=True)
        ]
        columns, counts = self._gathered[0][:entries], self._gathered[1][:entries]
        np.concatenate([self._columns[span] for span in spans], out=columns)
        np.concatenate([self._counts[span] for span in spans], out=counts)
        return self._matrix(lengths[rows], columns, counts)

    def _matrix(
        self, lengths: NDArray[np.int64], columns: NDArray[np.int32], counts: NDArray[np.int32]
    ) -> sparse.csr_matrix:
        pointers = np.zeros(len(lengths) + 1, np.int32)
        np.cumsum(lengths, out=pointers[1:])
        return sparse.csr_matrix((counts, columns, pointers), shape=(len(lengths), self._features), copy=False)

    def _spill_held(self) -> None:
        if not self._held:
            return
        order, ranks, starts, lengths = self._held_rows()
        for number, low, high in _runs(ranks[order] // self._bucket_rows):
            rows = order[low:high]
            self._append_rows(number, ranks[rows], self._gather(starts, lengths, rows))
        self._held.clear()
        self._held_entries = 0

    def _spill_rows(self, ranks: NDArray[np.int64], rows: sparse.csr_matrix) -> None:
        order = np.argsort(ranks)
        for number, low, high in _runs(ranks[order] // self._bucket_rows):
            self._append_rows(number, ranks[order[low:high]], rows[order[low:high]])

    def _append_rows(self, number: int, ranks: NDArray[np.int64], rows: sparse.csr_matrix) -> None:
        """Append to a file: the number of rows and entries, the ranks, the lengths, the columns, the counts."""
        self._spilled = True
        head = np.concatenate([[rows.shape[0], rows.nnz], ranks - number * self._bucket_rows])
        self._append(number, head.astype(np.int32), np.diff(rows.indptr).astype(np.int32), rows.indices, rows.data)

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
