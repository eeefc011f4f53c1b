"""``descendant_of``: what it expands to, what it refuses, and that it works without a network."""

import subprocess
import sys
from typing import Any

import pytest

from omics_datastore.errors import InputError
from omics_datastore.query.cells import selected_cells
from omics_datastore.query.compile import compile_sql
from omics_datastore.query.filters import CellFilter
from omics_datastore.query.ontology import OntologyTerms, ontology_terms, with_terms
from tests.omics_datastore.query.googlesql import GoogleSQL

CELL_TYPE = "cell_type_ontology_term_id"
ORGANISM = "organism_ontology_term_id"


def descendant_of(column: str, value: Any) -> CellFilter:
    return CellFilter.model_validate({f"{column}__descendant_of": value})


def terms_of(column: str, value: Any) -> OntologyTerms:
    found = ontology_terms(descendant_of(column, value))
    assert found is not None
    return found


def test_a_term_and_all_that_is_below_it() -> None:
    found = terms_of(CELL_TYPE, "CL:0000084")
    below = found.terms["CL:0000084"]
    assert {"CL:0000084", "CL:0000624", "CL:0000625"} <= set(below)  # T cell, CD4 and CD8
    assert "CL:0000236" not in below  # B cell
    assert list(below) == sorted(set(below))
    assert found.version.startswith("CL v2")
    assert OntologyTerms.model_validate_json(found.model_dump_json()) == found


def test_several_terms_are_one_condition_at_any_depth() -> None:
    nested = CellFilter.model_validate(
        [{"any": [{"not": {f"{CELL_TYPE}__descendant_of": ["CL:0000084", "CL:0000236"]}}, {"n_features__eq": 1}]}]
    )
    found = ontology_terms(nested)
    assert found is not None
    expanded = with_terms(nested, found)
    chosen, other = expanded.leaves()
    assert (chosen.op, other.op) == ("in", "eq")
    assert isinstance(chosen.value, tuple)
    assert set(chosen.value) == {*found.terms["CL:0000084"], *found.terms["CL:0000236"]}
    assert str(expanded.conditions[0]).startswith("any (not (")


def test_the_terms_of_an_earlier_time_are_used_as_they_were() -> None:
    then = OntologyTerms(version="then", terms={"CL:0000084": ("CL:0000084", "CL:0000001")})
    sql = compile_sql(selected_cells(descendant_of(CELL_TYPE, "CL:0000084"), None, then), "duckdb")
    assert "CL:0000001" in sql
    assert "CL:0000625" not in sql


def test_other_columns_and_filters_need_no_ontology() -> None:
    assert ontology_terms(CellFilter.model_validate({"tissue__eq": "lung"})) is None
    assert set(terms_of("disease_ontology_term_id", "PATO:0000461").terms) == {"PATO:0000461"}


def test_organisms_need_no_ontology_file() -> None:
    program = (
        "import sys\nsys.modules['cellxgene_ontology_guide'] = None\n"
        "from omics_datastore.query.filters import CellFilter\nfrom omics_datastore.query.ontology import *\n"
        f"print(ontology_terms(CellFilter.model_validate({{'{ORGANISM}__descendant_of': 'NCBITaxon:9443'}})).terms)\n"
        f"try: ontology_terms(CellFilter.model_validate({{'{CELL_TYPE}__descendant_of': 'CL:0000084'}}))\n"
        "except Exception as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    primates, missing = run.stdout.splitlines()
    assert "'NCBITaxon:9606'" in primates
    assert "'NCBITaxon:10090'" not in primates
    assert missing == (
        "descendant_of needs the ontologies of the package cellxgene-ontology-guide, which is not installed; install "
        "Nexus with its extra 'ontology'."
    )


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (CELL_TYPE, "T cell", ["'T cell'", "did you mean CL:0000084 (T cell)"]),
        (CELL_TYPE, "CL_0000084", ["did you mean CL:0000084"]),
        (CELL_TYPE, "cl:0000084", ["did you mean CL:0000084"]),
        (CELL_TYPE, "CL:00000840", ["is not a term of CL v", "did you mean ", "CL:0000084 (T cell)"]),
        (CELL_TYPE, "UBERON:0002048", ["holds terms of CL, "]),
        (CELL_TYPE, "xyzzy", ["'xyzzy'", "is not the id of a term", "for example CL:"]),
        (CELL_TYPE, "", ["is not the id of a term"]),
        ("cell_type", "CL:0000084", ["holds no ontology terms; use cell_type_ontology_term_id."]),
        ("donor_id", "CL:0000084", ["holds no ontology terms", "tissue_ontology_term_id"]),
        (ORGANISM, "Homo sapien", ["did you mean NCBITaxon:9606 (Homo sapiens)"]),
        (ORGANISM, "NCBITaxon:562", ["no organism of the CELLxGENE schema", "NCBITaxon:9606 (Homo sapiens)"]),
        ("disease_ontology_term_id", ["MONDO:0000001", "MONDO:0700096"], ["30000", "narrower"]),
    ],
)
def test_refuses_with_a_proposal(column: str, value: Any, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        ontology_terms(descendant_of(column, value))
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    for word in words:
        assert word in message


def test_the_statement_is_valid_googlesql_and_fits(googlesql: GoogleSQL) -> None:
    sql = compile_sql(selected_cells(descendant_of("tissue_ontology_term_id", "UBERON:0001062")), "bigquery")
    assert 100_000 < len(sql) < 2**20
    googlesql.analyze(compile_sql(selected_cells(descendant_of(CELL_TYPE, "CL:0000084")), "bigquery"))
