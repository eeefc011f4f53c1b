"""A data set of PyTorch over a released curriculum (the extra ``torch``): many workers, each cell once an epoch.

The numbers of batches and epochs live in memory that the workers of a ``DataLoader`` share, whether they persist or are
started anew every epoch.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import IterableDataset, get_worker_info

from omics_datastore.errors import InputError
from omics_datastore.training.epoch_order import ReaderShare, resumed_shares
from omics_datastore.training.reader import Batch, CurriculumReader

_MOST_WORKERS = 256
_WORKERS, _RESUMED_EPOCH, _CONSUMED, _NEXT_EPOCH = 0, 1, 2, 3
"""Places of the shared numbers: workers of the loader (0: not known), the epoch that is resumed and how many of its
batches were consumed; from the last place on, the next epoch of each worker."""


class CurriculumDataset(IterableDataset[dict[str, Any]]):  # type: ignore[misc]
    """Give mini-batches as dictionaries of tensors, for ``DataLoader(dataset, batch_size=None, num_workers=…)``.

    A batch has ``counts`` (float32 (cells, genes); a CSR tensor when ``dense`` is false), ``cells`` (int64), one entry
    an obs column that was asked for (of text columns a list of strings), and ``measured`` when it was asked for. Every
    time the loader is iterated is the next epoch.

    :param folder: The folder of a released version: a path, or a ``gs://`` address.
    :param batch_size: Cells of a batch.
    :param rank: Number of this process among those that train together.
    :param world: How many they are.
    :param dense: Whether counts are dense tensors.
    :param options: As :class:`~omics_datastore.training.reader.CurriculumReader` takes them.
    :raise InputError: As there.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        batch_size: int,
        rank: int = 0,
        world: int = 1,
        dense: bool = True,
        **options: Any,
    ) -> None:
        super().__init__()
        self._rank, self._world = rank, world
        self._options = {"folder": str(folder), "batch_size": batch_size, "dense": dense, **options}
        reader = self._reader(0, 1)
        self.genes, self.categories = reader.genes, reader.categories
        self._shared = torch.zeros(_NEXT_EPOCH + _MOST_WORKERS, dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; any number of workers may iterate it.

        :param epoch: Its number.
        """
        self._begin(epoch, 0, 0)

    def state_dict(self, epoch: int, batches: int) -> dict[str, Any]:
        """Return where training is, which only the one who takes the batches from the loader knows.

        :param epoch: Number of the epoch, counted from 0 or from what :meth:`set_epoch` said.
        :param batches: How many of its batches were taken.
        :return: Plain values, for a checkpoint.
        """
        workers = int(self._shared[_WORKERS]) if batches else 0
        return {**self._reader(0, workers or 1).identity(), "epoch": epoch, "batches": batches, "workers": workers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the very next batch when the loader, with as many workers, is iterated.

        :param state: What :meth:`state_dict` gave.
        :raise InputError: When it is the state of another data set or order.
        """
        self._reader(0, int(state["workers"]) or 1).check_identity(state)
        self._begin(int(state["epoch"]), int(state["batches"]), int(state["workers"]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        if workers > _MOST_WORKERS:
            raise InputError(f"the loader has {workers} workers; {_MOST_WORKERS} is the most.")
        if int(self._shared[_WORKERS]) not in (0, workers):
            raise InputError(
                f"the loader has {workers} workers, and {int(self._shared[_WORKERS])} began: call set_epoch() first."
            )
        self._shared[_WORKERS] = workers
        epoch = int(self._shared[_NEXT_EPOCH + worker])
        self._shared[_NEXT_EPOCH + worker] = epoch + 1
        taken = int(self._shared[_CONSUMED]) if epoch == int(self._shared[_RESUMED_EPOCH]) else 0
        reader, first = self._resumed(epoch, taken, worker, workers)
        reader.start(epoch, first)
        for batch in reader:
            yield _tensors(batch)

    def _resumed(self, epoch: int, taken: int, worker: int, workers: int) -> tuple[CurriculumReader, int]:
        """Return the reader whose batches a worker makes, and how many of them were taken before."""
        reader = self._reader(worker, workers)
        if not taken:
            return reader, 0
        reader.start(epoch)
        shares = [ReaderShare(self._rank * workers + one, self._world * workers) for one in range(workers)]
        other, first = resumed_shares([reader.batches(share) for share in shares], taken)[worker]
        return self._reader(other, workers), first

    def _reader(self, worker: int, workers: int) -> CurriculumReader:
        return CurriculumReader(rank=self._rank, world=self._world, worker=worker, workers=workers, **self._options)

    def _begin(self, epoch: int, batches: int, workers: int) -> None:
        self._shared[_NEXT_EPOCH:] = epoch
        self._shared[_WORKERS], self._shared[_RESUMED_EPOCH], self._shared[_CONSUMED] = workers, epoch, batches


def _tensors(batch: Batch) -> dict[str, Any]:
    counts: Any = batch.counts
    if hasattr(counts, "indptr"):
        parts = (torch.from_numpy(part) for part in (counts.indptr, counts.indices, counts.data))
        tensor = torch.sparse_csr_tensor(*parts, size=counts.shape, check_invariants=False)
    else:
        tensor = torch.from_numpy(counts)
    columns = {
        name: values.tolist() if values.dtype == object else torch.from_numpy(values)
        for name, values in batch.obs.items()
    }
    made = {"counts": tensor, "cells": torch.from_numpy(batch.cells), **columns}
    return made if batch.measured is None else {**made, "measured": torch.from_numpy(batch.measured)}
