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
        self._held: list[tuple[NDArray[np.int64], sparse.csr_matrix]] = []
        self._held_bytes = 0
        self._spilled = False
        cells = max(1, len(rank))
        share = max(1, limit_bytes // 4)
        buckets = -(-expected_nonzeros * _BYTES_PER_NONZERO // share)
        self._bucket_rows = max(group, -(-cells // max(1, buckets)) // group * group)

    def add_rows(self, first_row: int, rows: sparse.csr_matrix) -> None:
        """Add whole rows.

        :param first_row: Row of the source that the matrix begins at.
        :param rows: Canonical int32 CSR matrix.
        """
        ranks = self._rank[first_row : first_row + rows.shape[0]]
        self._held.append((ranks, rows))
        self._held_bytes += rows.nnz * _BYTES_PER_NONZERO
        if self._held_bytes > self._limit // 2:
            self._spill()

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
            joined = None
        else:
            joined = self._join_held()
        for first in range(0, cells, self._bucket_rows):
            last = min(cells, first + self._bucket_rows)
            yield first, self._read_bucket(first, last) if joined is None else joined[self._source[first:last]]

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _join_held(self) -> sparse.csr_matrix:
        self._source = np.empty(len(self._rank), np.int64)
        held_ranks = [ranks for ranks, _ in self._held]
        if held_ranks:
            self._source[np.concatenate(held_ranks)] = np.arange(len(self._rank))
        joined = sparse.csr_matrix(np.empty((0, self._features), np.int32))
        if self._held:
            joined = sparse.vstack([rows for _, rows in self._held], format="csr", dtype=np.int32)
        self._held.clear()
        return joined

    def _spill(self) -> None:
        self._spilled = True
        self._folder.mkdir(parents=True, exist_ok=True)
        for ranks, rows in self._held:
            self._scatter(np.repeat(ranks, np.diff(rows.indptr)), rows.indices, rows.data)
        self._held.clear()
        self._held_bytes = 0

    def _scatter(self, ranks: NDArray[np.int64], columns: NDArray[np.int32], counts: NDArray[np.int32]) -> None:
        bucket = (ranks // self._bucket_rows).astype(np.int32)
        order = np.argsort(bucket, kind="stable")
        triples = np.empty((len(order), 3), np.int32)
        triples[:, 0] = (ranks - bucket.astype(np.int64) * self._bucket_rows)[order]
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
        order = np.argsort(triples[:, 0], kind="stable")
        matrix = sparse.csr_matrix((triples[order, 2], triples[order, 1], pointers), shape=shape)
        path.unlink(missing_ok=True)
        return finish_rows(matrix)
