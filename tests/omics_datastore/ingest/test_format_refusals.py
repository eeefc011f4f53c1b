"""Damaged and contradictory sources of every kind: one sentence, its place, and nothing left behind."""

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from omics_datastore.ingest.formats.unpack import unpacked_limit
from tests.omics_datastore.ingest.ingest_run import IngestRun
from tests.other_sources import make_matrix_market, make_tenx_v2, make_tenx_v3, make_zarr, matrix_text, write_text
from tests.source_files import cell_names, make_source

COUNTS = np.array([[1, 0, 2], [0, 3, 0], [4, 0, 0], [0, 5, 6]])
TEXT = matrix_text(COUNTS)

Break = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> IngestRun:
    run = IngestRun(tmp_path / "nexus", "inbox/lung/matrix.mtx.gz")
    make_matrix_market(run.source.parent, COUNTS)
    return run


@pytest.mark.parametrize(
    ("old", "new", "rule", "said"),
    [
        ("3 4 6", "3 4 7", "matrix_structure", "says it has 7 entries, but has 6; it is cut off"),
        ("3 4 6", "3 4 5", "matrix_structure", "says it has 5 entries, but has more"),
        ("3 4 6", "4 3 6", "matrix_structure", "has 4 rows and 3 columns (it holds cells x features: transpose it)"),
        ("3 4 6", "3 5 6", "matrix_structure", "has 3 rows and 5 columns, but features.tsv.gz has 3 features and bar"),
        ("3 4 6", "3 4", "readable", "line 3 of matrix.mtx.gz is '3 4', not the numbers of features, cells and en"),
        ("2 2 3\n", "4 2 3\n", "matrix_structure", "line 6 of matrix.mtx.gz names feature 4, outside of 1 to 3"),
        ("2 2 3\n", "2 0 3\n", "matrix_structure", "line 6 of matrix.mtx.gz names cell 0, outside of 1 to 4"),
        ("2 2 3\n", "\n2 2 0.5\n", "counts", "line 7 of matrix.mtx.gz holds 0.5, which is no count"),
        ("2 2 3\n", "2 2 -3\n", "counts", "line 6 of matrix.mtx.gz holds -3, which is no count"),
        ("2 2 3\n", "2 2 nan\n", "counts", "line 6 of matrix.mtx.gz holds nan, which is no count"),
        ("2 2 3\n", "2 2 2147483648\n", "counts", "line 6 of matrix.mtx.gz holds 2.14748e+09, which is no count"),
        ("2 2 3\n", "2 2\n3 1\n", "readable", "line 6 of matrix.mtx.gz is '2 2', not a feature, a cell and a count"),
        ("2 2 3\n", "2 2 3 4\n", "readable", "line 6 of matrix.mtx.gz is '2 2 3 4', not a feature, a cell and"),
        ("2 2 3\n", "2 2 three\n", "readable", "line 6 of matrix.mtx.gz is '2 2 three', not a feature, a cell an"),
        ("coordinate integer", "array integer", "readable", "line 1 of matrix.mtx.gz is '%%MatrixMarket matrix array"),
        ("integer general", "integer symmetric", "readable", "line 1 of matrix.mtx.gz is"),
        (TEXT, "", "readable", "line 1 of matrix.mtx.gz is '', not '%%MatrixMarket"),
        (TEXT, "%" * 2**21, "readable", "matrix.mtx.gz has a line of more than 1048576 bytes"),
    ],
)
def test_text_of_a_matrix(folder: IngestRun, old: str, new: str, rule: str, said: str) -> None:
    assert old in TEXT
    write_text(folder.source, TEXT.replace(old, new, 1))
    assert said in folder.refusal(rule)


def test_duplicate_entries_are_added_up(folder: IngestRun) -> None:
    write_text(folder.source, TEXT.replace("3 4 6\n", "3 4 8\n", 1) + "2 2 3\n2 2 1\n")
    expected = COUNTS.copy()
    expected[1, 1] += 4
    assert np.array_equal(folder.written().counts, expected)
    write_text(folder.source, TEXT.replace("3 4 6\n", "3 4 7\n", 1) + "2 2 2147483646\n")
    (folder.root / "ingest").rename(folder.root / "before")
    assert "add up to 2**31 or more" in folder.refusal("counts")


def test_names_with_windows_line_ends_and_more_columns(folder: IngestRun) -> None:
    write_text(folder.source.with_name("barcodes.tsv.gz"), "\r\n".join([*(f"{n}\tx" for n in cell_names(4)), ""]))
    features = "".join(f"ENSG0000000000{n}.1\tg{n}\tGene Expression\tchr1\t5\r\n" for n in range(3))
    write_text(folder.source.with_name("features.tsv.gz"), features + "\r\n\n")
    written = folder.written()
    assert written.cells["original_id"].to_list() == cell_names(4)
    assert written.features["symbol"].to_list() == ["g0", "g1", "g2"]
    assert np.array_equal(written.counts, COUNTS)


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 12])


@pytest.mark.parametrize(
    ("name", "break_it", "rule", "said"),
    [
        ("barcodes.tsv.gz", Path.unlink, "readable", "there is no barcodes.tsv (or .gz) beside matrix.mtx.gz"),
        ("features.tsv.gz", Path.unlink, "readable", "there is no features.tsv or genes.tsv (or .gz) beside"),
        ("barcodes.tsv", lambda path: write_text(path, "a\n"), "readable", "both barcodes.tsv and barcodes.tsv.gz"),
        ("genes.tsv", lambda path: write_text(path, "a\n"), "readable", "both features.tsv.gz and genes.tsv"),
        ("matrix.mtx", lambda path: write_text(path, "a\n"), "readable", "both matrix.mtx and matrix.mtx.gz"),
        ("matrix.mtx.gz", _cut, "readable", "matrix.mtx.gz is no gzip file, damaged or cut off"),
        ("barcodes.tsv.gz", _cut, "readable", "barcodes.tsv.gz is no gzip file, damaged or cut off"),
        ("matrix.mtx.gz", lambda path: path.write_bytes(b"plain"), "readable", "matrix.mtx.gz is no gzip file"),
        ("barcodes.tsv.gz", lambda path: write_text(path, "a\nb\nc\n"), "matrix_structure", "barcodes.tsv.gz 3 cells"),
        (
            "barcodes.tsv.gz",
            lambda path: write_text(path, "a\n\nb\nc\n"),
            "readable",
            "line 2 of barcodes.tsv.gz is bl",
        ),
        (
            "features.tsv.gz",
            lambda path: write_text(path, "ENSG1\ta\nENSG2\nENSG3\tc\n"),
            "readable",
            "line 2 of features.tsv.gz has 1 columns instead of 2",
        ),
        (
            "barcodes.tsv.gz",
            lambda path: path.write_bytes(gzip.compress(b"a\nb\n\xff\nd\n")),
            "readable",
            "line 3 of barcodes.tsv.gz is not UTF-8",
        ),
    ],
)
def test_files_of_a_folder(folder: IngestRun, name: str, break_it: Break, rule: str, said: str) -> None:
    break_it(folder.source.with_name(name))
    assert said in folder.refusal(rule)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (_cut, "no gzip file, damaged or cut off"),
        (lambda path: path.write_bytes(b"no gzip"), "no gzip file, damaged or cut off"),
        (lambda path: path.write_bytes(gzip.compress(b"no HDF5")), "not an HDF5 file"),
    ],
)
def test_packed_h5ad(tmp_path: Path, break_it: Break, said: str) -> None:
    run = IngestRun(tmp_path / "nexus", "inbox/lung.h5ad.gz")
    plain = make_source(tmp_path / "plain.h5ad", COUNTS)
    run.source.write_bytes(gzip.compress(plain.read_bytes()))
    break_it(run.source)
    assert said in run.refusal("readable")


def test_what_unpacks_to_too_much(tmp_path: Path) -> None:
    run = IngestRun(tmp_path / "nexus", "inbox/lung.h5ad.gz")
    run.source.write_bytes(gzip.compress(bytes(3 * 2**20)))
    said = run.refusal("size_limit", validation={"max_file_bytes": 10**6})
    assert said.startswith("the file unpacks to more than 1000000 bytes")
    assert "not an HDF5 file" in run.refusal("readable")
    assert [unpacked_limit(size, None) for size in (3000, 2**21)] == [2**28, 200 * 2**21]


@pytest.mark.parametrize(
    ("make", "rule", "said"),
    [
        (lambda path: make_tenx_v2(path, COUNTS, ["hg19", "mm10"]), "matrix_structure", "genomes, hg19, mm10; write a"),
        (lambda path: h5py.File(path, "w").create_group("molecules"), "readable", "neither a 10x matrix nor AnnData"),
        (lambda path: path.write_bytes(b"no HDF5"), "readable", "not an HDF5 file"),
    ],
)
def test_tenx_files(tmp_path: Path, make: Break, rule: str, said: str) -> None:
    run = IngestRun(tmp_path / "nexus", "inbox/lung.h5")
    make(run.source)
    assert said in run.refusal(rule)


@pytest.mark.parametrize(
    ("part", "values", "rule", "said"),
    [
        ("shape", [3, 5], "matrix_structure", "3 features x 5 cells, but names 3 features and 4 cells"),
        ("indices", [0, 2, 1, 0, 1, 3], "matrix_structure", "matrix has index 3 at position 5, outside of 0 to 2"),
        ("data", [1, 2, 3, 4, 5, -6], "counts", "-6"),
        ("features/name", [b"a"], "matrix_structure", "3 feature ids and 1 values of feature_name"),
        ("features/id", [b"a", b"b", b"c"], "feature_ids", "must hold Ensembl ids"),
    ],
)
def test_tenx_parts(tmp_path: Path, part: str, values: list[object], rule: str, said: str) -> None:
    run = IngestRun(tmp_path / "nexus", "inbox/lung.h5")
    make_tenx_v3(run.source, COUNTS)
    with h5py.File(run.source, "a") as file:
        del file[f"matrix/{part}"]
        file[f"matrix/{part}"] = np.array(values)
    assert said in run.refusal(rule)


def _zarr(path: Path, version: int = 2) -> Path:
    return make_zarr(path, make_source(path.parents[2] / "plain.h5ad", COUNTS), version)


@pytest.mark.parametrize(
    ("break_it", "rule", "said"),
    [
        (lambda path: (path / "X/data/0").unlink(), "readable", "X/data lacks 1 of its 1 chunks; copy the store again"),
        (lambda path: (path / "X/indices/0").write_bytes(b"no"), "readable", "X/indices is damaged"),
        (lambda path: (path / "X/.zattrs").unlink(), "matrix_structure", "X is stored as an unknown kind"),
        (lambda path: (path / "obs/.zgroup").unlink(), "readable", "the file has no obs"),
        (lambda path: (path / ".zgroup").write_text("{"), "readable", "it is not a zarr store that can be opened"),
    ],
)
def test_zarr_stores(tmp_path: Path, break_it: Break, rule: str, said: str) -> None:
    run = IngestRun(tmp_path / "nexus", "inbox/lung.zarr")
    _zarr(run.source)
    break_it(run.source)
    assert said in run.refusal(rule)


def test_hidden_files_in_a_zarr_store_do_not_count(tmp_path: Path) -> None:
    run = IngestRun(tmp_path / "nexus", "inbox/lung.zarr")
    _zarr(run.source)
    first = run.observed()
    (run.source / ".DS_Store").write_bytes(b"x")
    (run.source / "X/.nfs01").write_bytes(b"x")
    assert run.observed() == first
    ingest_id = run.create().ingest_id
    (run.source / "X/.zattrs").touch()
    assert run.observed().generation != first.generation
    assert run.create().ingest_id == ingest_id


def test_zip_files(tmp_path: Path) -> None:
    run = IngestRun(tmp_path / "nexus", "inbox/lung.zarr.zip")
    run.source.write_bytes(b"no zip")
    assert "it is no zip file, damaged or cut off" in run.refusal("readable")
    with zipfile.ZipFile(run.source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(".zgroup", bytes(2**21))
    assert "unpacks to more than 1000000 bytes" in run.refusal("size_limit", validation={"max_file_bytes": 10**6})
