"""Releases as a trainer has them: away from the place where they were made."""

import shutil
from pathlib import Path

import anndata as ad
import pytest

from omics_datastore.curriculum.release import release_curriculum
from tests.omics_datastore.curriculum.conftest import made_world
from tests.omics_datastore.curriculum.curriculum_world import World, build, open_world, read_shards, specification

__all__ = ["made_world"]

CELLS = 31 + 23 + 17


@pytest.fixture(scope="session")
def made_release(made_world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Releases of eight h5ad shards, of two zarr groups, and of two splits, away from where they were made."""
    root = tmp_path_factory.mktemp("training") / "nexus"
    shutil.copytree(made_world.root, root, ignore=shutil.ignore_patterns(".scratch"))
    world = open_world(root)
    for name, output, bin_size in (("plain", {}, 9), ("zarrs", {"format": "zarr"}, 36)):
        columns = ["cell_type", "donor_id", "is_primary_data"]
        build(world, specification(name=name, bin_size=bin_size, obs_columns=columns, output=output))
        release_curriculum(name, 1, world.store)
    split = {"by": "donor_id", "train": ["donor0", "donor1", "donor2"], "validation": "rest"}
    build(world, specification(name="parts", bin_size=30, obs_columns=["donor_id"], split=split))
    release_curriculum("parts", 1, world.store)
    folder = Path(shutil.copytree(root / "extracts", tmp_path_factory.mktemp("elsewhere") / "copied"))
    groups = sorted(folder.glob("zarrs/v1/extract_files/collection.zarr/dataset_*"))
    wholes = {name: read_shards(world, name) for name in ("plain", "parts")}
    for name, shards in {**wholes, "zarrs": [ad.read_zarr(path) for path in groups]}.items():
        ad.concat(shards).write_h5ad(folder / f"{name}.h5ad")
    return folder


@pytest.fixture
def release(made_release: Path) -> Path:
    return made_release / "plain/v1"


@pytest.fixture(scope="session")
def whole(made_release: Path) -> ad.AnnData:
    return ad.read_h5ad(made_release / "plain.h5ad")
