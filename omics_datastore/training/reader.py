"""A plain iterator over the mini-batches of a released curriculum, which can go on where another one stopped."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from omics_datastore.errors import InputError
from omics_datastore.training.epoch_order import EpochOrder, ReaderShare, batches_in, epoch_order
from omics_datastore.training.release_folder import ReleaseFolder, ShardContent

_INGEST = "ingest_id"


@dataclass(frozen=True)
class Batch:
    """Some cells of a curriculum.

    ``counts`` is float32 (cells, genes), CSR or dense. ``cells`` is int64 (cells,): their places in the curriculum,
    which are their ``obs_names``. ``obs`` has one array a column that was asked for: the codes of a categorical one
    (int32, -1: null), int8 for booleans with nulls (-1), the values of others. ``measured`` is bool (cells, genes):
    false where the source of the cell did not measure the gene.
    """

    counts: sparse.csr_matrix | NDArray[np.float32]
    cells: NDArray[np.int64]
    obs: dict[str, NDArray[Any]]
    measured: NDArray[np.bool_] | None


class CurriculumReader:
    """Iterate a released curriculum, an epoch a ``for`` loop.

    Every epoch shuffles the shards, and the cells of ``buffer_shards`` neighbours together. Readers of one curriculum
    (``world`` ranks of ``workers`` each) share out its shards: every cell is seen once an epoch by one of them. A loop
    that is broken off goes on with the next batch when it begins again; :meth:`state_dict` lets another process do so.

    :param folder: The folder of a version that was released: a path, or a ``gs://`` address.
    :param batch_size: Cells of a batch; the last of an epoch may have fewer.
    :param split: Name of a split of the curriculum.
    :param columns: Obs columns to give.
    :param dense: Give counts as an array instead of CSR.
    :param measured: Give which genes the source of each cell measured.
    :param shuffle: Shuffle shards and cells; else they come as they lie.
    :param seed: Seed of the shuffle.
    :param buffer_shards: Shards that are held at once and whose cells are shuffled together; as many are read ahead.
    :param rank: Number of this process among those that train together.
    :param world: How many they are.
    :param worker: Number of this reader among those of its process.
    :param workers: How many they are.
    :param drop_last: Leave out a last batch of fewer cells.
    :param equal_batches: Stop when the reader that has fewest batches stops, so that ranks make the same number of
        steps; the cells left over are not seen in this epoch.
    :param check: Compare every shard with its checksum before this reader uses it the first time.
    :raise InputError: When there is no release, split or column of that name, a number does not fit, or a rank would
        get no shard.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        batch_size: int,
        split: str | None = None,
        columns: Sequence[str] = (),
        dense: bool = False,
        measured: bool = False,
        shuffle: bool = True,
        seed: int = 0,
        buffer_shards: int = 1,
        rank: int = 0,
        world: int = 1,
        worker: int = 0,
        workers: int = 1,
        drop_last: bool = False,
        equal_batches: bool = False,
        check: bool = True,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("buffer_shards", buffer_shards)):
            if value < 1:
                raise InputError(f"{name} is {value}; give at least 1.")
        if not (0 <= rank < world and 0 <= worker < workers):
            raise InputError(f"rank {rank} of {world} with worker {worker} of {workers}: count from 0.")
        self._release = ReleaseFolder(folder, split)
        self._release.check_columns(columns)
        shards = len(self._release.sizes)
        if shards < world * (workers if equal_batches else 1):
            raise InputError(
                f"{shards} shards are too few for {world} ranks of {workers} workers; build with a smaller bin_size."
            )
        self._batch_size, self._drop_last, self._equal = batch_size, drop_last, equal_batches
        self._dense, self._shuffle, self._seed, self._check = dense, shuffle, seed, check
        self._buffer_shards = buffer_shards
        self._columns = tuple(columns)
        self._share = ReaderShare(rank * workers + worker, world * workers)
        self._masks = self._release.masks() if measured else None
        self._epoch, self._batch = 0, 0

    @property
    def genes(self) -> list[str]:
        """Return the Ensembl ids of the columns of the counts."""
        return self._release.genes()

    @property
    def categories(self) -> dict[str, list[str]]:
        """Return the categories of the categorical obs columns, which the codes of a batch count from 0."""
        return self._release.metadata.category_metadata

    @property
    def epoch(self) -> int:
        """Return the number of the epoch that is being iterated, or is next."""
        return self._epoch

    def __len__(self) -> int:
        """Return how many batches the epoch has for this reader."""
        return self.batches(self._share)

    def batches(self, share: ReaderShare) -> int:
        """Return how many batches the epoch has for a reader.

        :param share: Which reader of how many.
        :return: Batches.
        """
        if self._equal:
            return min(self._batches_of(ReaderShare(number, share.readers)) for number in range(share.readers))
        return self._batches_of(share)

    def start(self, epoch: int, batch: int = 0) -> None:
        """Go to a place.

        :param epoch: Number of the epoch.
        :param batch: How many of its batches to pass over.
        """
        self._epoch, self._batch = epoch, batch

    def state_dict(self) -> dict[str, Any]:
        """Return where this reader is: the next batch, and what the order depends on.

        :return: Plain values, for a checkpoint.
        """
        return {**self.identity(), "epoch": self._epoch, "batch": self._batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where another reader was, to the very next batch.

        :param state: What :meth:`state_dict` gave.
        :raise InputError: When that reader read something else or otherwise.
        """
        self.check_identity(state)
        self.start(int(state["epoch"]), int(state["batch"]))

    def identity(self) -> dict[str, Any]:
        """Return what the order of batches depends on."""
        return {
            "release": self._release.digest,
            "reader": self._share.reader,
            "readers": self._share.readers,
            "batch_size": self._batch_size,
            "buffer_shards": self._buffer_shards,
            "shuffle": self._shuffle,
            "seed": self._seed,
            "drop_last": self._drop_last,
            "equal_batches": self._equal,
        }

    def check_identity(self, state: dict[str, Any]) -> None:
        """Refuse the state of a reader with another order.

        :param state: A state.
        :raise InputError: When it differs; the message says in what.
        """
        for name, value in self.identity().items():
            if state.get(name) != value:
                raise InputError(
                    f"the state has {name} {state.get(name)!r}, this reader {value!r}: it cannot go on there."
                )

    def __iter__(self) -> Iterator[Batch]:
        """Give the batches of the epoch that are left, then go to the next epoch."""
        order = self._order(self._share)
        left = range(self._batch, len(self))
        if left:
            with _Buffers(self._release, order, self._read_columns, check=self._check) as buffers:
                for batch in left:
                    made = self._make(order, buffers, batch)
                    self._batch = batch + 1
                    yield made
        self.start(self._epoch + 1)

    @property
    def _read_columns(self) -> list[str]:
        return list(dict.fromkeys([*self._columns, *([_INGEST] if self._masks else [])]))

    def _order(self, share: ReaderShare) -> EpochOrder:
        return epoch_order(
            self._release.sizes,
            share,
            epoch=self._epoch,
            seed=self._seed,
            shuffle=self._shuffle,
            buffer_shards=self._buffer_shards,
        )

    def _batches_of(self, share: ReaderShare) -> int:
        return batches_in(self._order(share).cells, self._batch_size, drop_last=self._drop_last)

    def _make(self, order: EpochOrder, buffers: "_Buffers", batch: int) -> Batch:
        start = batch * self._batch_size
        stop = min(start + self._batch_size, order.cells)
        parts: list[ShardContent] = []
        while start < stop:
            number = order.buffer_of(start)
            content, rows = buffers.take(number)
            first = int(order.starts[number])
            end = min(stop, int(order.starts[number + 1]))
            parts.append(_rows(content, rows[start - first : end - first]))
            start = end
        made = _joined(parts)
        return Batch(
            counts=made.counts.toarray() if self._dense else made.counts,
            cells=made.cells,
            obs={name: made.obs[name] for name in self._columns},
            measured=self._measured(made.obs[_INGEST]) if self._masks else None,
        )

    def _measured(self, ingests: NDArray[Any]) -> NDArray[np.bool_]:
        if self._masks is None:
            raise AssertionError
        rows, masks = self._masks
        names = self.categories.get(_INGEST)
        if names is None:
            return np.asarray(masks[[rows[name] for name in ingests]])
        return np.asarray(masks[np.array([rows.get(name, -1) for name in names])[ingests]])


class _Buffers:
    """Read the buffers of an epoch, each once, the next one ahead of time."""

    def __init__(self, release: ReleaseFolder, order: EpochOrder, columns: Sequence[str], *, check: bool) -> None:
        self._release, self._order, self._columns, self._check = release, order, columns, check
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._ahead: tuple[int, Future[ShardContent]] | None = None
        self._held: tuple[int, ShardContent, NDArray[np.int64]] | None = None

    def __enter__(self) -> "_Buffers":
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def take(self, number: int) -> tuple[ShardContent, NDArray[np.int64]]:
        """Return a buffer and the order of its cells, and begin to read the next."""
        if self._held is None or self._held[0] != number:
            self._held = None  # not two at once but for the one that is read ahead
            ahead = self._ahead if self._ahead and self._ahead[0] == number else None
            content = ahead[1].result() if ahead else self._read(number)
            self._held = number, content, self._order.rows(number)
            following = number + 1
            has_next = following < len(self._order.buffers)
            self._ahead = (following, self._pool.submit(self._read, following)) if has_next else None
        return self._held[1], self._held[2]

    def _read(self, number: int) -> ShardContent:
        shards = self._order.buffers[number]
        return _joined([self._release.read_shard(shard, self._columns, check=self._check) for shard in shards])


def _rows(content: ShardContent, rows: NDArray[np.int64]) -> ShardContent:
    obs = {name: values[rows] for name, values in content.obs.items()}
    return ShardContent(content.counts[rows], obs, content.cells[rows])


def _joined(parts: list[ShardContent]) -> ShardContent:
    if len(parts) == 1:
        return parts[0]
    return ShardContent(
        sparse.vstack([part.counts for part in parts], format="csr"),
        {name: np.concatenate([part.obs[name] for part in parts]) for name in parts[0].obs},
        np.concatenate([part.cells for part in parts]),
    )
