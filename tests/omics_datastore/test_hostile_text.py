"""Hostile text in all that people write: YAML, filters, CSV, names. Nothing of it runs, and each is one sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omics_datastore.curriculum.feature_schema import parse_feature_schema
from omics_datastore.curriculum.versions import parse_specification
from omics_datastore.errors import InputError, one_line
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.mappings import add_mapping, list_mappings
from omics_datastore.keys import check_key, parse_curriculum_partition, parse_ingest_id
from omics_datastore.query.cells import selected_cells
from omics_datastore.query.compile import compile_sql
from omics_datastore.query.filter_text import parse_filter, parse_part
from omics_datastore.query.filters import CellFilter
from omics_datastore.query.sql_text import local_statement
from omics_datastore.storage.documents import parse_yaml, read_written
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.object_store import check_object_key
from omics_datastore.storage.yaml_text import MOST_BYTES, load_yaml

LOADS = "nothing"
"""What is said of text that nothing is wrong with."""
MARKER = "/tmp/nexus-was-here"
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)

YAML: dict[str, tuple[str | bytes, str]] = {
    "a billion laughs": (LAUGHS, "is not YAML: its aliases unfold to too much"),
    "a long text a thousand times": (
        f"a: &a {'x' * 20_000}\nb: [{', '.join(['*a'] * 1000)}]",
        "is not YAML: its aliases unfold to too much",
    ),
    "an alias of what it is in": ("tags: &a [*a]", "is not YAML: an alias stands for what it is in"),
    "an alias of a mapping it is in": ("tags: &a {a: *a}", "is not YAML: an alias stands for what it is in"),
    "an alias of nothing": ("tag: *nowhere", "is not YAML: found undefined alias 'nowhere'"),
    "too many lists in lists": ("tag: " + "[" * 500, "is not YAML: it nests more than 64 levels deep"),
    "too many mappings in mappings": ("tag: " + "{a: " * 5000, "is not YAML: it nests more than 64 levels deep"),
    "an object of Python": (f"tag: !!python/object/apply:os.system ['touch {MARKER}']", "could not determine a constr"),
    "a module of Python": ("tag: !!python/module:os", "could not determine a constructor"),
    "a tag of one's own": ("tag: !include /etc/passwd", "could not determine a constructor for the tag '!include'"),
    "two documents": ("tag: a\n---\ntag: b", "is not YAML: expected a single document"),
    "a key twice": ("tag: a\ntag: b", "is not YAML: the key 'tag' is there twice"),
    "a key twice, further down": ("obs_mapping: {a: sex, a: tissue}", "the key 'a' is there twice"),
    "a key that is a list": ("? [a]\n: b", "found unhashable key"),
    "a day that never was": ("tag: 2001-99-99", "is not YAML: month must be in 1..12"),
    "a number of five thousand digits": ("tag: " + "9" * 5000, "is not YAML: Exceeds the limit"),
    "a number that is none": ("tag: !!int ''", "is not YAML: string index out of range"),
    "a truth that is none": ("tag: !!bool maybe", "is not YAML: 'maybe'"),
    "bytes": ("tag: !!binary aGVsbG8=", LOADS),
    "bytes that are none": ("tag: !!binary ====x", "is not YAML: "),
    "half of a character": (b'tag: "\\ud800"', "is not YAML: a text holds half of a character"),
    "a NUL": (b"tag: a\0b", "is not YAML: "),
    "no UTF-8": (b"tag: \xff", "is not YAML: "),
    "UTF-16": ("tag: é".encode("utf-16"), LOADS),
    "a mark of the byte order": (b"\xef\xbb\xbftag: a", LOADS),
    "a tab": ("tag:\n\ta", "is not YAML: "),
    "a list": ("- a", "must hold 'name: value' lines, not list"),
    "a word": ("tag", "must hold 'name: value' lines, not str"),
    "nothing": ("", LOADS),
    "an unknown key": ("tagg: a", "tagg is not a known key"),
    "an unknown key that turns around": ('"\\u202etag": a', "\\u202etag is not a known key"),
    "an unknown key of two lines": ('"a\\nb": a', "a\\nb is not a known key"),
    "a list for a text": ("tag: [a]", "tag: Input should be a valid string"),
    "a number for a text": ("tag: 5", "tag: Input should be a valid string"),
    "a mapping of numbers": ("obs_mapping: {a: 5}", "obs_mapping.a: Input should be a valid string"),
    "a mapping of mappings": ("obs_mapping: {a: {b: c}}", "obs_mapping.a: Input should be a valid string"),
    "a layer that leads up": ("counts_from: layers/../X", "'layers/../X' is not one of auto, X, raw.X"),
    "a place that leads out": ("counts_from: ../../etc/passwd", "is not one of auto, X, raw.X"),
    "a size below nothing": ("validation: {max_file_bytes: -1}", "validation.max_file_bytes: Input should be great"),
    "a size without end": ("validation: {max_file_bytes: .inf}", "validation.max_file_bytes: Input should be"),
    "a size of text": ("validation: {max_file_bytes: lots}", "validation.max_file_bytes: Input should be a valid in"),
    "too much": (b"#" * (MOST_BYTES + 1), "more than the 1048576 that are read"),
}


@pytest.mark.parametrize("name", YAML)
def test_sidecar(name: str) -> None:
    text, said = YAML[name]
    if said == LOADS:
        content = load_yaml(text)
        assert content is None or "tag" in content
        return
    with pytest.raises(InputError) as caught:
        parse_yaml(DatasetConfig, text, "inbox/lung.yaml")
    check(caught.value, said)
    assert str(caught.value).startswith("inbox/lung.yaml")
    assert not Path(MARKER).exists()


def test_what_aliases_are_for() -> None:
    assert load_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, x: 2}") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 2}}


SPECIFICATIONS: dict[str, tuple[str, str]] = {
    "a name that leads out": ("name: ../../etc", "'../../etc' is not a curriculum name"),
    "a name of two lines": ('name: "a\\nb"', "'a\\nb' is not a curriculum name"),
    "a name of look-alikes": ("name: lung-\u0441ells", "is not a curriculum name"),
    "a name that turns around": ('name: "lung\\u202e"', "'lung\\u202e' is not a curriculum name"),
    "genes that lead out": ("name: x\nfeatures: ../x", "'../x' is not a feature schema name"),
    "genes that are a list": ("name: x\nfeatures: [a]", "features: Input should be a valid string"),
    "bins of nothing": ("name: x\nbin_size: 0", "bin_size: Input should be greater than or equal to 1"),
    "bins below nothing": ("name: x\nbin_size: -5", "bin_size: Input should be greater than or equal to 1"),
    "bins without end": ("name: x\nbin_size: .inf", "bin_size: Input should be"),
    "bins of a googol": ("name: x\nbin_size: 1" + "0" * 100, "bin_size: "),
    "bins of a part": ("name: x\nbin_size: 2.5", "bin_size: Input should be a valid integer"),
    "a seed below nothing": ("name: x\nseed: -1", "seed: Input should be greater than or equal to 0"),
    "a seed of 64 bits": ("name: x\nseed: 18446744073709551615", "seed: "),
    "an order of one's own": ("name: x\norder: '; DROP TABLE cell_info'", "order: Input should be 'store' or 'exact'"),
    "groups that repeat": ("name: x\ngroup_by: [sex, sex]", "sex is named twice"),
    "groups that are a number": ("name: x\ngroup_by: 5", "group_by"),
    "caps of nothing": ("name: x\ncaps: [{}]", "caps"),
    "caps that are a word": ("name: x\ncaps: all", "caps"),
    "shares above one": ("name: x\nsplit: {by: donor_id, train: 2, validation: -1}", "split"),
    "shares that are no numbers": ("name: x\nsplit: {by: donor_id, train: .nan, validation: 0.5}", "split"),
    "shards of another kind": ("name: x\noutput: {format: pickle}", "output.format: Input should be 'h5ad' or 'zarr'"),
    "a filter that is text": ("name: x\nfilter: SELECT 1", "a filter is a list of {column"),
    "a filter that holds itself": ("name: x\nfilter: &a [{any: *a}]", "an alias stands for what it is in"),
    "a filter of a list of everything": (
        f"name: x\nfilter: {{tissue__in: [{', '.join(f't{n}' for n in range(9000))}, {{}}]}}",
        "must be text, a number, true or false",
    ),
}


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_specification(name: str) -> None:
    text, said = SPECIFICATIONS[name]
    with pytest.raises(InputError) as caught:
        parse_specification(text, "curricula/x.yaml")
    check(caught.value, said)


INJECTIONS = (
    "' OR '1'='1",
    '" OR ""="',
    "'; DROP TABLE cell_info; --",
    "\\'; DELETE FROM ingest_info; --",
    "lung' UNION SELECT * FROM ingest_info --",
    "/* */ lung # --",
    "`; SELECT 1",
    "\u2019 OR 1=1",
    "\u202e';--",
    "$$;COPY (SELECT 1) TO '/tmp/x'$$",
    "{{7*7}}",
    "a\r\nb",
    "' || read_text('/etc/passwd') || '",
)


@pytest.mark.parametrize("value", INJECTIONS)
def test_sql_in_a_value_stays_a_value(value: str) -> None:
    parts = [{"tissue__eq": value}, {"donor_id__in": [value, "d1"]}, {f"metadata_extra.{value}__not_eq": value}]
    cells = selected_cells(CellFilter.model_validate(parts), [f"lung@{'0' * 12}"]).count().as_table()
    for dialect in ("duckdb", "bigquery"):
        import sqlglot

        (statement,) = sqlglot.parse(compile_sql(cells, dialect), read=dialect)
        assert statement is not None
        names = {table.name for table in statement.find_all(sqlglot.exp.Table)}
        assert names <= {"cell_info", "ingest_info", *(cte.alias for cte in statement.find_all(sqlglot.exp.CTE))}
        texts = {literal.this for literal in statement.find_all(sqlglot.exp.Literal) if literal.is_string}
        assert value in texts or value.replace("\r\n", "\n") in texts or any(value[-6:] in text for text in texts)


@pytest.mark.parametrize("name", INJECTIONS)
def test_sql_in_a_name_is_refused(name: str) -> None:
    for column in (name, f"tissue{name}", f"tissue {name}"):
        with pytest.raises(InputError) as caught:
            selected_cells(CellFilter.model_validate([{"column": column, "op": "is_null"}]), [])
        check(caught.value, "is not a column of the warehouse")


CONDITIONS: dict[str, tuple[str, str]] = {
    "nothing": ("", "is not a condition"),
    "half of a list": ("tissue in [a, 'b", "holds"),
    "a NUL": ("tissue == a\0b", "holds a character that no text in the warehouse can hold"),
    "half of a character": ("tissue == \ud800", "holds a character that no text in the warehouse can hold"),
    "too deep": ("{not: " * 100 + "{a__eq: 1}" + "}" * 100, "it nests more than 64 levels deep"),
    "nested a little too deep": ("{not: " * 40 + "{a__eq: 1}" + "}" * 40, "nest more than 16 levels deep"),
    "no number": ("{a__eq: .nan}", "is not a number to compare with"),
    "a number beyond 64 bits": ("{a__eq: 9223372036854775808}", "does not fit 64 bits"),
    "code": ("{a__eq: !!python/name:os.system }", "could not determine a constructor"),
    "a day": ("{a__eq: 2001-01-01}", "must be text, a number, true or false"),
    "a day that never was": ("{a__eq: 2001-13-01}", "month must be in 1..12"),
    "a list in a list": ("{a__in: [[1]]}", "must be text, a number, true or false"),
    "a mixture": ("{a__in: [1, x]}", "the list mixes numbers and text"),
    "nothing to choose from": ("{a__in: []}", "the list is empty"),
    "an operator of one's own": ("{a__like: x}", "does not end in a known operator"),
    "a bomb": ("{a__in: " + "9" * 5000 + "}", "Exceeds the limit"),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_condition(name: str) -> None:
    text, said = CONDITIONS[name]
    if name == "half of a list":
        assert parse_part(text).value == ("'b", "[a")  # type: ignore[union-attr]
        return
    with pytest.raises(ValueError, match=r".") as caught:
        parse_part(text)
    assert said in one_line(str(caught.value).replace("\n", " "))


CSV: dict[str, tuple[bytes, str]] = {
    "a formula for an id": (b"ensembl_id\n=1+1\n", "has the ensembl_id '=1+1' in row 1"),
    "a link for a symbol": (
        b'ensembl_id,symbol\nENSG1,"=HYPERLINK(""http://evil"")"\n',
        "has the symbol '=HYPERLINK(",
    ),
    "a command for a symbol": (b"ensembl_id,symbol\na,b\nc,@SUM(1)\n", "has the symbol '@SUM(1)' in row 2"),
    "a sum for a symbol": (b"ensembl_id,symbol\na,+1+cmd|' /C calc'!A0\n", 'has the symbol "+1+cmd'),
    "a difference for a symbol": (b"ensembl_id,symbol\na,-2+3\n", "has the symbol '-2+3'"),
    "a quote that never ends": (b'ensembl_id,symbol\n"a,b\nc,d\n', "is not CSV: could not parse"),
    "a NUL": (b"ensembl_id\na\0\n", "is not CSV"),
    "UTF-16": ("ensembl_id\na\n".encode("utf-16"), "is not UTF-8"),
    "Latin 1": ("ensembl_id\né\n".encode("latin-1"), "is not UTF-8"),
    "semicolons": (b"ensembl_id;symbol\na;b\n", "has no column ensembl_id, only 'ensembl_id;symbol'"),
    "one line": (b"ensembl_id", "lists no gene"),
    "a column twice": (b"ensembl_id,ensembl_id\na,b\n", LOADS),
    "columns of control characters": (b"\x1b[31m,b\na,b\n", "has no column ensembl_id, only '\\x1b[31m'"),
    "a megabyte of columns": (b"x," * 500 + b"y\n", "has no column ensembl_id"),
    "an id of a megabyte": (b"ensembl_id\n" + b"x" * 2**20 + b"\n", LOADS),
    "the same id twice, of another version": (b"ensembl_id\nENSG00000000001.1\nENSG00000000001.2\n", "more than once"),
}


@pytest.mark.parametrize("name", CSV)
def test_feature_schema(name: str) -> None:
    content, said = CSV[name]
    if said == LOADS:
        assert len(parse_feature_schema("genes", content).features) == 1
        return
    with pytest.raises(InputError) as caught:
        parse_feature_schema("genes", content)
    check(caught.value, said)


NAMES = (
    "..",
    ".",
    "../lung",
    "a/../b",
    "a/b",
    "a\\b",
    "/etc/passwd",
    "a\nb",
    "a\r",
    "a\0b",
    "lung ",
    " lung",
    "Lung",
    "lüng",
    "\uff4cung",
    "lung\u202e",
    "lung\u200b",
    "l\u03c5ng",
    "٣",
    "-rf",
    ".hidden",
    "a" * 129,
    "a'; DROP TABLE x; --",
    "$(touch x)",
    "`x`",
    "<script>",
    "\ud800",
    "",
)


@pytest.mark.parametrize("name", NAMES)
def test_name(name: str, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    mapping = b"obs_mapping: {a: sex}"
    tries: list[Callable[[], Any]] = [
        *(lambda kind=kind: check_key(kind, name) for kind in ("dataset", "curriculum", "feature schema")),
        lambda: parse_ingest_id(f"{name}@{'0' * 12}"),
        lambda: parse_curriculum_partition(f"{name}.v1"),
        lambda: add_mapping(store, name, mapping, "x.yaml"),
    ]
    for attempt in tries:
        with pytest.raises(InputError) as caught:
            attempt()
        check(caught.value, " is not a")
    assert list_mappings(store) == []


@pytest.mark.parametrize("key", ["../a", "a/../../b", "/etc/passwd", "a//b", "a/./b", "", "a\0b", "a/", "inbox/.."])
def test_key_of_an_object(key: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        check_object_key(key)
    with pytest.raises(InputError):
        FolderStore(tmp_path).write(key, b"x")


STATEMENTS = {
    "DROP TABLE cell_info": "nexus sql only reads",
    "SELECT 1; DROP TABLE cell_info": "write one statement",
    "COPY cell_info TO '/tmp/x'": "nexus sql only reads",
    "SELECT * FROM read_csv('/etc/passwd')": "only tables and UNNEST can stand after FROM",
    "SELECT * FROM '/etc/passwd'": "",
    "SELECT read_text('/etc/passwd')": "",
    "SELECT getenv('HOME')": "",
    "ATTACH 'x.db'": "",
    "INSTALL httpfs": "",
    "PRAGMA database_list": "",
    "SET memory_limit = '1TB'": "",
    "SELECT * FROM cell_info WHERE tissue = 'a": "is not closed",
    "SELECT " + "(" * 3000 + "1" + ")" * 3000: "",
    "": "write one statement",
    "\0": "",
    "SELECT * FROM `p.d.cell_info`": "",
    "SELECT * FROM information_schema.tables": "there is no table",
    "SELECT * FROM duckdb_settings()": "",
    "EXPORT DATA OPTIONS(uri='gs://x/*') AS SELECT 1": "",
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_statement(statement: str) -> None:
    with pytest.raises(InputError) as caught:
        local_statement(statement)
    check(caught.value, STATEMENTS[statement])


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    (tmp_path / "inbox").mkdir()
    with (tmp_path / "inbox/lung.yaml").open("wb") as file:
        file.truncate(2**40)  # a hole: it takes no disk
    with pytest.raises(InputError, match="has 1099511627776 bytes, more than the 1048576 that are read"):
        read_written(store, "inbox/lung.yaml")


def test_a_filter_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"f\.yaml is not YAML: its aliases unfold"):
        parse_filter(LAUGHS, "f.yaml")


def check(error: InputError, said: str) -> None:
    """Check that an error is one sentence that can be shown anywhere and says what it should."""
    text = str(error)
    assert said in text
    assert text.isprintable()
    assert text.endswith((".", "?")), text
    assert len(text) < 3000
