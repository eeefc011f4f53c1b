"""What is fuzzed: functions of bytes that may raise nothing but an input error of one sentence.

A target takes bytes as somebody could write them. Source files are HDF5 and zip, whose readers are C: there the bytes
are edits of small sound files, so that few inputs are refused for their first bytes.
"""

import gzip
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from omics_datastore.curriculum.feature_schema import feature_schema_csv, parse_feature_schema
from omics_datastore.curriculum.versions import parse_specification
from omics_datastore.errors import InputError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.conversion import convert
from omics_datastore.ingest.formats.as_h5ad import as_h5ad
from omics_datastore.ingest.local_source import LocalSource
from omics_datastore.ingest.mappings import SharedMapping
from omics_datastore.ingest.source_kinds import SourceKind
from omics_datastore.keys import KEY_PATTERN, check_key, parse_curriculum_partition, parse_ingest_id, propose_key
from omics_datastore.query.cells import selected_cells
from omics_datastore.query.compile import compile_sql
from omics_datastore.query.filter_text import parse_filter, parse_part
from omics_datastore.query.filters import CellFilter
from omics_datastore.query.sql_text import local_statement
from omics_datastore.storage.documents import parse_yaml
from omics_datastore.storage.object_store import check_object_key
from tests.other_sources import make_matrix_market, make_tenx_v2, make_tenx_v3, make_zarr
from tests.source_files import Layout, ensembl_ids, make_0_5_source, make_0_7_source, make_source

Target = Callable[[bytes], None]
_MEMORY = 2**22
_COUNTS = np.arange(24).reshape(6, 4) % 5
_EDIT = 6


def sidecar(data: bytes) -> None:
    """The configuration of a dataset."""
    config = parse_yaml(DatasetConfig, data, "lung.yaml").of_source("a.h5ad")
    if config.mapping is None:
        config.data_digest()


def mapping(data: bytes) -> None:
    """A column mapping."""
    parse_yaml(SharedMapping, data, "atlas.yaml")


def specification(data: bytes) -> None:
    """The specification of a curriculum."""
    parse_specification(data, "lung.yaml").digest()


def yaml_filter(data: bytes) -> None:
    """A filter in a file, compiled for both warehouses."""
    _compile(parse_filter(data, "filter.yaml"))


def condition(data: bytes) -> None:
    """A condition of a command line, compiled for both warehouses."""
    try:
        part = parse_part(data.decode("utf-8", "surrogateescape"))
    except ValueError as error:  # what the function promises, in one sentence
        raise InputError(str(error)) from error
    _compile(CellFilter(conditions=(part,)))


def sql(data: bytes) -> None:
    """A statement of nexus sql."""
    local_statement(data.decode("utf-8", "replace"))


def feature_schema(data: bytes) -> None:
    """A CSV file of genes, which comes back from its export as it was."""
    schema = parse_feature_schema("genes", data)
    assert parse_feature_schema("genes", feature_schema_csv(schema).encode()).digest() == schema.digest()


def keys(data: bytes) -> None:
    """Names of everything."""
    text = data.decode("utf-8", "surrogateescape")
    assert KEY_PATTERN.fullmatch(propose_key(text))
    for read in (
        check_object_key,
        parse_ingest_id,
        parse_curriculum_partition,
        lambda name: check_key("dataset", name),
    ):
        try:
            read(text)
        except InputError as error:
            _check_sentence(error)


def h5ad(data: bytes) -> None:
    """Edits of ``.h5ad`` files of every layout."""
    _read_edited(data, _h5ad_files(), SourceKind.H5AD)


def tenx(data: bytes) -> None:
    """Edits of 10x files."""
    _read_edited(data, _tenx_files(), SourceKind.TENX)


def zarr_zip(data: bytes) -> None:
    """Edits of zip files of zarr stores."""
    _read_edited(data, _zarr_files(), SourceKind.ZARR_ZIP)


def packed(data: bytes) -> None:
    """Edits of gzip'd ``.h5ad`` files."""
    _read_edited(data, _packed_files(), SourceKind.GZIP)


def matrix_market(data: bytes) -> None:
    """The three texts of a matrix-market matrix, separated by NUL."""
    texts = (data.split(b"\0", 2) + [b""] * 3)[:3]
    with tempfile.TemporaryDirectory(dir=_scratch()) as name:
        folder = Path(name)
        files = {}
        for file, text in zip(("matrix.mtx", "barcodes.tsv", "features.tsv"), texts, strict=True):
            files[file] = folder / file
            files[file].write_bytes(text)
        _read(LocalSource(SourceKind.MATRIX_MARKET, folder, files), folder)


TARGETS: dict[str, Target] = {
    function.__name__: function
    for function in (
        *(h5ad, tenx, zarr_zip, packed, matrix_market, sidecar, mapping, specification, yaml_filter, condition, sql),
        *(feature_schema, keys),
    )
}


def run(target: Target, data: bytes) -> bool:
    """Run a target.

    :param target: The target.
    :param data: The input.
    :return: Whether it took the input, rather than refuse it.
    :raise AssertionError: When it refused it with something else than a sentence.
    """
    try:
        target(data)
    except InputError as error:
        _check_sentence(error)
        return False
    return True


def seeds(name: str) -> list[bytes]:
    """Return inputs to begin with.

    :param name: Name of the target.
    :return: The inputs.
    """
    if TARGETS[name] in (h5ad, tenx, zarr_zip, packed):
        return [bytes([number, *edit]) for number in range(8) for edit in ([], [0, 40, 0, 0, 0, 1], [1, 0, 3, 0, 0, 9])]
    if name == "matrix_market":
        with tempfile.TemporaryDirectory(dir=_scratch()) as folder:
            matrix = make_matrix_market(Path(folder), _COUNTS, packed=False)
            names = (matrix, matrix.with_name("barcodes.tsv"), matrix.with_name("features.tsv"))
            return [b"\0".join(file.read_bytes() for file in names)]
    return [text.encode() for text in _TEXTS[name]]


_TEXTS: dict[str, tuple[str, ...]] = {
    "sidecar": (
        "tag: pilot\ntags: {a.h5ad: x, 'w/*': y}\ncounts_from: layers/counts\nobs_mapping: {donor: donor_id}\n",
        "uns_keep: [title]\nvalidation: {required_obs: [donor_id], max_file_bytes: 5, cellxgene_schema: off}\n",
        "a: &a [1]\nb: *a\n<<: {tag: 2001-01-01}\n",
    ),
    "mapping": ("obs_mapping: {celltype: cell_type, index: original_id}\nvar_mapping: {gene_ids: ensembl_id}\n",),
    "specification": (
        "name: x\nfilter: [{column: tissue, op: in, value: [lung]}]\nbin_size: 4\norder: exact\nseed: 1\n",
        "name: x\ncaps: {by: donor_id, cells: 5}\nsplit: {by: donor_id, train: 0.9, validation: 0.1}\n",
        "name: x\nfilter: {tissue__eq: lung}\noutput: {format: zarr}\ngroup_by: [donor_id]\n",
    ),
    "yaml_filter": (
        "- {any: [{tissue__eq: lung}, {not: {sex__in: [male]}}]}\n- {column: n_features, op: gte, value: 5}\n",
        "metadata_extra.a b__lt: 1.5\nis_primary_data__eq: true\ndonor_id__is_null: true\n",
    ),
    "condition": (
        "tissue == it's",
        'tissue not in [a, "b, c"]',
        "n_features >= 5",
        "{any: [{a__eq: 1}]}",
        "sex is null",
    ),
    "sql": (
        "SELECT tissue, COUNT(*) FROM cell_info WHERE donor_id = 'a' GROUP BY 1",
        "WITH a AS (SELECT * FROM raw_counts) SELECT f FROM a, UNNEST(feature_index) AS f WITH OFFSET",
    ),
    "feature_schema": ('ensembl_id,symbol\nENSG00000000001.1,A\n"x, y","B"\n', "\ufeffsymbol;ensemble_id\n"),
    "keys": ("lung.v1", "lung@0123456789ab", "inbox/../a", "Ünder lung\n"),
}


def _compile(cells: CellFilter) -> None:
    if any(item.op == "descendant_of" for item in cells.leaves()):  # expanded before, from a hundred megabytes
        return
    query = selected_cells(cells, ["lung@0123456789ab"]).count().as_table()
    for dialect in ("duckdb", "bigquery"):
        compile_sql(query, dialect)


def _check_sentence(error: InputError) -> None:
    text = str(error)
    assert text.isprintable(), text
    assert 8 < len(text) < 4000, text


@cache
def _scratch() -> Path:
    shared = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="nexus-fuzz-", dir=shared if shared.is_dir() else None))


def _read_edited(data: bytes, files: list[bytes], kind: SourceKind) -> None:
    content = bytearray(files[data[0] % len(files)]) if data else bytearray()
    for start in range(1, len(data) - _EDIT + 1, _EDIT):
        # Where, in three bytes; how many bytes change, up to eight; what they become.
        place = int.from_bytes(data[start : start + 3], "big") % max(1, len(content))
        width, value = data[start + 3] % 9, data[start + 4 : start + 6]
        if width == 8 and data[start + 3] > 250:
            del content[place:]
        content[place : place + max(1, width)] = (value * 4)[: max(1, width)]
    with tempfile.TemporaryDirectory(dir=_scratch()) as name:
        path = Path(name) / f"x{kind.value}"
        path.write_bytes(content)
        _read(LocalSource(kind, path, {path.name: path}), Path(name))


def _read(source: LocalSource, folder: Path) -> None:
    config = DatasetConfig(feature_ids="any")
    with as_h5ad(source, config, _MEMORY, folder / "form") as form:
        convert(form.path, "lung", "0" * 64, config, None, _MEMORY, folder / "order", None)


def _made(*makers: Callable[[Path], object]) -> list[bytes]:
    folder = Path(tempfile.mkdtemp(dir=_scratch()))
    try:
        paths = [folder / f"{number}.zarr.zip" for number in range(len(makers))]
        for make, path in zip(makers, paths, strict=True):
            make(path)
        return [path.read_bytes() for path in paths]
    finally:
        shutil.rmtree(folder)


def _with_columns(path: Path) -> None:
    import pandas as pd

    obs = pd.DataFrame(
        {"cell_type": pd.Categorical(list("TBTBTB")), "n": range(6), "x": pd.array([1, None] * 3, "Int8")},
        index=[f"c{number}" for number in range(6)],
    )
    make_source(path, _COUNTS, Layout("csr", shuffle=True), obs=obs, uns={"title": "t", "more": {"a": [1.5]}})


@cache
def _h5ad_files() -> list[bytes]:
    types = ["T", "B", None, "T", "B", "T"]
    return _made(
        _with_columns,
        lambda path: make_source(path, _COUNTS, Layout("csc", compression=None)),
        lambda path: make_source(path, _COUNTS, Layout("dense", chunks=(4, 2), shuffle=True)),
        lambda path: make_source(path, _COUNTS, Layout("csr", compression="lzf"), where="raw.X"),
        lambda path: make_0_7_source(path, _COUNTS, types, ensembl_ids(4)),
        lambda path: make_0_5_source(path, _COUNTS, list("TBTBTB"), ensembl_ids(4)),
    )


@cache
def _tenx_files() -> list[bytes]:
    return _made(lambda path: make_tenx_v3(path, _COUNTS), lambda path: make_tenx_v2(path, _COUNTS))


@cache
def _zarr_files() -> list[bytes]:
    folder = Path(tempfile.mkdtemp(dir=_scratch()))
    plain = make_source(folder / "plain.h5ad", _COUNTS)
    return _made(lambda path: make_zarr(path, plain, 2), lambda path: make_zarr(path, plain, 3))


@cache
def _packed_files() -> list[bytes]:
    return [gzip.compress(content, mtime=0) for content in _h5ad_files()[:2]]
