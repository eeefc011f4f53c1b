"""A warehouse over small source files, and how to build a curriculum over it and compare it with them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from omics_datastore.curriculum.extract import ExtractResult, extract_groups
from omics_datastore.curriculum.plan import plan_curriculum
from omics_datastore.curriculum.plan_model import CurriculumPlan
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.create import create_ingest_files
from omics_datastore.ingest.manifest import SourceFile, read_manifest
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.folder import FolderWarehouse
from omics_datastore.warehouse.parquet_layout import ParquetLayout
from omics_datastore.warehouse.warehouse import Warehouse

COMMITTED = datetime(2026, 1, 2, tzinfo=UTC)
SMALL_GROUPS = ParquetLayout(counts_row_group=8, cells_row_group=16)


@dataclass
class World:
    """A store, its warehouse, and the source files by ingest id."""

    store: FolderStore
    warehouse: Warehouse
    sources: dict[str, ad.AnnData]
    layout: ParquetLayout = SMALL_GROUPS

    @property
    def root(self) -> Path:
        return Path(self.store.root)

    def add(self, name: str, source: ad.AnnData, dataset: str = "lung") -> str:
        """Write a source file, ingest it and commit it."""
        key = f"inbox/{dataset}/{name}.h5ad"
        path = self.store.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        source.write_h5ad(path)
        file = SourceFile(key=key, uri=f"inbox://{key}", size=path.stat().st_size, generation="1")
        config = DatasetConfig(feature_ids="any")
        report = create_ingest_files(file, dataset, config, self.store, layout=self.layout)
        assert not report.errors
        assert report.ingest_id is not None
        self.warehouse.load([read_manifest(self.store, dataset, report.ingest_id)], COMMITTED)
        self.sources[report.ingest_id] = source
        return report.ingest_id


def make_source(
    genes: list[str], cells: int, seed: int, obs: dict[str, Any] | None = None, citation: str | None = None
) -> ad.AnnData:
    """Make counts of some cells; the last of every five has none. A column of obs given as None is left out."""
    random = np.random.default_rng(seed)
    dense = random.integers(1, 3000, (cells, len(genes))) * (random.random((cells, len(genes))) < 0.4)
    dense[4::5] = 0
    frame = pd.DataFrame(
        {
            "cell_type": pd.Categorical([("T cell", "B cell", "neuron")[number % 3] for number in range(cells)]),
            "donor_id": [f"donor{number % 4}" for number in range(cells)],
            "is_primary_data": [number % 2 == 0 for number in range(cells)],
            "batch": [f"b{number % 2}" for number in range(cells)],
            **(obs or {}),
        },
        index=[f"cell{seed}_{number}" for number in range(cells)],
    )
    frame = frame.drop(columns=[name for name, values in (obs or {}).items() if values is None])
    var = pd.DataFrame({"feature_name": [f"symbol of {gene}" for gene in genes]}, index=genes)
    uns = {} if citation is None else {"citation": citation}
    return ad.AnnData(sparse.csr_matrix(dense.astype(np.float32)), obs=frame, var=var, uns=uns)


def gene(*numbers: int) -> list[str]:
    return [f"ENSG{number:011d}" for number in numbers]


def open_world(root: Path) -> World:
    store = FolderStore(root)
    return World(store, FolderWarehouse(store, threads=1), {})


def specification(**changes: Any) -> CurriculumSpecification:
    content: dict[str, Any] = {
        "name": "all",
        "bin_size": 20,
        "obs_columns": ["cell_type", "donor_id", "dataset", "is_primary_data"],
        "metadata_extra_columns": ["batch"],
        "seed": 3,
    }
    return CurriculumSpecification.model_validate({**content, **changes})


def build(
    world: World,
    spec: CurriculumSpecification | None = None,
    version: int = 1,
    *,
    bins_per_group: int = 2,
    **options: Any,
) -> tuple[CurriculumPlan, ExtractResult]:
    plan = plan_curriculum(
        spec or specification(), version, world.warehouse, world.store, bins_per_group=bins_per_group
    )
    groups = [group.group for group in plan.groups]
    return plan, extract_groups(plan, groups, world.warehouse, world.store, **options)


def shard_paths(world: World, name: str = "all", version: int = 1) -> list[Path]:
    return sorted((world.root / f"extracts/{name}/v{version}/extract_files").glob("*"))


def read_shards(world: World, name: str = "all", version: int = 1) -> list[ad.AnnData]:
    return [ad.read_h5ad(path) for path in shard_paths(world, name, version)]


def shard_bytes(world: World, name: str = "all", version: int = 1) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in shard_paths(world, name, version)}


def tree(world: World, name: str = "all", version: int = 1) -> dict[str, bytes]:
    folder = world.root / f"extracts/{name}/v{version}"
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def dense(matrix: Any) -> NDArray[np.float32]:
    return np.asarray(matrix.toarray(), dtype=np.float32)


def assert_equals_sources(world: World, shards: list[ad.AnnData]) -> int:
    """Compare every count of every shard with its source; return the number of cells."""
    cells = 0
    for shard in shards:
        matrix = dense(shard.X)
        for row, (_, obs) in enumerate(shard.obs.iterrows()):
            source = world.sources[obs["ingest_id"]]
            expected = dict(zip(source.var_names, dense(source.X[obs["cell_index"]]).ravel(), strict=True))
            assert obs["original_id"] == source.obs_names[obs["cell_index"]]
            assert matrix[row].tolist() == [expected.get(name, 0.0) for name in shard.var_names]
            cells += 1
    return cells


def filters_of(path: Path, dataset: str) -> tuple[Any, Any, Any]:
    with h5py.File(path) as file:
        found = file[dataset]
        return found.compression, found.shuffle, found.chunks
