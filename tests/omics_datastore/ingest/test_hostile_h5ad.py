"""Hostile and broken ``.h5ad`` files: each is refused with a sentence, or loads because nothing is wrong with it.

What a file may say wrongly about counts, features and columns is in ``test_refusals.py``, how its parts contradict each
other in ``test_damage.py``; here is what somebody may have made on purpose, and what a fuzzer found.
"""

import shutil
import zlib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from tests.omics_datastore.ingest.h5ad_changes import (
    TEXT,
    Change,
    both,
    chunk,
    column,
    declare,
    deep,
    link,
    lists,
    many_columns,
    mark,
    outside,
    put,
    raw_name,
    tangle,
    unknown_filter,
    virtual,
)
from tests.omics_datastore.ingest.ingest_run import IngestRun
from tests.source_files import Layout, make_source

COUNTS = np.arange(12).reshape(4, 3)
HIDDEN = "xyzzy of another file"
HUGE = 2**40


LOADS = ""
"""What is said of a file that loads."""

MATRIX: dict[str, tuple[Change, str]] = {
    "complex counts": (put("X/data", np.ones(11, "c16")), "/X/data must be a vector of numbers, not complex128 (11,)"),
    "counts that are text": (
        put("X/data", np.array([b"1"] * 11)),
        "/X/data must be a vector of numbers, not |S1 (11,)",
    ),
    "counts that are records": (
        put("X/data", np.zeros(11, [("a", "i4"), ("b", "f4")])),
        "/X/data must be a vector of numbers, not [('a', '<i4'), ('b', '<f4')] ",
    ),
    "counts that are references": (
        lambda file: put("X/data", np.array([file["obs"].ref] * 11, h5py.ref_dtype))(file),
        "/X/data must be a vector of numbers, not object (11,)",
    ),
    "counts that are lists": (
        put("X/data", lists(11), h5py.vlen_dtype("i4")),
        "/X/data must be a vector of numbers, not object (11,)",
    ),
    "no values at all": (put("X/data", h5py.Empty("f4")), "/X/data must be a vector of numbers, not float32 None"),
    "one value": (put("X/data", 3.0), "/X/data must be a vector of numbers, not float64 ()"),
    "counts of 16 bits, of the other byte order": (put("X/data", np.arange(1, 12, dtype=">f2")), LOADS),
    "counts of 128 bits": (put("X/data", np.arange(1, 12, dtype="longdouble")), LOADS),
    "minus zero": (put("X/data", np.array([-0.0, *[1.0] * 10])), LOADS),
    "the least number above zero": (
        put("X/data", np.array([5e-324, *[1.0] * 10])),
        "X does not hold counts: 5e-324 at cell 0, feature ENSG00000000001 is n",
    ),
    "the least integer": (
        put("X/data", np.array([-(2**63), *[1] * 10])),
        "X does not hold counts: -9223372036854775808 at cell 0, feature ENSG00",
    ),
    "the largest integer": (
        put("X/data", np.array([2**64 - 1, *[1] * 10], "u8")),
        "X does not hold counts: 18446744073709551615 at cell 0, feature ENSG00",
    ),
    "indices beyond 63 bits": (
        put("X/indices", np.array([2**64 - 1, *[0] * 10], "u8")),
        "X has index 18446744073709551615 at position 0, outside of 0 to 2",
    ),
    "indices that wrap around 32 bits": (
        put("X/indices", np.array([2**32, *[0] * 10], "i8")),
        "X has index 4294967296 at position 0, outside of 0 to 2",
    ),
    "an indptr beyond 63 bits": (
        put("X/indptr", np.array([0, 2, 5, 8, 2**64 - 1], "u8")),
        "X has an indptr that descends",
    ),
    "an indptr that goes far and comes back": (
        put("X/indptr", np.array([0, 2**62, 2**62, 8, 11])),
        "X has an indptr that descends",
    ),
    "an indptr that ends too early": (
        put("X/indptr", np.array([0, 2, 5, 8, 9])),
        "X has 11 values, 11 indices and an indptr that ends at 9",
    ),
    "an indptr that goes beyond the values": (
        put("X/indptr", np.array([0, 2, 5, 8, 10**12])),
        "X has 11 values, 11 indices and an indptr that ends at 1000000000000",
    ),
    "an indptr of fractions": (
        put("X/indptr", np.array([0, 2.5, 5, 8, 11])),
        "/X/indptr must be a vector of integers, not float64 (5,)",
    ),
    "a negative shape": (mark("X", "shape", (-4, 3)), "X has -4 cells, but obs has 4 rows"),
    "a shape of words": (
        mark("X", "shape", np.array(["four", "three"], dtype=TEXT)),
        "X is damaged (invalid literal for int() with base 10: 'four')",
    ),
    "a shape of no numbers": (mark("X", "shape", (np.nan, 3.0)), "X is damaged (cannot convert float NaN to integer)"),
    "a shape beyond memory": (mark("X", "shape", (HUGE, 3)), "X (cells) declares 1099511627776 rows, which"),
    "a shape of too many features": (
        mark("X", "shape", (4, 2**62)),
        "X (features) declares 4611686018427387904 rows, which",
    ),
    "an encoding that is a number": (mark("X", "encoding-type", 5), "X is stored as 5, not as dense, CSR or CSC."),
    "an encoding that is no UTF-8": (
        mark("X", "encoding-type", np.bytes_(b"\xff\xfe")),
        "X has a name that is not UTF-8",
    ),
    "an encoding that is a list": (
        mark("X", "encoding-type", ["csr_matrix", "csr_matrix"]),
        "X is stored as ['csr_matrix' 'csr_matrix'], not as dense, CSR or CSC.",
    ),
    "a type where the matrix should be": (
        link("X", np.dtype("f4")),
        "X is damaged ('Datatype' object has no attribute 'get')",
    ),
    "values that are a group": (
        lambda file: (file.__delitem__("X/data"), file.create_group("X/data")),
        "X is stored as csr_matrix, not as dense, CSR or CSC.",
    ),
}
BOMBS: dict[str, tuple[Change, str]] = {
    "a dense matrix of a petabyte": (
        declare("X", (HUGE, 1024), "f4", (64, 1024)),
        "X (cells) declares 1099511627776 rows, which",
    ),
    "a dense matrix of a terabyte in few rows": (
        declare("X", (4, 2**38), "f4", (1, 2**20)),
        "X (features) declares 274877906944 rows, which",
    ),
    "values of a petabyte": (declare("X/data", (HUGE,), "f8", (2**16,)), "X/data declares 8796093022208 bytes, which"),
    "an indptr of a petabyte": (
        declare("X/indptr", (HUGE,), "i8", (2**16,)),
        "X/indptr declares 8796093022208 bytes, which",
    ),
    "a petabyte of cells": (
        both(mark("X", "shape", (HUGE, 3)), declare("obs/_index", (HUGE,), "S8", (2**16,))),
        "X (cells) declares 1099511627776 rows, which",
    ),
    "a petabyte of features": (
        declare("var/_index", (HUGE,), "S8", (2**16,)),
        "var declares 1099511627776 rows, which",
    ),
    "a petabyte of categories": (
        declare("obs/cell_type/categories", (HUGE,), "S8", (2**16,)),
        "the categories of obs['cell_type'] declares 8796093022208 bytes, which",
    ),
    "names of a gigabyte each": (
        declare("obs/_index", (4,), f"S{2**30}", (1,)),
        "obs['_index'] has values of 1073741824 bytes, more than 1048576",
    ),
    "a chunk of gigabytes": (declare("obs/n", (4,), "i8", (2**28,)), "obs['n'] of 32 bytes has chunks of 2147483648"),
    "values in a chunk of gigabytes": (
        declare("X/data", (11,), "i8", (2**28,)),
        "X/data of 88 bytes has chunks of 2147483648",
    ),
    "a chunk that inflates to a thousand times more": (
        chunk("X/data", zlib.compress(bytes(2**24), 9)),
        "/X/data between values 0 and 11 is damaged (chunk 0 is stored in ",
    ),
    "a chunk that inflates to a little more": (
        chunk("X/data", zlib.compress(bytes(48))),
        "/X/data between values 0 and 11 is damaged (chunk 0 holds more than 44",
    ),
    "a chunk that inflates to less": (
        chunk("X/data", zlib.compress(bytes(40))),
        "/X/data between values 0 and 11 is damaged (chunk 0 holds 40 bytes ins",
    ),
    "a chunk that is cut off": (
        chunk("X/data", zlib.compress(bytes(range(44)))[:20]),
        "/X/data between values 0 and 11 is damaged (incomplete or truncated st",
    ),
    "a chunk that is not gzip": (
        chunk("X/indices", b"not gzip at all"),
        "/X/indices between values 0 and 11 is damaged (Error -5 Gzip/zlib wrap",
    ),
    "a chunk much larger than its values": (
        chunk("X/data", bytes(10_000)),
        "/X/data between values 0 and 11 is damaged (chunk 0 is stored in ",
    ),
    "a shuffled chunk that inflates to more": (
        chunk("X/data", zlib.compress(bytes(2**20)), shuffle=True),
        "/X/data between values 0 and 11 is damaged (chunk 0 holds more than 44",
    ),
    "a chunk with a wrong checksum": (
        chunk("X/data", zlib.compress(bytes(44)) + b"1234", fletcher32=True),
        "/X/data between values 0 and 11 is damaged (Can't synchronously read d",
    ),
    "values in a filter that is not here": (
        unknown_filter("X/data"),
        "/X/data between values 0 and 11 is packed with a filter that Nexus doe",
    ),
    "a column in a filter that is not here": (
        unknown_filter("obs/n"),
        "obs['n'] in rows 0 to 3 is packed with a filter that Nexus does not ha",
    ),
}
LINKS: dict[str, tuple[Change, str]] = {
    "a matrix that is a link to itself": (
        link("X", h5py.SoftLink("/X")),
        "X is damaged (Special link traversal failed (too many links))",
    ),
    "two links to each other": (
        both(link("X", h5py.SoftLink("/Y")), link("Y", h5py.SoftLink("/X"))),
        "X is damaged (Special link traversal failed (too many links))",
    ),
    "cells that are a link to the file": (link("obs", h5py.SoftLink("/")), "obs has no index"),
    "a column that is a link to nowhere": (
        link("obs/n", h5py.SoftLink("/nowhere")),
        "obs is damaged ('Unable to synchronously open object (component not fo",
    ),
    "a link into another file": (
        link("obs/n", h5py.ExternalLink("/etc/passwd", "n")),
        "obs/n is a link into /etc/passwd",
    ),
    "a link into another file that nobody reads": (
        link("varm/x", h5py.ExternalLink("other.h5ad", "x")),
        "varm/x is a link into other.h5ad",
    ),
    "a link to a link into another file": (
        both(link("uns/title", h5py.SoftLink("/uns/x")), link("uns/x", h5py.ExternalLink("other.h5ad", "x"))),
        "uns/x is a link into other.h5ad",
    ),
    "names that lie in another file": (outside("obs/_index"), "obs/_index keeps its values in other files"),
    "a column of another file": (virtual("obs/n", "other.h5ad"), "obs/n keeps its values in other files"),
    "a column of this file": (virtual("obs/n", "."), "obs/n keeps its values in other files"),
    "an entry that holds itself": (link("uns/title/self", h5py.SoftLink("/uns/title")), LOADS),
    "an entry that holds itself twelve times": (tangle, LOADS),
    "an entry of a hundred levels": (deep, LOADS),
    "a name that is no UTF-8": (raw_name("uns/title", b"\xff\xfe", 5), "a name that is not UTF-8"),
}
FRAMES: dict[str, tuple[Change, str]] = {
    "an index that is named by a number": (mark("obs", "_index", 3), "obs has no index"),
    "an index that is named by a list": (mark("obs", "_index", ["_index", "n"]), "obs has no index"),
    "an index beyond the frame": (mark("obs", "_index", "../var/_index"), "obs has no index"),
    "an index that is a group": (mark("obs", "_index", "cell_type"), LOADS),
    "an index with two dimensions": (
        put("obs/_index", np.array([[b"a"], [b"b"], [b"c"], [b"d"]])),
        "the index of obs has the shape (4, 1), which Nexus cannot read",
    ),
    "an index of references": (
        lambda file: put("obs/_index", np.array([file["var"].ref] * 4, h5py.ref_dtype))(file),
        "the index of obs has the type object, which Nexus cannot read",
    ),
    "an index that is no UTF-8": (put("obs/_index", np.array([b"\xff", b"\xfe", b"a\0b", b""])), LOADS),
    "an index of numbers": (put("obs/_index", np.array([1.5, np.nan, np.inf, -0.0])), LOADS),
    "an index of one name": (put("obs/_index", np.array([b"same"] * 4)), LOADS),
    "an index of control characters": (
        put("obs/_index", np.array(["a\nb", "\u202eevil", "\x1b[31m", "=HYPERLINK(1)"], dtype=TEXT)),
        LOADS,
    ),
    "an index in the feature ids that turns around": (
        put("var/_index", np.array(["ENSG00000000001\u202e", "ENSG00000000002\n", "=1+1"], dtype=TEXT)),
        "the index of var must hold Ensembl ids, but 3 of 3 are not, the first ",
    ),
    "an order that is a number": (
        mark("obs", "column-order", 5),
        "obs is damaged ('numpy.int64' object is not iterable)",
    ),
    "an order of twenty thousand": (many_columns, "obs has two columns named n"),
    "an order that leads elsewhere": (
        mark("obs", "column-order", np.array(["/var/_index"], dtype=TEXT)),
        "has 3 values for 4 rows",
    ),
    "an order of dots": (mark("obs", "column-order", np.array(["."], dtype=TEXT)), LOADS),
    "an order of nothing": (mark("obs", "column-order", np.array([""], dtype=TEXT)), "obs lacks its column ''"),
    "an order that is no UTF-8": (mark("obs", "column-order", np.array([b"\xff"])), "obs lacks its column"),
    "a column of records": (column("odd", np.zeros(4, [("a", "i4")])), LOADS),
    "a column of lists": (column("odd", lists(4), h5py.vlen_dtype("i4")), LOADS),
    "a column of complex numbers": (column("odd", np.ones(4, "c8")), LOADS),
    "a column of tables": (column("odd", np.ones((4, 2))), LOADS),
    "a column of nothing": (column("odd", h5py.Empty("f4")), LOADS),
    "a column of arrays": (column("odd", np.zeros(4, "(2,)i4")), LOADS),
    "a column of an enumeration": (column("odd", [0, 1, 0, 1], h5py.enum_dtype({"A": 0, "B": 1})), LOADS),
    "a column of infinities": (column("odd", [np.inf, -np.inf, np.nan, 1e308]), LOADS),
    "a column that is a type": (both(column("odd", [1] * 4), link("obs/odd", np.dtype("i4"))), "obs is damaged"),
    "codes of fractions": (put("obs/cell_type/codes", np.array([0, 0.5, 1, 0])), "codes are of the type float64"),
    "codes of text": (put("obs/cell_type/codes", np.array([b"0"] * 4)), "codes are of the type |S1"),
    "codes beyond 63 bits": (
        put("obs/cell_type/codes", np.array([2**64 - 1, 0, 1, 0], "u8")),
        "has the code 18446744073709551615 for 2 categories",
    ),
    "codes far below": (put("obs/cell_type/codes", np.array([-(2**63), 0, 1, 0])), LOADS),
    "categories of two dimensions": (put("obs/cell_type/categories", np.zeros((2, 2))), "has the shape (2, 2)"),
    "categories that repeat": (put("obs/cell_type/categories", np.array([b"T", b"T"])), LOADS),
    "categories that are no UTF-8": (put("obs/cell_type/categories", np.array([b"\xff", b"T"])), LOADS),
    "cells that are numbers": (put("obs", np.arange(4)), "obs is not a table"),
    "cells that are nothing": (put("obs", h5py.Empty("f4")), "obs is not a table"),
    "features that are a record": (put("var", np.zeros((), [("index", "S8")])), "var is not a table"),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    obs = pd.DataFrame(
        {"cell_type": pd.Categorical(list("TBTB")), "n": [1, 2, 3, 4]}, index=["a", "b", "c", "d"], dtype=None
    )
    path = tmp_path_factory.mktemp("sound") / "sound.h5ad"
    return make_source(path, COUNTS, Layout(compression=None), obs=obs, uns={"title": {"a": 1}})


def examine(sound: Path, run: IngestRun, change: Change) -> list[str]:
    """Return what is said of a changed file; nothing may be left of one that is refused, nor anything leak out."""
    shutil.copyfile(sound, run.source)
    run.source.with_name("secret").write_text(HIDDEN)
    with h5py.File(run.source, "a") as file:
        change(file)
    report = run.create()
    assert HIDDEN[:5] not in report.model_dump_json()
    for message in report.errors:
        assert message.isprintable()
        assert message.endswith(".")
        assert len(message) < 600
    if report.valid:
        run.read(report)
    else:
        assert not (run.root / "ingest").exists()
        assert not any(run.root.glob(".scratch/*/*"))
    return report.errors


CORPUS = {**MATRIX, **BOMBS, **LINKS, **FRAMES}


@pytest.mark.parametrize("name", CORPUS)
def test_hostile_file(sound: Path, run: IngestRun, name: str) -> None:
    change, said = CORPUS[name]
    errors = examine(sound, run, change)
    assert bool(errors) == bool(said), errors
    assert said in " ".join(errors)
