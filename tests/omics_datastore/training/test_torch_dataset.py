"""The data set of PyTorch as a loader with workers uses it; ``make test-training`` has a real loader."""

import importlib
import sys
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from omics_datastore.errors import InputError
from tests.omics_datastore.training.conftest import CELLS
from tests.omics_datastore.training.torch_stand_in import WorkerInfo, make_torch


class Loader:
    """Ask workers in turn, each of which has its place in the data set, and pass over those that have no batch left."""

    def __init__(self, dataset: Any, workers: int, running: SimpleNamespace) -> None:
        self._dataset, self._workers, self._running = dataset, workers, running

    def __iter__(self) -> Iterator[dict[str, Any]]:
        iterators = {worker: iter(self._dataset) for worker in range(max(1, self._workers))}
        while iterators:
            for worker in list(iterators):
                self._running.worker = WorkerInfo(worker, self._workers) if self._workers else None
                batch = next(iterators[worker], None)
                if batch is None:
                    del iterators[worker]
                else:
                    yield batch


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    modules, running = make_torch()
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    name = "omics_datastore.training.torch_dataset"
    monkeypatch.delitem(sys.modules, name, raising=False)
    running.dataset = importlib.import_module(name).CurriculumDataset
    yield running
    sys.modules.pop(name, None)


def cells_of(batches: list[dict[str, Any]]) -> list[list[int]]:
    return [batch["cells"].tolist() for batch in batches]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_every_iteration_is_the_next_epoch_and_has_every_cell_once(
    release: Path, stand_in: SimpleNamespace, workers: int
) -> None:
    dataset = stand_in.dataset(release, batch_size=4, columns=["cell_type", "original_id"], measured=True)
    epochs = [list(Loader(dataset, workers, stand_in)) for _ in range(2)]
    for epoch in epochs:
        assert sorted(chain(*cells_of(epoch))) == list(range(CELLS))
        for batch in epoch:
            assert batch["counts"].shape == batch["measured"].shape == (len(batch["cells"]), len(dataset.genes))
            assert isinstance(batch["original_id"][0], str)
            assert {dataset.categories["cell_type"][code] for code in batch["cell_type"]} <= {
                "B cell",
                "T cell",
                "neuron",
            }
    assert cells_of(epochs[0]) != cells_of(epochs[1])


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_resumed_loader_goes_on_with_the_very_next_batch(
    release: Path, stand_in: SimpleNamespace, workers: int
) -> None:
    dataset = stand_in.dataset(release, batch_size=4)
    expected = [cells_of(list(Loader(dataset, workers, stand_in))) for _ in range(3)]
    for taken in (0, 1, 5, len(expected[1])):
        begun = stand_in.dataset(release, batch_size=4)
        begun.set_epoch(1)
        assert cells_of(list(islice(Loader(begun, workers, stand_in), taken))) == expected[1][:taken]
        other = stand_in.dataset(release, batch_size=4)
        other.load_state_dict(begun.state_dict(1, taken))
        assert cells_of(list(Loader(other, workers, stand_in))) == expected[1][taken:]
        assert cells_of(list(Loader(other, workers, stand_in))) == expected[2]


def test_what_does_not_fit_is_said(release: Path, stand_in: SimpleNamespace) -> None:
    dataset = stand_in.dataset(release, batch_size=4)
    list(islice(Loader(dataset, 2, stand_in), 3))
    with pytest.raises(InputError, match=r"the loader has 3 workers, and 2 began: call set_epoch\(\) first"):
        list(Loader(dataset, 3, stand_in))
    dataset.set_epoch(0)
    assert len(list(Loader(dataset, 3, stand_in))) > 1
    other = stand_in.dataset(release, batch_size=5)
    with pytest.raises(InputError, match="the state has batch_size 4"):
        other.load_state_dict(dataset.state_dict(0, 2))
    with pytest.raises(InputError, match="256 is the most"):
        list(Loader(other, 300, stand_in))
    counts = next(iter(Loader(stand_in.dataset(release, batch_size=4, dense=False), 0, stand_in)))["counts"]
    assert counts[0].dtype == np.int32
