"""In an environment with torch: every cell once an epoch through real loaders with workers, resumed in the middle.

Run by ``tests.training`` with the folders of releases; says what it saw on standard output, as JSON.
"""

import itertools
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from omics_datastore.errors import InputError
from omics_datastore.training.torch_dataset import CurriculumDataset

BATCH = 32


def main(folders: list[Path]) -> list[str]:
    """Iterate each release in every way.

    :param folders: Folders of releases.
    :return: What was seen.
    """
    return [line for folder in folders for line in _seen(folder)]


def _seen(folder: Path) -> list[str]:
    expected = json.loads((folder / "expected.json").read_text())
    total = torch.tensor(expected["total_per_gene"])
    place = f"{folder.parent.name}, torch {torch.__version__}"
    lines = []
    for workers, persistent in ((0, False), (2, True), (3, False)):
        dataset = _dataset(folder)
        loader = DataLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=persistent)
        epochs = [list(loader) for _ in range(3)]
        for epoch in epochs:
            _require(sorted(_cells(epoch)) == list(range(expected["cells"])), "a cell is missing or there twice")
            counts = sum(batch["counts"].double().sum(0) for batch in epoch)
            _require(bool((counts == total).all()), "the counts of a gene differ from the release")
            _require(all(bool((batch["counts"][~batch["measured"]] == 0).all()) for batch in epoch), "a mask is wrong")
        _require(_cells(epochs[0]) != _cells(epochs[1]) != _cells(epochs[2]), "two epochs have one order")
        lines.append(f"{place}, {workers} workers: {expected['cells']} cells once in each of 3 epochs")
        lines += _resumed(folder, workers, epochs, place)
    lines.append(_ranks(folder, expected["cells"], place))
    lines.append(_sparse(folder, total, place))
    return lines


def _resumed(folder: Path, workers: int, epochs: list[list[Any]], place: str) -> list[str]:
    for taken in (0, 1, 8, len(epochs[1]) - 1, len(epochs[1])):
        dataset = _dataset(folder)
        loader = DataLoader(dataset, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
        list(loader)
        begun = list(itertools.islice(loader, taken))
        _require(len(begun) == taken, "an epoch is too short")
        state = pickle.loads(pickle.dumps(dataset.state_dict(1, taken)))  # noqa: S301
        other = _dataset(folder)
        other.load_state_dict(state)
        again = DataLoader(other, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
        rest, third = list(again), list(again)
        _require(_orders(rest) == _orders(epochs[1])[taken:], f"after {taken} batches other ones follow")
        _require(_orders(third) == _orders(epochs[2]), "the epoch after the resumed one differs")
    return [f"{place}, {workers} workers: resumed within the second epoch, to the very next batch"]


def _ranks(folder: Path, cells: int, place: str) -> str:
    seen: list[int] = []
    steps = []
    for rank in range(2):
        whole = CurriculumDataset(folder, batch_size=BATCH, rank=rank, world=2)
        seen += _cells(list(DataLoader(whole, batch_size=None, num_workers=2)))
        equal = CurriculumDataset(folder, batch_size=BATCH, rank=rank, world=2, equal_batches=True)
        steps.append(len(list(DataLoader(equal, batch_size=None, num_workers=2))))
        try:
            list(DataLoader(equal, batch_size=None, num_workers=0))
        except InputError as error:
            _require("call set_epoch() first" in str(error), str(error))
        else:
            _require(False, "another number of workers was taken without a word")
    _require(sorted(seen) == list(range(cells)), "two ranks do not see every cell once")
    _require(steps[0] == steps[1], "ranks with equal_batches make different numbers of steps")
    return f"{place}: 2 ranks of 2 workers see every cell once; {steps[0]} steps each with equal_batches"


def _sparse(folder: Path, total: "torch.Tensor", place: str) -> str:
    dataset = CurriculumDataset(folder, batch_size=BATCH, dense=False, columns=["original_id", "total_mrna_umis"])
    counts = torch.zeros_like(total, dtype=torch.float64)
    for batch in DataLoader(dataset, batch_size=None, num_workers=0):
        _require(batch["counts"].layout == torch.sparse_csr, "counts are not CSR")
        _require(len(batch["original_id"]) == len(batch["cells"]) == len(batch["total_mrna_umis"]), "obs differ")
        counts += batch["counts"].to_dense().double().sum(0)
    _require(bool((counts == total).all()), "the counts of a gene differ from the release")
    return f"{place}: CSR tensors hold the same counts"


def _dataset(folder: Path) -> CurriculumDataset:
    return CurriculumDataset(folder, batch_size=BATCH, seed=4, measured=True, columns=["cell_type"])


def _cells(batches: list[Any]) -> list[int]:
    return [cell for batch in batches for cell in batch["cells"].tolist()]


def _orders(batches: list[Any]) -> list[list[int]]:
    return [batch["cells"].tolist() for batch in batches]


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(otherwise)


if __name__ == "__main__":
    print(json.dumps(main([Path(folder) for folder in sys.argv[1:]])))  # noqa: T201 - read by tests.training
