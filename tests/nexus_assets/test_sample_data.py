"""The sample of the demo: repeatable, read by the ingest as it is, and alike in what a user looks at."""

import itertools
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest

from nexus_assets.sample_data import MARKERS, make_sample
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.create import validate_source
from omics_datastore.ingest.manifest import SourceFile
from omics_datastore.schema.tables import ONTOLOGY_COLUMNS
from omics_datastore.storage.folder import FolderStore
from tests.source_files import sha256_tree

NAMES = ["pbmc/pbmc_donor_a", "pbmc/pbmc_donor_b", "lung-atlas/lung_donor_c", "lung-atlas/lung_donor_d"]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nexus") / "sample"
    paths = make_sample(folder, 600)
    assert paths == [folder / f"{name}.h5ad" for name in NAMES]
    return folder


def test_same_seed_gives_same_bytes(sample: Path, tmp_path: Path) -> None:
    make_sample(tmp_path / "again", 600)
    assert sha256_tree(tmp_path / "again") == sha256_tree(sample)
    make_sample(tmp_path / "other", 600, seed=1)
    assert not set(sha256_tree(tmp_path / "other").values()) & set(sha256_tree(sample).values())


def test_every_file_is_ingested_without_a_word(sample: Path) -> None:
    store = FolderStore(sample)
    cells = 0
    for name, counts_from in zip(NAMES, ["X", "raw.X", "X", "X"], strict=True):
        entry = store.stat(f"{name}.h5ad")
        assert entry is not None
        source = SourceFile(key=entry.key, uri=entry.key, size=entry.size, generation=entry.generation)
        report = validate_source(source, "sample", DatasetConfig(), store)
        assert report.findings == []
        assert report.counts_from == counts_from
        cells += report.cell_count
    assert cells == 600


def test_files_differ_as_dropped_files_do(sample: Path) -> None:
    genes: list[list[str]] = []
    encodings: list[str] = []
    for name in NAMES:
        with h5py.File(sample / f"{name}.h5ad") as file:
            genes.append(list(file["var/_index"].asstr()))
            encodings.append(file["X"].attrs["encoding-type"])
    assert encodings == ["csr_matrix", "csr_matrix", "csc_matrix", "array"]
    for first, second in itertools.pairwise(genes):
        common = set(first) & set(second)
        assert 0 < len(common) < len(first)
        assert [gene for gene in first if gene in common] != [gene for gene in second if gene in common]


@pytest.mark.parametrize("name", NAMES)
def test_cell_types_show_their_markers(sample: Path, name: str) -> None:
    data = anndata.read_h5ad(sample / f"{name}.h5ad")
    counts = data.raw.X if data.raw is not None else data.X
    table = np.asarray(counts.toarray() if hasattr(counts, "toarray") else counts)
    t_cells = data.obs["cell_type"].str.contains("T cell").to_numpy()
    cd3d = np.flatnonzero(data.var_names == MARKERS["CD3D"])
    cd3e = np.flatnonzero(data.var_names == MARKERS["CD3E"])
    for place in (*cd3d, *cd3e):
        assert table[t_cells, place].mean() > 10 * (table[~t_cells, place].mean() + 0.01)
    assert 500 < np.median(np.count_nonzero(table, axis=1)) < 1500
    dispersion = table.var(axis=0)[table.mean(axis=0) > 1] / table.mean(axis=0)[table.mean(axis=0) > 1]
    assert np.median(dispersion) > 1.2, "counts must vary more than Poisson's"
    for column in ONTOLOGY_COLUMNS:
        if column != "organism":
            assert data.obs[f"{column}_ontology_term_id"].nunique() == data.obs[column].nunique()


def test_tiny_sample(tmp_path: Path) -> None:
    assert [anndata.read_h5ad(path).n_obs for path in make_sample(tmp_path, 1)] == [10, 10, 10, 10]
