"""Every check of what a source file says: it refuses with a sentence that names place and mend."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.omics_datastore.ingest.ingest_run import IngestRun
from tests.source_files import KINDS, Kind, Layout, ensembl_ids, make_source

COUNTS = np.arange(12).reshape(4, 3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("value", "dtype", "why"),
    [
        (-1, "int32", "-1 at cell 2, feature ENSG00000000001 is negative"),
        (-1.0, "float32", "-1.0 at cell 2, feature ENSG00000000001 is negative"),
        (0.5, "float32", "0.5 at cell 2, feature ENSG00000000001 is not whole"),
        (float("nan"), "float64", "nan at cell 2, feature ENSG00000000001 is not finite"),
        (float("inf"), "float32", "inf at cell 2, feature ENSG00000000001 is not finite"),
        (2**31, "int64", "2147483648 at cell 2, feature ENSG00000000001 is 2**31 or more"),
        (2.0**31, "float32", "2147483648.0 at cell 2, feature ENSG00000000001 is 2**31 or more"),
        (2**32 + 5, "uint64", "4294967301 at cell 2, feature ENSG00000000001 is 2**31 or more"),
    ],
)
def test_value_that_is_no_count(run: IngestRun, kind: Kind, value: Any, dtype: str, why: str) -> None:
    counts = COUNTS.astype(dtype)
    counts[2, 1] = value
    make_source(run.source, counts, Layout(kind, dtype))
    message = run.refusal("counts")
    assert message == f"X does not hold counts: {why}; name the matrix that holds counts with counts_from."


def test_neither_raw_nor_x_holds_counts(run: IngestRun) -> None:
    make_source(run.source, COUNTS / 3, Layout(dtype="float64"), where="raw.X", x=COUNTS - 5)
    message = run.refusal("counts")
    assert message.startswith("raw.X does not hold counts: 0.3333")
    assert "and X does not hold counts: -5 at cell 0" in message
    assert message.endswith("; name the matrix that holds counts with counts_from.")


def test_every_problem_is_reported_at_once(run: IngestRun) -> None:
    make_source(run.source, COUNTS / 2, Layout(dtype="float64"), var=pd.DataFrame(index=["a", "b", "c"]))
    report = run.create(obs_mapping={"nowhere": "cell_type"})
    assert [finding.rule for finding in report.findings] == ["counts", "feature_ids", "column_mapping"]


def test_no_cells(run: IngestRun) -> None:
    make_source(run.source, np.zeros((0, 3)))
    assert run.refusal("not_empty") == "X is empty: 0 cells x 3 features; write the counts into it."


def test_no_matrix(run: IngestRun) -> None:
    make_source(run.source, COUNTS, where="layers/counts")
    assert run.refusal("not_empty") == ("the file has no raw.X and no X; name one of layers/counts with counts_from.")


def test_layer_that_is_not_there(run: IngestRun) -> None:
    make_source(run.source, COUNTS, where="layers/counts")
    message = run.refusal("not_empty", counts_from="layers/umis")
    assert message == "the file has no layers/umis; name one of layers/counts with counts_from."


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["ENSG00000000001", "", "ENSG00000000003"], "the index of var has no id in row 1 (1 rows in all)"),
        (["ENSG00000000001", "TP53", "MYC"], "must hold Ensembl ids, but 2 of 3 are not, the first 'TP53' in row 1"),
        (
            ["ENSG00000000001.3", "ENSG00000000002", "ENSG00000000001"],
            "1 feature ids stand more than once in the index of var, the first 'ENSG00000000001' in rows 0, 2",
        ),
    ],
)
def test_feature_ids(run: IngestRun, ids: list[str], message: str) -> None:
    make_source(run.source, COUNTS, var=pd.DataFrame(index=ids))
    assert message in run.refusal("feature_ids")


def test_column_with_the_ids_is_named(run: IngestRun) -> None:
    var = pd.DataFrame({"other": list("abc"), "gene_ids": ensembl_ids(3)}, index=["TP53", "MYC", "LYZ"])
    make_source(run.source, COUNTS, var=var)
    assert run.refusal("feature_ids").endswith(
        "the column 'gene_ids' holds Ensembl ids: configure var_mapping: {gene_ids: ensembl_id}."
    )


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"celltype": "cell_type"}, "names the column 'celltype', which the file does not have; it has cell_types"),
        ({"cell_types": "cells"}, "sends 'cell_types' to 'cells', which is not one of original_id"),
        ({"cell_types": "donor_id", "index": "donor_id"}, "sends both 'cell_types' and 'index' to 'donor_id'"),
        ({"cell_types": "sex"}, "sends 'cell_types' to 'sex', but the file has a column 'sex' of its own"),
    ],
)
def test_mapping(run: IngestRun, mapping: dict[str, str], message: str) -> None:
    obs = pd.DataFrame({"cell_types": ["T"] * 4, "sex": ["male"] * 4}, index=list("abcd"))
    make_source(run.source, COUNTS, obs=obs)
    said = run.refusal("column_mapping", obs_mapping=mapping)
    assert said.startswith("obs_mapping ")
    assert message in said


def test_boolean_columns(run: IngestRun) -> None:
    obs = pd.DataFrame({"is_primary_data": ["True", "false", "maybe", "x"]}, index=list("abcd"))
    make_source(run.source, COUNTS, obs=obs)
    message = "obs['is_primary_data'] must be true or false, not 'maybe' in row 2; correct or rename it."
    assert run.refusal("column_mapping") == message
    var = pd.DataFrame({"feature_is_filtered": [0, 1, 2]}, index=ensembl_ids(3))
    make_source(run.source, COUNTS, var=var)
    message = "var['feature_is_filtered'] must be true or false, not 2 in row 2; correct or rename it."
    assert run.refusal("column_mapping") == message


def test_required_columns(run: IngestRun) -> None:
    obs = pd.DataFrame(
        {"donor": pd.Categorical(["a", "b", None, "c"]), "mine": [1.0, 2.0, 3.0, np.nan]}, index=list("abcd")
    )
    make_source(run.source, COUNTS, obs=obs)
    message = run.refusal("required_obs", validation={"required_obs": ["donor_id", "tissue", "mine"]})
    assert message.startswith("obs lacks the required columns donor_id, tissue; ")
    message = run.refusal("required_obs", obs_mapping={"donor": "donor_id"}, validation={"required_obs": ["donor_id"]})
    assert message.startswith("the required column obs['donor'] has no value in row 2; ")
    message = run.refusal("required_obs", validation={"required_obs": ["mine"]})
    assert message.startswith("the required column obs['mine'] has no value in row 3; ")


def test_required_columns_that_nexus_fills(run: IngestRun) -> None:
    make_source(run.source, COUNTS, uns={"organism_ontology_term_id": "NCBITaxon:9606"})
    assert run.create(validation={"required_obs": ["organism", "original_id"]}).valid


def test_stricter_validation_is_checked_on_a_known_ingest(run: IngestRun) -> None:
    make_source(run.source, COUNTS)
    first = run.create()
    assert first.valid
    strict = run.create(validation={"required_obs": ["donor_id"]})
    assert not strict.valid
    assert strict.ingest_id == first.ingest_id
    assert run.create().valid


def test_size_limit(run: IngestRun) -> None:
    make_source(run.source, COUNTS)
    size = run.source.stat().st_size
    message = run.refusal("size_limit", validation={"max_file_bytes": size - 1})
    assert message == f"the file has {size} bytes, more than the {size - 1} of validation.max_file_bytes; split it."
    assert run.create(validation={"max_file_bytes": size}).valid
