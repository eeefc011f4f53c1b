"""Whatever the layout of a source file: its counts come out cell by cell, in one order, in the same bytes."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.conversion import convert
from omics_datastore.ingest.ingest_files import IngestFileWriter
from omics_datastore.shuffle import shuffle_keys
from tests.omics_datastore.ingest.ingest_run import DATASET, SMALL_GROUPS, IngestRun
from tests.source_files import KINDS, Kind, Layout, make_source, sha256_tree
from tests.source_strategies import LARGEST, layouts

TINY, SMALL, LARGE = 64, 2048, 2**28


@st.composite
def matrices(draw: st.DrawFn, largest: int) -> NDArray[np.int64]:
    cells, features = draw(st.integers(1, 9)), draw(st.integers(1, 8))
    value = st.sampled_from([0, 0, 0, 1, 2, 7, largest]).map(lambda count: min(count, largest))
    values = draw(st.lists(value, min_size=cells * features, max_size=cells * features))
    return np.array(values, np.int64).reshape(cells, features)


@st.composite
def sources(draw: st.DrawFn) -> tuple[Layout, NDArray[np.int64], str]:
    layout = draw(layouts())
    return layout, draw(matrices(LARGEST[layout.dtype])), draw(st.sampled_from(["X", "raw.X", "layers/counts"]))


@contextmanager
def new_run() -> Iterator[IngestRun]:
    with tempfile.TemporaryDirectory() as folder:
        yield IngestRun(Path(folder))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sources(), st.sampled_from([TINY, SMALL, LARGE]))
def test_every_count_comes_out_where_it_was(source: tuple[Layout, NDArray[np.int64], str], limit: int) -> None:
    layout, counts, where = source
    with new_run() as run:
        make_source(run.source, counts, layout, where=where)
        written = run.written(limit=limit, counts_from="auto" if where != "layers/counts" else where)
        np.testing.assert_array_equal(written.counts, counts)
        assert written.manifest.counts_from == where
        assert written.cells["total_mrna_umis"].to_list() == counts.sum(axis=1).tolist()
        assert written.cells["n_features"].to_list() == (counts > 0).sum(axis=1).tolist()
        keys = shuffle_keys(DATASET, written.manifest.source_sha256, 0, len(counts))
        assert written.cells["shuffle_key"].to_list() == keys.tolist()
        assert written.manifest.nnz == np.count_nonzero(counts)
        assert written.manifest.total_mrna_umis == counts.sum()
        assert written.manifest.empty_cells == (counts.sum(axis=1) == 0).sum()
        assert {file.table: file.rows for file in written.manifest.files} == {
            "raw_counts": len(counts),
            "cell_info": len(counts),
            "feature_info": counts.shape[1],
        }


def _convert(path: Path, folder: Path, limit: int) -> dict[str, str]:
    """Write the ingest files of a file as if its content were always the same, and return their digests."""
    (folder / "out").mkdir(parents=True)
    writer = IngestFileWriter("lung@0123456789ab", SMALL_GROUPS, folder / "out")
    convert(path, DATASET, "0" * 64, DatasetConfig(), writer, limit, folder / "scratch", None)
    writer.close()
    assert not list((folder / "scratch").rglob("*"))
    return sha256_tree(folder / "out")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(matrices(100), st.lists(st.tuples(layouts(), st.sampled_from([TINY, SMALL, LARGE])), min_size=2, max_size=4))
def test_same_counts_give_same_bytes(counts: NDArray[np.int64], ways: list[tuple[Layout, int]]) -> None:
    if any(layout.dtype == "bool" for layout, _ in ways):
        counts = np.minimum(counts, 1)
    with new_run() as run:
        digests = []
        for number, (layout, limit) in enumerate(ways):
            path = make_source(run.root / f"{number}.h5ad", counts, layout)
            digests.append(_convert(path, run.root / str(number), limit))
    assert all(digest == digests[0] for digest in digests)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [4000, 100_000])
def test_larger_file_gives_same_bytes_when_laid_aside(tmp_path: Path, kind: Kind, limit: int) -> None:
    counts = np.random.default_rng(1).poisson(0.4, (300, 70))
    path = make_source(tmp_path / "a.h5ad", counts, Layout(kind, chunks=64 if kind != "dense" else (50, 9)))
    assert _convert(path, tmp_path / "tiny", limit) == _convert(path, tmp_path / "large", LARGE)


def test_keys_survive_another_configuration(run: IngestRun) -> None:
    make_source(run.source, np.eye(5, 4))
    first, second = run.written(), run.written(tag="other")
    assert first.manifest.ingest_id != second.manifest.ingest_id
    assert first.cells["shuffle_key"].to_list() == second.cells["shuffle_key"].to_list()


def test_auto_falls_through_to_x(run: IngestRun) -> None:
    counts = np.arange(12).reshape(4, 3)
    make_source(run.source, counts / 3, Layout(dtype="float64"), where="raw.X", x=counts)
    written = run.written()
    assert written.manifest.counts_from == "X"
    np.testing.assert_array_equal(written.counts, counts)


def test_raw_has_features_of_its_own(run: IngestRun) -> None:
    import pandas as pd

    counts = np.arange(1, 13).reshape(4, 3)
    x_var = pd.DataFrame(index=["ENSG00000000009"])
    make_source(run.source, counts, where="raw.X", x=np.ones((4, 1)) / 2, x_var=x_var)
    written = run.written()
    np.testing.assert_array_equal(written.counts, counts)
    assert written.features.height == 3


def test_duplicate_features_are_summed(run: IngestRun) -> None:
    import pandas as pd

    counts = np.array([[1, 2, 3, 4], [0, 5, 0, 6], [0, 0, 0, 0]])
    ids = ["ENSG00000000001.1", "ENSG00000000002", "ENSG00000000001.2", "ENSG00000000002"]
    for kind in KINDS:
        make_source(run.source, counts, Layout(kind, chunks=2), var=pd.DataFrame(index=ids))
        written = run.written(duplicate_features="sum", limit=TINY)
        assert written.features["ensembl_id"].to_list() == ["ENSG00000000001", "ENSG00000000002"]
        assert written.features["feature_index"].to_list() == [0, 1]
        np.testing.assert_array_equal(written.counts, [[4, 6], [0, 11], [0, 0]])
        assert written.cells["n_features"].to_list() == [2, 1, 0]
