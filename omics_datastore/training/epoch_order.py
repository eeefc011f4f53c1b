"""In which order the readers of a curriculum see its cells: pure arithmetic on the sizes of shards.

An epoch permutes the shards by (seed, epoch) and deals them to the readers in turn, so that no two readers open the
same shard and every cell is seen once. A reader joins neighbouring shards of its own to buffers and permutes the cells
of each. The order of an epoch follows from the seed, the epoch and the number of readers alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omics_datastore.shuffle import permutation


@dataclass(frozen=True)
class ReaderShare:
    """One of several readers of a curriculum: its number, and how many there are."""

    reader: int
    readers: int


@dataclass(frozen=True)
class EpochOrder:
    """The shards that a reader opens in one epoch, in order.

    ``buffers`` has the numbers of the shards of each buffer; ``starts`` is int64 (buffers + 1,): how many cells the
    reader sees before each buffer, and in all.
    """

    epoch: int
    seed: int
    shuffle: bool
    buffers: list[list[int]]
    starts: NDArray[np.int64]

    @property
    def cells(self) -> int:
        """Return how many cells the reader sees in the epoch."""
        return int(self.starts[-1])

    def buffer_of(self, place: int) -> int:
        """Return the buffer that holds a place.

        :param place: Cells that the reader has seen before, below ``cells``.
        :return: Number of the buffer.
        """
        return int(np.searchsorted(self.starts, place, side="right")) - 1

    def rows(self, buffer: int) -> NDArray[np.int64]:
        """Return the order of the cells of a buffer.

        :param buffer: Number of the buffer.
        :return: int64 (cells,): rows of its shards, one after the other.
        """
        cells = int(self.starts[buffer + 1] - self.starts[buffer])
        if not self.shuffle:
            return np.arange(cells)
        return permutation(cells, "epoch-rows", self.seed, self.epoch, self.buffers[buffer][0])


def epoch_order(
    sizes: Sequence[int], share: ReaderShare, *, epoch: int, seed: int, shuffle: bool, buffer_shards: int
) -> EpochOrder:
    """Order the shards of one reader for one epoch.

    :param sizes: Cells of each shard.
    :param share: Which reader of how many.
    :param epoch: Number of the epoch.
    :param seed: Seed.
    :param shuffle: Whether shards and cells are permuted; else they come as they lie.
    :param buffer_shards: Shards whose cells are permuted together.
    :return: The order.
    """
    order = permutation(len(sizes), "epoch-shards", seed, epoch) if shuffle else np.arange(len(sizes))
    mine = order[share.reader :: share.readers].tolist()
    buffers = [mine[start : start + buffer_shards] for start in range(0, len(mine), buffer_shards)]
    cells = [sum(sizes[number] for number in buffer) for buffer in buffers]
    return EpochOrder(epoch, seed, shuffle, buffers, np.concatenate([[0], np.cumsum(cells, dtype=np.int64)]))


def batches_in(cells: int, batch_size: int, *, drop_last: bool) -> int:
    """Return how many batches cells make.

    :param cells: Cells.
    :param batch_size: Cells of a batch.
    :param drop_last: Whether a last batch of fewer cells is left out.
    :return: Batches.
    """
    return cells // batch_size if drop_last else -(-cells // batch_size)


def resumed_shares(batches: Sequence[int], consumed: int) -> list[tuple[int, int]]:
    """Tell how workers go on that were asked for batches in turn, as torch's ``DataLoader`` asks its workers.

    The loader takes a batch of each worker in turn and passes over those that have none left. A new loader begins with
    its first worker, which must make the batches of the one whose turn it was.

    :param batches: Batches of each worker in the whole epoch.
    :param consumed: Batches that were taken of all workers together, at most all.
    :return: For each worker of the new loader: whose batches it makes, and how many of them were taken.
    """
    taken = [0] * len(batches)
    turn = [worker for worker, left in enumerate(batches) if left]
    while turn and consumed >= len(turn):
        rounds = min(consumed // len(turn), *(batches[worker] - taken[worker] for worker in turn))
        for worker in turn:
            taken[worker] += rounds
        consumed -= rounds * len(turn)
        turn = [worker for worker in turn if taken[worker] < batches[worker]]
    for worker in turn[:consumed]:
        taken[worker] += 1
    ahead = [worker for worker in turn[consumed:] + turn[:consumed] if taken[worker] < batches[worker]]
    return [(worker, taken[worker]) for worker in [*ahead, *sorted(set(range(len(batches))) - set(ahead))]]
