"""Sources of every kind give the counts they hold, as their ``.h5ad`` would, and the same each time."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.omics_datastore.ingest.ingest_run import IngestRun
from tests.other_sources import make_matrix_market, make_tenx_v2, make_tenx_v3, make_zarr, matrix_text
from tests.source_files import Kind, Layout, cell_names, ensembl_ids, make_source, sha256_tree

RANDOM = np.random.default_rng(5)
COUNTS = RANDOM.integers(0, 4, (23, 11)) * RANDOM.integers(0, 2, (23, 11))
SHUFFLED = list(RANDOM.permutation(np.count_nonzero(COUNTS)))
REAL = matrix_text(COUNTS, "real", SHUFFLED).replace(" 3\n", " 3.0e0\n")
LOOSE = matrix_text(COUNTS, order=SHUFFLED).replace("\n", "\r\n").replace(" ", "  \t")


def _gzip(path: Path) -> None:
    plain = make_source(path.parent.parent / "plain.h5ad", COUNTS)
    path.write_bytes(gzip.compress(plain.read_bytes()))


SOURCES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "10x of Cell Ranger 3": ("lung.h5", lambda path: make_tenx_v3(path, COUNTS)),
    "10x of Cell Ranger 2": ("lung.h5", lambda path: make_tenx_v2(path, COUNTS)),
    "AnnData called .h5": ("lung.h5", lambda path: make_source(path, COUNTS)),
    "gzip'd h5ad": ("lung.h5ad.gz", _gzip),
    "matrix market": ("lung/matrix.mtx.gz", lambda path: make_matrix_market(path.parent, COUNTS)),
    "plain, with genes.tsv and a prefix": (
        "lung/deep/GSM1_matrix.mtx",
        lambda path: make_matrix_market(path.parent, COUNTS, packed=False, genes=True, prefix="GSM1_"),
    ),
    "real and disordered": (
        "lung/matrix.mtx.gz",
        lambda path: make_matrix_market(path.parent, COUNTS, text=REAL),
    ),
    "loose lines": ("lung/matrix.mtx.gz", lambda path: make_matrix_market(path.parent, COUNTS, text=LOOSE)),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("limit", [1000, 2**28])
def test_counts_are_those_of_the_source(tmp_path: Path, kind: str, limit: int) -> None:
    key, make = SOURCES[kind]
    run = IngestRun(tmp_path / "nexus", f"inbox/{key}")
    make(run.source)
    written = run.written(limit)
    assert np.array_equal(written.counts, COUNTS)
    assert written.cells["original_id"].to_list() == cell_names(len(COUNTS))
    assert written.features["ensembl_id"].to_list() == ensembl_ids(COUNTS.shape[1])
    if "h5ad" not in key and "AnnData" not in kind:
        assert written.features["symbol"].to_list() == [f"gene{place}" for place in range(COUNTS.shape[1])]
    assert list(run.root.glob(".scratch/*/*")) == []
    first = sha256_tree(run.root / "ingest")
    shutil.rmtree(run.root / "ingest")
    assert run.written(limit).manifest == written.manifest
    assert sha256_tree(run.root / "ingest") == first


@pytest.mark.parametrize(
    ("name", "version", "kind"),
    [
        ("lung.zarr", 2, "csr"),
        ("lung/part.zarr", 3, "csc"),
        ("lung.zarr", 3, "dense"),
        ("lung.zarr.zip", 2, "dense"),
        ("lung.zarr.zip", 3, "csr"),
    ],
)
def test_zarr_is_read_as_its_h5ad(tmp_path: Path, name: str, version: int, kind: Kind) -> None:
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(["T cell", "B cell", None] * 7 + ["T cell", "NK"]),
            "donor_id": ["d1", "ünï"] * 11 + ["d2"],
            "age": pd.array([1, None] * 11 + [3], dtype="Int64"),
            "depth": np.linspace(0, 1, 23),
            "doublet": [True, False] * 11 + [True],
        },
        index=cell_names(23),
    )
    var = pd.DataFrame({"feature_name": [f"g{place}" for place in range(11)]}, index=ensembl_ids(11))
    uns = {"title": "A title", "citation": "Doe 2026", "schema_version": "5.2.0", "batch_condition": ["donor_id"]}
    plain = IngestRun(tmp_path / "plain")
    make_source(plain.source, COUNTS, Layout(kind), obs=obs, var=var, uns=uns)
    run = IngestRun(tmp_path / "nexus", f"inbox/{name}")
    make_zarr(run.source, plain.source, version, chunks=4, top="lung.zarr/" if version == 3 else "")
    expected, found = plain.written(), run.written(20000)
    assert np.array_equal(found.counts, COUNTS)
    kept = [column for column in expected.cells.columns if column not in ("ingest_id", "shuffle_key")]
    assert found.cells.select(kept).equals(expected.cells.select(kept))
    assert found.manifest.uns == expected.manifest.uns
    assert found.manifest.schema_version == "5.2.0"
    assert found.features["symbol"].to_list() == list(var["feature_name"])


def test_other_feature_types_are_left_out_and_counted(tmp_path: Path) -> None:
    run = IngestRun(tmp_path / "nexus", "inbox/lung.h5")
    types = ["Gene Expression", "Antibody Capture"] * 5 + ["Gene Expression"]
    make_tenx_v3(run.source, COUNTS, types=types, ids=[f"{kind[:3]}{n}" for n, kind in enumerate(types)])
    written = run.written(1000, feature_ids="any")
    assert np.array_equal(written.counts, COUNTS[:, ::2])
    [finding] = [finding for finding in written.manifest.findings if finding.rule == "feature_types"]
    assert finding.message == "5 features that are no genes were left out: 5 of 'Antibody Capture'."
    make_tenx_v3(run.source, COUNTS, types=["Peaks"] * 11)
    shutil.rmtree(run.root / "ingest")
    assert run.refusal("not_empty").startswith(
        "no feature has the type 'Gene Expression', there are only 11 of 'Peaks'"
    )


def test_identity_of_a_matrix_covers_its_three_files(tmp_path: Path) -> None:
    run = IngestRun(tmp_path / "nexus", "inbox/lung/s1/matrix.mtx.gz")
    make_matrix_market(run.source.parent, COUNTS)
    first = run.create()
    size = sum(path.stat().st_size for path in run.source.parent.iterdir())
    assert run.observed().size == size
    barcodes = run.source.with_name("barcodes.tsv.gz")
    names = gzip.decompress(barcodes.read_bytes())
    barcodes.write_bytes(gzip.compress(names.replace(b"cell0", b"cellX")))
    assert run.observed().generation != first.source.generation
    assert run.create().ingest_id != first.ingest_id
    other = IngestRun(tmp_path / "other", "inbox/lung/renamed/matrix.mtx.gz")
    make_matrix_market(other.source.parent, COUNTS)
    assert other.create().ingest_id == first.ingest_id
