"""``feature_info``: ids, the mapping and the old spelling, symbols, what is kept beside."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.omics_datastore.ingest.ingest_run import IngestRun
from tests.source_files import ensembl_ids, make_source

COUNTS = np.eye(4, 3, dtype=int)


def test_cellxgene_columns(run: IngestRun) -> None:
    var = pd.DataFrame(
        {
            "feature_name": ["TP53", "MYC", None],
            "feature_biotype": pd.Categorical(["gene"] * 3),
            "feature_reference": pd.Categorical(["NCBITaxon:9606"] * 3),
            "feature_is_filtered": [False, True, False],
            "feature_length": [100, 200, 300],
        },
        index=["ENSG00000000001.12", "ENSG00000000002.1_PAR_Y", "ENSG00000000003"],
    )
    var["feature_name"] = pd.Categorical(var["feature_name"])
    make_source(run.source, COUNTS, var=var)
    features = run.written().features
    assert features["feature_index"].to_list() == [0, 1, 2]
    assert features["ensembl_id"].to_list() == ["ENSG00000000001", "ENSG00000000002_PAR_Y", "ENSG00000000003"]
    assert features["symbol"].to_list() == ["TP53", "MYC", None]
    assert features["biotype"].to_list() == ["gene"] * 3
    assert features["reference"].to_list() == ["NCBITaxon:9606"] * 3
    assert features["is_filtered"].to_list() == [False, True, False]
    assert json.loads(features["metadata_extra"][2]) == {"feature_length": 300}


@pytest.mark.parametrize("spelling", ["ensembl_id", "ensemble_id"])
def test_mapping_of_ids(run: IngestRun, spelling: str) -> None:
    var = pd.DataFrame({"gene_ids": ensembl_ids(3)}, index=["TP53", "MYC", "LYZ"])
    make_source(run.source, COUNTS, var=var)
    features = run.written(var_mapping={"gene_ids": spelling}).features
    assert features["ensembl_id"].to_list() == ensembl_ids(3)
    assert features["symbol"].to_list() == ["TP53", "MYC", "LYZ"]
    assert features["metadata_extra"].to_list() == [None] * 3


@pytest.mark.parametrize("column", ["ensembl_id", "ensemble_id"])
def test_column_of_ids_needs_no_mapping(run: IngestRun, column: str) -> None:
    make_source(run.source, COUNTS, var=pd.DataFrame({column: ensembl_ids(3)}, index=["TP53", "MYC", "LYZ"]))
    assert run.written().features["ensembl_id"].to_list() == ensembl_ids(3)


def test_index_is_kept_when_columns_hold_ids_and_symbols(run: IngestRun) -> None:
    var = pd.DataFrame({"ensembl_id": ensembl_ids(3), "feature_name": ["TP53", "MYC", "LYZ"]}, index=["x", "y", "z"])
    make_source(run.source, COUNTS, var=var)
    features = run.written().features
    assert features["symbol"].to_list() == ["TP53", "MYC", "LYZ"]
    assert [json.loads(text)["index"] for text in features["metadata_extra"]] == ["x", "y", "z"]


def test_index_as_symbol(run: IngestRun) -> None:
    make_source(run.source, COUNTS)
    features = run.written(var_mapping={"index": "symbol"}).features
    assert features["symbol"].to_list() == features["ensembl_id"].to_list() == ensembl_ids(3)


def test_ids_of_any_kind(run: IngestRun) -> None:
    make_source(run.source, COUNTS, var=pd.DataFrame(index=["gene0", "gene1", "gene2"]))
    assert run.written(feature_ids="any").features["ensembl_id"].to_list() == ["gene0", "gene1", "gene2"]


@pytest.mark.parametrize(
    "ids",
    [
        ["ENSMUSG00000051951.5", "ENSMUSG00000025900", "ENSMUSG00000025902"],
        ["FBgn0031208", "WBGene00000001", "YAL001C"],
        ["MGP_C57BL6NJ_G0000001", "ERCC-00002", "ENSDARG00000102141"],
    ],
)
def test_ids_of_other_species(run: IngestRun, ids: list[str]) -> None:
    make_source(run.source, COUNTS, var=pd.DataFrame(index=ids))
    assert run.written().features.height == 3


def test_spellings_of_is_filtered(run: IngestRun) -> None:
    var = pd.DataFrame({"feature_is_filtered": pd.Categorical(["True", "FALSE", None])}, index=ensembl_ids(3))
    make_source(run.source, COUNTS, var=var)
    assert run.written().features["is_filtered"].to_list() == [True, False, None]
