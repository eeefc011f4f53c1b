"""Small releases for real trainers to train on, each with what a trainer must find: ``expected.json`` in its folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omics_datastore.curriculum.release import release_curriculum
from omics_datastore.storage.layout import curriculum_folder
from omics_datastore.training.reader import CurriculumReader
from tests.omics_datastore.curriculum.curriculum_world import World, build, gene, make_source, open_world, specification

KINDS: dict[str, dict[str, Any]] = {
    "shuffled": {"bin_size": 64},
    "grouped": {"bin_size": 64, "group_by": ["donor_id"]},
    "zarrs": {"bin_size": 64, "output": {"format": "zarr"}},
}


@dataclass(frozen=True)
class Expected:
    """What a trainer must find: cells, and of each gene the sum and the sum of squares of its counts in the sources."""

    cells: int
    total_per_gene: list[int]
    squares_per_gene: list[int]


def make_releases(root: Path) -> dict[str, Path]:
    """Ingest sources with different genes and release a curriculum of each kind.

    :param root: An empty folder.
    :return: Folders of the releases by kind.
    """
    world = open_world(root)
    world.add("a", make_source(gene(*range(1, 40)), 220, 1))
    world.add("b", make_source(gene(*range(20, 60)), 190, 2))
    world.add("c", make_source(gene(*range(50, 75)), 127, 3), dataset="brain")
    folders = {}
    for kind, options in KINDS.items():
        build(world, specification(name=kind, **options))
        release_curriculum(kind, 1, world.store)
        folders[kind] = world.root / curriculum_folder(kind, 1)
        found = _expected(world, CurriculumReader(folders[kind], batch_size=1).genes)
        (folders[kind] / "expected.json").write_text(json.dumps(found.__dict__))
    return folders


def _expected(world: World, genes: list[str]) -> Expected:
    total, squares = np.zeros((2, len(genes)), np.int64)
    for source in world.sources.values():
        counts = source.X.toarray().astype(np.int64)
        columns = [genes.index(name) for name in source.var_names]
        total[columns] += counts.sum(0)
        squares[columns] += (counts**2).sum(0)
    cells = sum(source.n_obs for source in world.sources.values())
    return Expected(cells, total.tolist(), squares.tolist())
