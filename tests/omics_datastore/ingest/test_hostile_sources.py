"""Hostile sources of the other kinds, and links out of the inbox; broken ones are in ``test_format_refusals.py``."""

import gzip
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from omics_datastore.errors import InputError
from omics_datastore.ingest.inbox import read_config, read_drop, read_inbox
from tests.omics_datastore.ingest.ingest_run import DATASET, IngestRun
from tests.other_sources import make_matrix_market, make_tenx_v3, make_zarr, matrix_text
from tests.source_files import make_source

COUNTS = np.array([[1, 0, 2], [0, 3, 0], [4, 0, 0], [0, 5, 6]])
TEXT = matrix_text(COUNTS)
HUGE = 2**40

Break = Callable[[Path], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sound source of each kind, to be copied and broken."""
    folder = tmp_path_factory.mktemp("made")
    plain = make_source(folder / "plain.h5ad", COUNTS)
    make_tenx_v3(folder / "lung.h5", COUNTS)
    make_zarr(folder / "lung.zarr.zip", plain, 2)
    make_zarr(folder / "lung.zarr", plain, 2)
    make_matrix_market(folder / "lung", COUNTS, packed=False)
    return folder


def refused(made: Path, tmp_path: Path, key: str, break_it: Break, **config: Any) -> str:
    run = IngestRun(tmp_path / "nexus", f"inbox/{key}")
    name = key.partition("/")[0]
    if (made / name).is_dir():
        shutil.copytree(made / name, run.root / "inbox" / name, dirs_exist_ok=True)
    else:
        shutil.copyfile(made / name, run.source)
    break_it(run.source)
    report = run.create(**config)
    assert not (run.root / "ingest").exists() or report.valid
    assert not any(run.root.glob(".scratch/*/*"))
    said = " ".join(report.errors)
    assert said.isprintable()
    assert len(said) < 900
    return said


def text(name: str, content: bytes) -> Break:
    return lambda path: path.with_name(name).write_bytes(content)


def swap(old: str, new: str) -> Break:
    assert old in TEXT
    return lambda path: path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")


MATRIX_MARKET: dict[str, tuple[Break, str]] = {
    "cells beyond memory": (swap("3 4 6", f"3 {HUGE} 6"), "3 rows and 1099511627776 columns"),
    "entries beyond memory": (swap("3 4 6", f"3 4 {HUGE}"), "says it has 1099511627776 entries, but has 6"),
    "sizes of forty digits": (swap("3 4 6", f"3 4 {'9' * 40}"), "not the numbers of features, cells and entries"),
    "sizes below nothing": (swap("3 4 6", "3 -4 6"), "not the numbers of features, cells and entries"),
    "sizes in the digits of another script": (swap("3 4 6", "\u0663 4 6"), "not the numbers of features, cells"),
    "a count without end": (swap("2 2 3", "2 2 inf"), "holds inf, which is no count"),
    "a count of a googol": (swap("2 2 3", "2 2 1e100"), "holds 1e+100, which is no count"),
    "a count that overflows": (swap("2 2 3", "2 2 1e999"), "line 6 of matrix.mtx"),
    "a feature of forty digits": (swap("2 2 3", f"{'9' * 40} 2 3"), "line 6 of matrix.mtx"),
    "a feature below nothing": (swap("2 2 3", "-2 2 3"), "names feature -2, outside of 1 to 3"),
    "a formula": (swap("2 2 3", "=1+1 2 3"), "line 6 of matrix.mtx is '=1+1 2 3'"),
    "a NUL": (swap("2 2 3", "2 2 3\0"), "line 6 of matrix.mtx"),
    "quotes": (swap("2 2 3", '"2" 2 3'), "line 6 of matrix.mtx"),
    "a separator of thousands": (swap("2 2 3", "2 2 1_000"), "line 6 of matrix.mtx is '2 2 1_000'"),
    "no line end for a megabyte": (text("barcodes.tsv", b"x" * 2**21), "has a line of more than 1048576 bytes"),
    "barcodes of a million": (text("barcodes.tsv", b"x\n" * 10**6), "barcodes.tsv 1000000 cells"),
    "barcodes that turn around": (text("barcodes.tsv", "\u202ea\n\x1b[31m\n=1\nd\n".encode()), ""),
    "barcodes with a NUL": (text("barcodes.tsv", b"a\nb\0b\nc\nd\n"), "line 2 of barcodes.tsv holds a NUL"),
    "features of another encoding": (text("features.tsv", "é\ta\n".encode("latin-1")), "is not UTF-8"),
}


@pytest.mark.parametrize("name", MATRIX_MARKET)
def test_matrix_market(made: Path, tmp_path: Path, name: str) -> None:
    break_it, said = MATRIX_MARKET[name]
    found = refused(made, tmp_path, "lung/matrix.mtx", break_it)
    assert said in found
    assert bool(said) == bool(found)


def put(name: str, values: Any, **options: Any) -> Break:
    def change(path: Path) -> None:
        with h5py.File(path, "a") as file:
            if name in file:
                del file[name]
            if isinstance(values, h5py.ExternalLink | h5py.SoftLink):
                file[name] = values
            else:
                file.create_dataset(name, data=values, **options)

    return change


TENX: dict[str, tuple[Break, str]] = {
    "barcodes of a petabyte": (
        put("matrix/barcodes", None, shape=(HUGE,), dtype="S8", chunks=(2**16,)),
        "matrix/barcodes declares 1099511627776 rows",
    ),
    "ids of a petabyte": (
        put("matrix/features/id", None, shape=(HUGE,), dtype="S8", chunks=(2**16,)),
        "matrix: id declares 8796093022208 bytes",
    ),
    "barcodes with a NUL": (put("matrix/barcodes", np.array([b"a\0b", b"b", b"c", b"d"])), "NUL"),
    "a shape of many": (put("matrix/shape", [3, 4, 5]), "says it has 3 features x 4 features x 5"),
    "a shape of one number": (put("matrix/shape", 3), "is damaged"),
    "barcodes that are one": (put("matrix/barcodes", b"a"), "is damaged"),
    "ids of two dimensions": (put("matrix/features/id", np.array([[b"a"], [b"b"], [b"c"]])), "must hold Ensembl ids"),
    "counts in another file": (put("matrix/data", h5py.ExternalLink("/etc/passwd", "x")), "is a link into /etc/pass"),
    "counts that are themselves": (put("matrix/data", h5py.SoftLink("/matrix/data")), "is damaged"),
    "counts of nothing": (put("matrix/data", h5py.Empty("i4")), "must be a vector of numbers"),
}


@pytest.mark.parametrize("name", TENX)
def test_tenx(made: Path, tmp_path: Path, name: str) -> None:
    break_it, said = TENX[name]
    assert said in refused(made, tmp_path, "lung.h5", break_it)


def metadata(name: str, **changes: Any) -> Break:
    def change(path: Path) -> None:
        document = path / name
        document.write_text(json.dumps({**json.loads(document.read_text()), **changes}))

    return change


def way_out(path: Path) -> None:
    other = path.parent.parent / "secret"
    other.write_bytes(b"secret")
    (path / "X/data/0").unlink()
    (path / "X/data/0").symlink_to(other)


ZARR: dict[str, tuple[Break, str]] = {
    "cells of a petabyte": (metadata("obs/_index/.zarray", shape=[HUGE]), "obs/_index declares 1099511627776 rows"),
    "values of a petabyte": (metadata("X/data/.zarray", shape=[HUGE], chunks=[6]), "X/data declares"),
    "an indptr of a petabyte": (metadata("X/indptr/.zarray", shape=[HUGE]), "X/indptr declares 4398046511104 bytes"),
    "a chunk of a petabyte": (metadata("X/data/.zarray", chunks=[HUGE]), "X/data has chunks of 1099511627776 values"),
    "a shape below nothing": (metadata("X/data/.zarray", shape=[-6]), "is damaged"),
    "a codec that is not here": (
        metadata("X/data/.zarray", compressor={"id": "evil"}),
        "X is packed with a filter that Nexus does not have",
    ),
    "a codec that runs code": (metadata("X/data/.zarray", filters=[{"id": "pickle"}]), "X is damaged"),
    "objects": (metadata("X/data/.zarray", dtype="|O"), "X is damaged"),
    "records": (metadata("X/data/.zarray", dtype=[["a", "<f4"]]), "X is damaged"),
    "metadata without end": (lambda path: (path / "X/.zattrs").write_text("[" * 100_000), "is damaged"),
    "metadata that is no text": (lambda path: (path / "X/.zattrs").write_bytes(b"\xff\xfe"), "is damaged"),
}


@pytest.mark.parametrize("name", ZARR)
def test_zarr(made: Path, tmp_path: Path, name: str) -> None:
    break_it, said = ZARR[name]
    found = refused(made, tmp_path, "lung.zarr", break_it)
    assert said in found
    assert found


@pytest.mark.parametrize("entry", ["../../../../etc", "/etc/passwd", "..", ".", "a/../../b", "a\0b", ""])
def test_an_entry_that_leads_out_of_a_store(made: Path, tmp_path: Path, entry: str) -> None:
    said = refused(made, tmp_path, "lung.zarr", lambda _: None, uns_keep=[entry])
    assert "passwd" not in said.replace(entry, "")


ZIPS: dict[str, Callable[[zipfile.ZipFile], object]] = {
    "a store that lies outside": lambda archive: archive.writestr("../../.zgroup", '{"zarr_format": 2}'),
    "a store at the root of the disk": lambda archive: archive.writestr("/etc/.zgroup", '{"zarr_format": 2}'),
    "a name that turns around": lambda archive: archive.writestr("\u202e/.zgroup", '{"zarr_format": 2}'),
    "no store": lambda archive: archive.writestr("hello", "x"),
}


@pytest.mark.parametrize("name", ZIPS)
def test_zip(made: Path, tmp_path: Path, name: str) -> None:
    def make(path: Path) -> None:
        path.unlink()
        with zipfile.ZipFile(path, "w") as archive:
            ZIPS[name](archive)

    assert refused(made, tmp_path, "lung.zarr.zip", make)


@pytest.mark.parametrize(
    ("entry", "said"),
    [("X/data/0", "X/data is damaged"), ("X/.zattrs", "is damaged"), ("obs/_index/0", "obs/_index is damaged")],
)
def test_a_flipped_bit_in_a_zip(made: Path, tmp_path: Path, entry: str, said: str) -> None:
    def flip(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(entry)
        content = bytearray(path.read_bytes())
        content[info.header_offset + 30 + len(entry) + info.compress_size // 2] ^= 0x55
        path.write_bytes(content)

    assert said in refused(made, tmp_path, "lung.zarr.zip", flip)


def test_a_zip_of_a_version_to_come(made: Path, tmp_path: Path) -> None:
    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[content.index(b"PK\x01\x02") + 6] = 255
        path.write_bytes(content)

    assert "it is no zip file, damaged or cut off (zip file version 25.5)" in refused(
        made, tmp_path, "lung.zarr.zip", change
    )


def test_a_gzip_file_with_something_behind_it(made: Path, tmp_path: Path) -> None:
    run = IngestRun(tmp_path / "nexus", "inbox/lung.h5ad.gz")
    run.source.write_bytes(gzip.compress((made / "plain.h5ad").read_bytes()) + b"something else")
    assert "no gzip file, damaged or cut off" in run.refusal("readable")


class TestLinks:
    """What somebody drops must not make Nexus read what only Nexus may read."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> IngestRun:
        (tmp_path / "secret").write_text("root:x:0:0")
        make_source(tmp_path / "other.h5ad", COUNTS)
        return IngestRun(tmp_path / "nexus")

    def test_a_source(self, run: IngestRun, tmp_path: Path) -> None:
        run.source.symlink_to(tmp_path / "other.h5ad")
        inbox = read_inbox(run.store, run.store.entries("inbox/", hidden=True))
        assert inbox.drops[DATASET].sources[0].size != (tmp_path / "other.h5ad").stat().st_size
        for read in (lambda: read_drop(run.store, DATASET), run.observed):
            with pytest.raises(
                InputError, match=r"lung\.h5ad is a link that leads out of its folder; put the file itse"
            ):
                read()

    def test_a_sidecar(self, run: IngestRun, tmp_path: Path) -> None:
        make_source(run.source, COUNTS)
        run.source.with_name("lung.yaml").symlink_to(tmp_path / "secret")
        with pytest.raises(InputError, match="is a link that leads out of its folder") as caught:
            read_config(run.store, read_drop(run.store, DATASET))
        assert "root:x" not in str(caught.value)

    def test_a_part_of_a_store(self, made: Path, tmp_path: Path) -> None:
        run = IngestRun(tmp_path / "nexus", "inbox/lung.zarr")
        shutil.copytree(made / "lung.zarr", run.source)
        way_out(run.source)
        with pytest.raises(InputError, match="is a link that leads out of its folder"):
            run.create()
        assert not (run.root / "ingest").exists()

    def test_a_folder(self, run: IngestRun, tmp_path: Path) -> None:
        make_source(tmp_path / "elsewhere/a.h5ad", COUNTS)
        (run.root / "inbox/lung").symlink_to(tmp_path / "elsewhere")
        assert read_inbox(run.store, run.store.entries("inbox/", hidden=True)).drops == {}
        drop = read_drop(run.store, DATASET)
        with pytest.raises(InputError, match="is a link that leads out of its folder"):
            run.store.read(drop.sources[0].key)

    def test_a_link_within_the_inbox_and_an_inbox_on_another_disk(self, tmp_path: Path) -> None:
        (tmp_path / "disk").mkdir()
        (tmp_path / "nexus").mkdir()
        (tmp_path / "nexus/inbox").symlink_to(tmp_path / "disk")
        run = IngestRun(tmp_path / "nexus")
        make_source(run.source.with_name("first.h5ad"), COUNTS)
        run.source.symlink_to(run.source.with_name("first.h5ad"))
        assert run.create().valid
