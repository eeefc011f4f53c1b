"""A store with small source files, and configurations of tasks over them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kfp_components.configurations import DatasetSources, IngestTaskConfig
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.manifest import SourceFile
from omics_datastore.storage.documents import write_configuration
from omics_datastore.storage.folder import FolderStore


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "root")


@pytest.fixture
def drop(store: FolderStore) -> Callable[..., SourceFile]:
    """Return a function that drops a source file of random counts; ``broken`` makes counts negative."""

    def make(name: str, cells: int = 12, *, broken: bool = False, seed: int = 0) -> SourceFile:
        import anndata as ad
        import pandas as pd
        from scipy import sparse

        random = np.random.default_rng(seed)
        counts = random.integers(1, 9, (cells, 5)).astype(np.float32)
        if broken:
            counts[1, 2] = -1
        data = ad.AnnData(
            X=sparse.csr_matrix(counts),
            obs=pd.DataFrame({"tissue": ["lung"] * cells}, index=[f"{name}-{n}" for n in range(cells)]),
            var=pd.DataFrame({"gene_name": list("ABCDE")}, index=[f"ENSG0000000000{n}" for n in range(5)]),
        )
        key = f"inbox/lung/{name}.h5ad"
        path = store.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        data.write_h5ad(path)
        entry = store.stat(key)
        assert entry is not None
        return SourceFile(key=key, uri=store.uri(key), size=entry.size, generation=entry.generation)

    return make


@pytest.fixture
def configure(store: FolderStore) -> Callable[..., str]:
    """Return a function that writes the configuration of an ingest task and returns its key."""

    def write(sources: list[SourceFile], name: str = "task", **rest: Any) -> str:
        config = IngestTaskConfig(
            result_key=f"runs/{name}.result.json",
            messages=f"runs/{name}.messages/0000",
            datasets=[DatasetSources(dataset="lung", sources=sources, config=rest.pop("config", DatasetConfig()))],
            **rest,
        )
        write_configuration(store, f"runs/{name}.yaml", config)
        return f"runs/{name}.yaml"

    return write
