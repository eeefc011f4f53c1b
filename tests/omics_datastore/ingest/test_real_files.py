"""The real files beside the repository, where they are: what becomes of each."""

import shutil
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from tests.omics_datastore.ingest.ingest_run import IngestRun

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "real"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the real files are not beside the repository")


def _placed(run: IngestRun, name: str) -> IngestRun:
    shutil.copyfile(REAL / name, run.source)
    return run


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("number", "cells"), [(1, 40), (2, 9), (3, 19)])
def test_samples(run: IngestRun, number: int, cells: int) -> None:
    name = f"nexus_sample_000{number}.h5ad"
    written = _placed(run, name).written()
    data = anndata.read_h5ad(REAL / name)
    source = data.raw.X if data.raw is not None else data.X
    np.testing.assert_array_equal(written.counts, source.toarray())
    assert written.manifest.cell_count == cells
    assert written.cells["original_id"].to_list() == data.obs_names.to_list()
    assert written.cells["cell_type"].to_list() == data.obs["cell_type"].to_list()


@pytest.mark.filterwarnings("ignore")
def test_ids_in_a_column(run: IngestRun) -> None:
    name = "soma_multiome_subset_100_100.h5ad"
    assert "'gene_ids'" in _placed(run, name).refusal("feature_ids")
    written = run.written(var_mapping={"gene_ids": "ensembl_id"})
    np.testing.assert_array_equal(written.counts, anndata.read_h5ad(REAL / name).X.toarray())


def test_no_counts(run: IngestRun) -> None:
    message = _placed(run, "anndata_archive_v0.5.0.h5ad").refusal("counts")
    assert message == (
        "raw.X does not hold counts: 2.177 at cell 0, feature MT-ND3 is not whole, and X does not hold counts: "
        "-0.326 at cell 0, feature HES4 is negative; name the matrix that holds counts with counts_from."
    )


def test_empty_x(run: IngestRun) -> None:
    message = _placed(run, "anndata_archive_v0.11.4.h5ad").refusal("not_empty")
    assert message == "the file has no raw.X and no X; write the counts into X."


def test_names_that_are_no_ensembl_ids(run: IngestRun) -> None:
    message = _placed(run, "anndata_archive_v0.7.8.h5ad").refusal("feature_ids")
    assert message.endswith("or allow any ids with feature_ids: any.")
    assert run.written(feature_ids="any").features["ensembl_id"][0] == "gene0"


def test_a_10x_file(tmp_path: Path) -> None:
    run = _placed(IngestRun(tmp_path / "nexus", "inbox/lung.h5"), "10x_v3_filtered_feature_bc_matrix.h5")
    written = run.written()
    with h5py.File(run.source) as file:
        group = file["matrix"]
        counts = sparse.csc_matrix((group["data"][:], group["indices"][:], group["indptr"][:]), group["shape"][:])
        names = [name.decode() for name in group["barcodes"][:]]
        symbols = [name.decode() for name in group["features/name"][:]]
    np.testing.assert_array_equal(written.counts, counts.toarray().T)
    assert written.cells["original_id"].to_list() == names
    assert written.features["symbol"].to_list() == symbols
