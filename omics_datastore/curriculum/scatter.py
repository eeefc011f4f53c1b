"""Counts laid aside by share of bins, for orders in which the cells of a bin lie anywhere in the warehouse.

First pass: every table of counts is read once, in its own order, and each cell is added to the file of the share it
belongs to. Second pass: the file of a share is read and its shards are written. So the cost is linear in cells, where
reading each bin by itself would read everything for every bin.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from omics_datastore.warehouse.warehouse import CountsBatch

_MOST_FEATURES = 2**31 - 1
_HEAD = 3


class ScatteredCounts:
    """Files of counts, one a share and thread.

    :param folder: Where they go; made when something is added.
    :param ingest_ids: Every ingest that batches may come from.
    :param share: int64 (cells,), the share of each cell.
    :param row: int64 (cells,), the row of each cell inside its share.
    """

    def __init__(
        self, folder: Path, ingest_ids: Sequence[str], share: NDArray[np.int64], row: NDArray[np.int64]
    ) -> None:
        self._folder = folder
        self._ingest_ids = list(ingest_ids)
        self._numbers = {ingest_id: number for number, ingest_id in enumerate(ingest_ids)}
        self._share, self._row = share, row
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, batch: CountsBatch, thread: int) -> None:
        """Add a batch; no two threads use one number at once.

        :param batch: Counts of cells; ``rows`` number the cells of all shares.
        :param thread: Number of the thread.
        """
        share = self._share[batch.rows]
        order = np.argsort(share, kind="stable")
        share, rows = share[order], self._row[batch.rows[order]]
        pointers = batch.indptr.astype(np.int32)
        shape = (len(pointers) - 1, _MOST_FEATURES)
        sorted_rows = sparse.csr_array((batch.raw_count, batch.feature_index, pointers), shape=shape)[order]
        ends = sorted_rows.indptr
        edges = np.flatnonzero(np.diff(share, prepend=-1, append=-1))
        for low, high in pairwise(edges):
            span = slice(ends[low], ends[high])
            head = [self._numbers[batch.ingest_id], high - low, ends[high] - ends[low]]
            with self._file(int(share[low]), thread).open("ab") as file:
                np.array(head, np.int64).tofile(file)
                rows[low:high].tofile(file)
                np.diff(ends[low : high + 1]).astype(np.int32).tofile(file)
                sorted_rows.indices[span].astype(np.int32, copy=False).tofile(file)
                sorted_rows.data[span].tofile(file)

    def take(self, share: int) -> Iterator[CountsBatch]:
        """Read and remove the files of a share.

        :param share: The share.
        :return: Its batches; ``rows`` are rows of the share.
        """
        for path in sorted(self._folder.glob(f"{share:06d}.*")):
            with path.open("rb") as file:
                while len(head := np.fromfile(file, np.int64, _HEAD)):
                    number, cells, counts = head.tolist()
                    rows = np.fromfile(file, np.int64, cells)
                    indptr = np.zeros(cells + 1, np.int64)
                    np.cumsum(np.fromfile(file, np.int32, cells), out=indptr[1:])
                    features = np.fromfile(file, np.int32, counts)
                    yield CountsBatch(
                        self._ingest_ids[number], rows, indptr, features, np.fromfile(file, np.int32, counts)
                    )
            path.unlink()

    def _file(self, share: int, thread: int) -> Path:
        return self._folder / f"{share:06d}.{thread:03d}"
