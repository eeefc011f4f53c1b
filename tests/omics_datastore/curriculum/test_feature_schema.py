import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omics_datastore.curriculum.feature_schema import (
    add_feature_schema,
    feature_schema_csv,
    list_feature_schemas,
    load_feature_schema,
    parse_feature_schema,
)
from omics_datastore.errors import InputError
from omics_datastore.storage.folder import FolderStore


def test_order_symbols_and_versions() -> None:
    text = "symbol,ensembl_id,length\nB,ENSG00000000002.4,1\n,ENSG00000000001,2\nP,ENSG00000182378.15_PAR_Y,3\n"
    schema = parse_feature_schema("genes", text.encode())
    assert schema.features.rows() == [
        ("ENSG00000000002", "B"),
        ("ENSG00000000001", None),
        ("ENSG00000182378_PAR_Y", "P"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"ensemble_id,symbol\ng1,A\n",
        b"\xef\xbb\xbfensembl_id,symbol\r\ng1,A\r\n",
        b"ensembl_id,symbol\n g1 ,A",
        b'"ensembl_id","symbol"\n"g1","A"\n',
        b" ensembl_id , symbol \ng1,A\n",
    ],
)
def test_spellings_of_one_schema(content: bytes) -> None:
    assert parse_feature_schema("genes", content).features.rows() == [("g1", "A")]


def test_numbers_are_ids_too() -> None:
    assert parse_feature_schema("genes", b"ensembl_id\n007\n7\n").features["feature_id"].to_list() == ["007", "7"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"ensembl_id,symbol\n", "lists no gene"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (b"ensembl_id\n\x00\n", "is not CSV"),
        (b"ensembl_id,symbol\na,b,c,d\n", "is not CSV"),
        (b"gene,symbol\ng1,A\n", "has no column ensembl_id, only 'gene', 'symbol'"),
        (b"ensembl_id,symbol\ng1,A\n,B\n", "has no ensembl_id in 1 of 2 rows, first in row 2"),
        (b"ensembl_id\nENSG00000000001.1\nENSG00000000001.2\ng\n", "more than once.*ENSG00000000001;"),
    ],
)
def test_wrong_files_are_refused_in_one_sentence(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_feature_schema("genes", content)
    assert "\n" not in str(caught.value)


@given(st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1), min_size=1, unique=True))
def test_any_distinct_ids_come_back_in_order(ids: list[str]) -> None:
    content = "ensembl_id\n" + "\n".join(ids) + "\n"
    assert parse_feature_schema("genes", content.encode()).features["feature_id"].to_list() == ids


def test_adding_again_is_no_change_and_other_genes_are_refused(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    added = add_feature_schema(store, "genes", b"ensembl_id\ng1\ng2\n")
    add_feature_schema(store, "genes", b"ensembl_id,extra\ng1,x\ng2,y\n")
    assert load_feature_schema(store, "genes").digest() == added.digest()
    with pytest.raises(InputError, match="another feature schema genes"):
        add_feature_schema(store, "genes", b"ensembl_id\ng2\ng1\n")
    assert store.read("feature_schemas/genes.csv") == b"ensembl_id\ng1\ng2\n"


@pytest.mark.parametrize("name", ["union", "intersection", "Bad Name", ""])
def test_names_that_no_schema_may_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        add_feature_schema(FolderStore(tmp_path), name, b"ensembl_id\ng1\n")


def test_list_and_missing_schema(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(InputError, match="no feature schema genes; add it"):
        load_feature_schema(store, "genes")
    for name in ("human-coding", "a"):
        add_feature_schema(store, name, b"ensembl_id\ng1\n")
    store.write("feature_schemas/README.md", b"")
    store.write("feature_schemas/Not A Name.csv", b"")
    assert list_feature_schemas(store) == ["a", "human-coding"]
    with pytest.raises(InputError, match="use human-coding"):
        load_feature_schema(store, "human-codin")


@given(
    st.dictionaries(
        st.text("AB0-_. é\"',", min_size=1).filter(lambda text: text.strip() == text and text[0] != "-"),
        st.none() | st.text('Cd=,"-', min_size=1).filter(lambda text: text[0] not in "=-"),
    ).filter(bool)
)
def test_what_is_exported_is_the_same_schema(genes: dict[str, str | None]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([("ensembl_id", "symbol"), *((name, symbol or "") for name, symbol in genes.items())])
    schema = parse_feature_schema("genes", text.getvalue().encode())
    again = parse_feature_schema("genes", feature_schema_csv(schema).encode())
    assert again.features.rows() == schema.features.rows() == list(genes.items())
    assert again.digest() == schema.digest()
