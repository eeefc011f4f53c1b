"""``cell_info``: obs columns of every encoding, the mapping, metadata_extra, warnings."""

import json
import time
from typing import Any

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest

from omics_datastore.ingest.cells import CellReader
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.frames import FrameReader
from omics_datastore.warehouse.parquet_layout import ParquetLayout
from tests.omics_datastore.ingest.ingest_run import IngestRun
from tests.source_files import ensembl_ids, make_0_5_source, make_0_7_source, make_source

COUNTS = np.eye(4, 3, dtype=int)
NAMES = list("abcd")


def extra(cells: pl.DataFrame) -> list[Any]:
    def parse(text: str) -> Any:
        return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))

    return [None if text is None else parse(text) for text in cells["metadata_extra"]]


def test_cellxgene_columns_and_the_rest(run: IngestRun) -> None:
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(["T cell", None, "B cell", "T cell"]),
            "cell_type_ontology_term_id": ["CL:0000084", "unknown", "CL:0000236", "CL:0000084"],
            "is_primary_data": [True, False, True, True],
            "donor_id": [1, 2, 3, 4],
            "batch": pd.Categorical(["x", "y", None, "x"]),
            "n_genes": np.array([1, 2, 3, 4], np.uint16),
        },
        index=NAMES,
    )
    make_source(run.source, COUNTS, obs=obs)
    cells = run.written(tag="first").cells
    assert cells["original_id"].to_list() == NAMES
    assert cells["tag"].to_list() == ["first"] * 4
    assert cells["cell_type"].to_list() == ["T cell", None, "B cell", "T cell"]
    assert cells["cell_type_ontology_term_id"].to_list()[1] == "unknown"
    assert cells["is_primary_data"].to_list() == [True, False, True, True]
    assert cells["donor_id"].to_list() == ["1", "2", "3", "4"]
    assert cells["tissue"].to_list() == [None] * 4
    assert extra(cells)[1:3] == [{"batch": "y", "n_genes": 2}, {"batch": None, "n_genes": 3}]


def test_values_of_every_kind_in_metadata_extra(run: IngestRun) -> None:
    obs = pd.DataFrame(
        {
            'quo"te\\': ['a "b"', "back\\slash", "new\nline\u2028", "naïve 細胞 🧬"],
            "float": [1.5, np.nan, np.inf, -np.inf],
            "half": np.array([0.5, 1, 2, np.nan], np.float16),
            "big": [2**60, -(2**60), 0, 1],
            "flag": [True, False, True, False],
            "nullable_int": pd.array([1, None, 3, 4], dtype="Int64"),
            "nullable_flag": pd.array([True, None, False, True], dtype="boolean"),
            "nullable_text": pd.array(["x", None, "z", "ü"], dtype="string"),
            "int_category": pd.Categorical([10, 20, None, 10]),
            "float_category": pd.Categorical([0.5, None, 0.5, 1.5]),
            "flag_category": pd.Categorical([True, False, None, True]),
            "ordered": pd.Categorical(list("lhlh"), categories=["l", "h"], ordered=True),
            "nothing": pd.Categorical([None] * 4, categories=[]),
        },
        index=NAMES,
    )
    import anndata

    with anndata.settings.override(allow_write_nullable_strings=True):
        make_source(run.source, COUNTS, obs=obs)
    rows = extra(run.written().cells)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert columns == {
        'quo"te\\': ['a "b"', "back\\slash", "new\nline\u2028", "naïve 細胞 🧬"],
        "float": [1.5, None, None, None],
        "half": [0.5, 1.0, 2.0, None],
        "big": [2**60, -(2**60), 0, 1],
        "flag": [True, False, True, False],
        "nullable_int": [1, None, 3, 4],
        "nullable_flag": [True, None, False, True],
        "nullable_text": ["x", None, "z", "ü"],
        "int_category": [10, 20, None, 10],
        "float_category": [0.5, None, 0.5, 1.5],
        "flag_category": [True, False, None, True],
        "ordered": ["l", "h", "l", "h"],
        "nothing": [None] * 4,
    }


def test_bytes_and_foreign_byte_order(run: IngestRun) -> None:
    obs = pd.DataFrame({"fixed": NAMES, "big_endian": [1, 2, 3, 4]}, index=NAMES)
    make_source(run.source, COUNTS, obs=obs)
    with h5py.File(run.source, "a") as file:
        del file["obs/fixed"], file["obs/big_endian"]
        file["obs/fixed"] = np.array([b"a", b"\xff", b"long one", b""])
        file["obs/big_endian"] = np.array([1, 2, 3, 4], ">i4")
    rows = extra(run.written().cells)
    assert [row["fixed"] for row in rows] == ["a", "\ufffd", "long one", ""]
    assert [row["big_endian"] for row in rows] == [1, 2, 3, 4]


def test_obs_without_columns(run: IngestRun) -> None:
    make_source(run.source, COUNTS)
    cells = run.written().cells
    assert extra(cells) == [None] * 4
    assert cells["original_id"].to_list() == ["cell0", "cell1", "cell2", "cell3"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["True", "FALSE", "1", "0"], [True, False, True, False]),
        ([1, 0, 0, 1], [True, False, False, True]),
        ([1.0, 0.0, np.nan, 1.0], [True, False, None, True]),
        (pd.Categorical([True, None, False, True]), [True, None, False, True]),
        (pd.array([None, True, False, True], dtype="boolean"), [None, True, False, True]),
    ],
)
def test_spellings_of_a_boolean(run: IngestRun, values: Any, expected: list[bool | None]) -> None:
    make_source(run.source, COUNTS, obs=pd.DataFrame({"is_primary_data": values}, index=NAMES))
    assert run.written().cells["is_primary_data"].to_list() == expected


def test_mapping_and_the_index(run: IngestRun) -> None:
    obs = pd.DataFrame(
        {"barcode": ["AC-1", "AC-2", "AC-1", "AC-3"], "celltype": ["T", "B", "T", "B"], "donor": list("wxyz")},
        index=NAMES,
    )
    make_source(run.source, COUNTS, obs=obs)
    mapping = {"celltype": "cell_type", "index": "donor_id", "barcode": "original_id"}
    cells = run.written(obs_mapping=mapping).cells
    assert cells["cell_type"].to_list() == ["T", "B", "T", "B"]
    assert cells["donor_id"].to_list() == NAMES
    assert cells["original_id"].to_list() == ["AC-1", "AC-2", "AC-1", "AC-3"]
    assert extra(cells)[0] == {"donor": "w"}


def test_index_is_kept_when_a_column_takes_its_place(run: IngestRun) -> None:
    make_source(run.source, COUNTS, obs=pd.DataFrame({"original_id": ["w", "x", "y", "z"]}, index=NAMES))
    cells = run.written().cells
    assert cells["original_id"].to_list() == ["w", "x", "y", "z"]
    assert [row["index"] for row in extra(cells)] == NAMES


def test_column_that_is_named_index(run: IngestRun) -> None:
    make_source(run.source, COUNTS, obs=pd.DataFrame({"index": [4, 3, 2, 1]}, index=NAMES))
    cells = run.written(obs_mapping={"index": "donor_id"}).cells
    assert cells["donor_id"].to_list() == NAMES
    assert [row["index"] for row in extra(cells)] == [4, 3, 2, 1]


def test_columns_that_nexus_fills_are_kept_beside(run: IngestRun) -> None:
    obs = pd.DataFrame({"tag": NAMES, "source_tag": [1, 2, 3, 4], "total_mrna_umis": [9.5] * 4}, index=NAMES)
    make_source(run.source, COUNTS, obs=obs)
    written = run.written()
    assert written.cells["tag"].to_list() == [None] * 4
    assert written.cells["total_mrna_umis"].to_list() == [1, 1, 1, 0]
    assert extra(written.cells)[0] == {"source_source_tag": "a", "source_tag": 1, "source_total_mrna_umis": 9.5}
    [finding] = [found for found in written.manifest.findings if found.rule == "reserved_columns"]
    assert "tag, total_mrna_umis" in finding.message


def test_warnings(run: IngestRun) -> None:
    obs = pd.DataFrame({"tissue_ontology_term_id": ["UBERON:0002048", "lung", "lungs", "unknown"]}, index=list("aabb"))
    make_source(run.source, COUNTS, obs=obs)
    messages = {finding.rule: finding.message for finding in run.written().manifest.findings}
    assert messages == {
        "unique_cell_names": "2 cells have a name that another cell has; cells are told apart by their row.",
        "cells_have_counts": "1 of 4 cells have no counts at all.",
        "ontology_terms": "obs['tissue_ontology_term_id'] holds 'lung', which is not an ontology term.",
    }


def test_manifest_does_not_depend_on_the_memory_limit(run: IngestRun) -> None:
    terms = ["b", "a", *["UBERON:1"] * 4998, "0", "c"] + ["UBERON:2"] * 4999 + ["d"]
    obs = pd.DataFrame({"tissue_ontology_term_id": terms}, index=[str(row // 2) for row in range(len(terms))])
    make_source(run.source, np.ones((len(terms), 1), int), obs=obs)
    large = run.written(layout=ParquetLayout()).manifest
    for file in (run.root / "ingest").rglob("*.*"):
        file.unlink()
    assert run.written(2**16, ParquetLayout()).manifest == large
    assert "holds '0'" in large.findings[1].message


def test_column_that_cannot_be_read_is_left_out(run: IngestRun) -> None:
    obs = pd.DataFrame({"wave": [1, 2, 3, 4], "batch": NAMES, "tissue": NAMES}, index=NAMES)
    make_source(run.source, COUNTS, obs=obs)

    def complex_values(name: str) -> None:
        with h5py.File(run.source, "a") as file:
            del file["obs"][name]
            file["obs"][name] = np.ones(4, complex)

    complex_values("wave")
    written = run.written()
    assert extra(written.cells)[0] == {"batch": "a"}
    [finding] = [found for found in written.manifest.findings if found.rule == "unreadable_columns"]
    assert finding.message == "obs['wave'] has the type complex128, which Nexus cannot read, and was left out."
    assert not run.create(obs_mapping={"wave": "donor_id"}).valid
    assert not run.create(validation={"required_obs": ["wave"]}).valid
    complex_values("tissue")
    assert run.create().errors[0].startswith("obs['tissue'] has the type complex128, which Nexus cannot read; convert")


def test_group_of_an_unknown_encoding_is_left_out(run: IngestRun) -> None:
    make_source(run.source, COUNTS, obs=pd.DataFrame({"ragged": NAMES}, index=NAMES))
    with h5py.File(run.source, "a") as file:
        del file["obs/ragged"]
        file.create_group("obs/ragged").attrs["encoding-type"] = "awkward-array"
    [finding] = [found for found in run.written().manifest.findings if found.rule == "unreadable_columns"]
    assert finding.message.startswith("obs['ragged'] has the encoding awkward-array, ")


def test_organism_of_the_whole_file(run: IngestRun) -> None:
    uns = {"organism_ontology_term_id": "NCBITaxon:10090", "schema_version": "7.0.0", "title": "T", "other": 1}
    make_source(run.source, COUNTS, uns=uns)
    written = run.written()
    assert written.cells["organism"].to_list() == ["Mus musculus"] * 4
    assert written.manifest.organism == "NCBITaxon:10090"
    assert written.manifest.schema_version == "7.0.0"
    assert written.manifest.uns == {"schema_version": "7.0.0", "title": "T"}


def test_two_organisms(run: IngestRun) -> None:
    terms = ["NCBITaxon:9606", "NCBITaxon:9606", "NCBITaxon:10090", "NCBITaxon:9606"]
    make_source(run.source, COUNTS, obs=pd.DataFrame({"organism_ontology_term_id": terms}, index=NAMES))
    assert run.written().manifest.organism is None


def test_uns_values(run: IngestRun) -> None:
    uns = {
        "batch_condition": np.array(["a", "b"]),
        "citation": 'A "paper"',
        "nested": {"x": np.array([1.5, np.nan]), "deep": {"flag": True}},
        "large": np.zeros(2**18),
    }
    make_source(run.source, COUNTS, uns=uns)
    manifest = run.written(uns_keep=[*uns, "absent"]).manifest
    assert manifest.uns == {
        "batch_condition": ["a", "b"],
        "citation": 'A "paper"',
        "nested": {"x": [1.5, None], "deep": {"flag": True}},
    }
    [finding] = [found for found in manifest.findings if found.rule == "uns_kept"]
    assert finding.message.startswith("uns['large'] ")


def test_anndata_0_7(run: IngestRun) -> None:
    make_0_7_source(run.source, COUNTS, ["T", None, "B", "T"], ensembl_ids(3))
    written = run.written()
    assert written.cells["cell_type"].to_list() == ["T", None, "B", "T"]
    np.testing.assert_array_equal(written.counts, COUNTS)


def test_anndata_before_0_7(run: IngestRun) -> None:
    make_0_5_source(run.source, COUNTS, ["T", "B", "B", "T"], ensembl_ids(3))
    written = run.written()
    assert written.cells["cell_type"].to_list() == ["T", "B", "B", "T"]
    assert written.cells["original_id"].to_list() == ["cell0", "cell1", "cell2", "cell3"]
    assert [row["depth"] for row in extra(written.cells)] == [0, 0.5, 1, 1.5]
    np.testing.assert_array_equal(written.counts, COUNTS)


def test_very_long_text(run: IngestRun) -> None:
    notes = [letter * 3_000_000 for letter in NAMES]
    make_source(run.source, COUNTS, obs=pd.DataFrame({"note": notes}, index=NAMES))
    assert [row["note"] for row in extra(run.written(limit=2**20).cells)] == notes


def test_a_hundred_thousand_cells_are_read_quickly(run: IngestRun) -> None:
    rows = 100_000
    random = np.random.default_rng(0)
    obs = pd.DataFrame(
        {name: pd.Categorical(random.choice(["one", "two", "three"], rows)) for name in ("cell_type", "tissue", "sex")}
        | {"donor_id": random.integers(0, 9, rows).astype(str), "depth": random.random(rows)},
        index=[f"{row}-barcode" for row in range(rows)],
    )
    make_source(run.source, np.ones((rows, 1), int), obs=obs)
    with h5py.File(run.source) as file:
        reader = CellReader(FrameReader(file, "obs"), DatasetConfig(), None)
        start = time.process_time()
        assert reader.read(0, rows).height == rows
        assert time.process_time() - start < 5  # it takes 0.2 s; a Python loop over values takes far longer
