"""In an environment with annbatch: its collection and loader read a zarr release, every cell and every count.

Run by ``tests.training`` with the folders of releases; says what it saw on standard output, as JSON. Nothing of Nexus
is imported.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from annbatch import DatasetCollection, Loader


def main(folders: list[Path]) -> list[str]:
    """Read each release shuffled and in order.

    :param folders: Folders of releases.
    :return: What was seen.
    """
    return [_seen(folder, shuffle=shuffle) for folder in folders for shuffle in (False, True)]


def _seen(folder: Path, *, shuffle: bool) -> str:
    expected = json.loads((folder / "expected.json").read_text())
    collection = DatasetCollection(folder / "extract_files" / "collection.zarr", mode="r")
    _require(not collection.is_empty, "annbatch finds no collection")
    loader = Loader(batch_size=32, chunk_size=8, preload_nchunks=16, shuffle=shuffle).use_collection(collection)
    total = np.zeros(len(expected["total_per_gene"]), np.int64)
    cells: list[Any] = []
    types: set[str] = set()
    for batch in loader:
        total += np.asarray(batch["X"].sum(0)).ravel().astype(np.int64)
        cells += batch["obs"].index.astype(int).tolist()
        types |= set(batch["obs"]["cell_type"])
    _require(sorted(cells) == list(range(expected["cells"])), "a cell is missing or there twice")
    _require(shuffle == (cells != sorted(cells)), "cells come in the wrong order")
    _require(total.tolist() == expected["total_per_gene"], "the counts of a gene differ from the sources")
    _require(len(types) == 3, "cell types are lost")
    order = "shuffled" if shuffle else "in order"
    return (
        f"{folder.parent.name}, annbatch {version('annbatch')}: its Loader gave {len(cells)} cells {order}, all counts"
    )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(otherwise)


if __name__ == "__main__":
    print(json.dumps(main([Path(folder) for folder in sys.argv[1:]])))  # noqa: T201 - read by tests.training
