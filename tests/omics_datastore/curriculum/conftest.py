"""A warehouse of three small source files with different genes."""

import shutil
from pathlib import Path

import pytest

from tests.omics_datastore.curriculum.curriculum_world import World, gene, make_source, open_world


def _three_sources(world: World) -> World:
    world.add("a", make_source(gene(5, 3, 9, 1, 7), 31, 1, citation="First et al."))
    world.add("b", make_source(gene(1, 2, 3, 4), 23, 2, {"batch": None, "only_here": "x"}))
    world.add("c", make_source(gene(9, 8, 1, 6), 17, 3, citation="Second et al."), dataset="brain")
    return world


@pytest.fixture(scope="session")
def made_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Do not write to this one: it is copied for every test."""
    return _three_sources(open_world(tmp_path_factory.mktemp("world")))


@pytest.fixture
def world(made_world: World, tmp_path: Path) -> World:
    root = tmp_path / "nexus"
    shutil.copytree(made_world.root, root, ignore=shutil.ignore_patterns(".scratch"))
    copied = open_world(root)
    copied.sources.update(made_world.sources)
    return copied


@pytest.fixture
def empty_world(tmp_path: Path) -> World:
    return open_world(tmp_path / "nexus")
