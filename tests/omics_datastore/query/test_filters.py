import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from omics_datastore.query.filter_text import parse_condition, parse_part
from omics_datastore.query.filters import CellFilter, Condition
from omics_datastore.storage.documents import content_digest, describe


class Specification(BaseModel):
    filter: CellFilter = CellFilter()


def refusal(content: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        Specification.model_validate({"filter": content})
    return describe(caught.value)


def nested(levels: int) -> Any:
    part: Any = {"n__eq": 1}
    for _ in range(levels):
        part = {"not": {"any": [part]}}
    return [part]


def cyclic() -> Any:
    part: dict[str, Any] = {"n__eq": 1}
    part["any"] = [part, part]
    return [part]


def condition(column: str, op: str, value: Any = None) -> Condition:
    return Condition.model_validate({"column": column, "op": op, "value": value})


def test_reads_a_list_of_conditions() -> None:
    made = CellFilter.model_validate([{"column": "tissue", "op": "in", "value": ["lung", "blood"]}])
    assert made.conditions == (condition("tissue", "in", ["blood", "lung"]),)


def test_reads_the_old_mapping() -> None:
    made = CellFilter.model_validate({"tissue__in": ["lung"], "my__column__not_eq": "x", "donor_id__is_null": True})
    assert made.conditions == (
        condition("tissue", "in", ["lung"]),
        condition("my__column", "not_eq", "x"),
        condition("donor_id", "is_null"),
    )


@pytest.mark.parametrize("nothing", [None, [], {}, (), {"conditions": []}])
def test_nothing_is_no_condition(nothing: Any) -> None:
    assert CellFilter.model_validate(nothing) == CellFilter()


def test_missing_is_no_condition() -> None:
    assert Specification.model_validate({}).filter == CellFilter()


def test_filters_that_mean_the_same_have_one_digest() -> None:
    one = CellFilter.model_validate([{"column": "n", "op": "in", "value": [3, 1.0, 1]}])
    other = CellFilter.model_validate({"n__in": (1, 3.0)})
    assert content_digest(one) == content_digest(other)
    assert content_digest(one) != content_digest(CellFilter.model_validate({"n__in": [1, 4]}))


def test_conditions_nest_in_both_forms() -> None:
    written = CellFilter.model_validate(
        [
            {"any": [{"column": "tissue", "op": "eq", "value": "lung"}, {"all": [{"n__gte": 1}, {"n__lt": 5}]}]},
            {"not": {"column": "sex", "op": "eq", "value": "male"}},
        ]
    )
    assert written == CellFilter.model_validate(
        {"any": [{"tissue__eq": "lung"}, {"n__gte": 1, "n__lt": 5}], "not": {"sex__eq": "male"}}
    )
    assert [str(part) for part in written.conditions] == [
        "any (tissue eq 'lung'; all (n gte 1; n lt 5))",
        "not (sex eq 'male')",
    ]
    assert [item.column for item in written.leaves()] == ["tissue", "n", "n", "sex"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([{"a__eq": 1}, {"b__eq": 2}], [{"b__eq": 2}, {"a__eq": 1}, {"a__in": [1]}]),
        ([{"all": [{"a__eq": 1}, {"b__eq": 2}]}], {"a__eq": 1, "b__eq": 2}),
        ([{"any": [{"a__eq": 1}, {"any": [{"b__eq": 2}]}]}], [{"any": [{"b__eq": 2}, {"a__eq": 1}, {"a__eq": 1}]}]),
        ([{"not": {"not": {"all": [{"a__not_in": [1]}]}}}], [{"any": [{"a__not_eq": 1}]}]),
    ],
)
def test_what_differs_in_form_only_has_one_normal_form(one: Any, other: Any) -> None:
    made, same = CellFilter.model_validate(one), CellFilter.model_validate(other)
    assert made != same
    assert made.normal() == same.normal() == made.normal().normal()
    assert made.normal() != CellFilter.model_validate([{"not": one[0]}]).normal()


def test_a_command_line_nests_in_yaml() -> None:
    part = parse_part("{any: [{tissue__eq: lung}, {n__gte: 3}]}")
    assert (part,) == CellFilter.model_validate([{"any": [{"tissue__eq": "lung"}, {"n__gte": 3}]}]).conditions
    assert parse_part("{a__eq: 1, b__eq: 2}") == parse_part("{all: [{a__eq: 1}, {b__eq: 2}]}")
    with pytest.raises(ValueError, match="is not YAML"):
        parse_part("{any: [")


SCALARS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False, max_value=2.0**62, min_value=-(2.0**62)),
    st.booleans(),
)
COLUMNS = st.text(min_size=1).filter(lambda text: text.strip())
CONDITIONS = st.one_of(
    st.fixed_dictionaries(
        {"column": COLUMNS, "op": st.sampled_from(["eq", "not_eq", "gt", "gte", "lt", "lte"]), "value": SCALARS}
    ),
    st.fixed_dictionaries(
        {
            "column": COLUMNS,
            "op": st.sampled_from(["in", "not_in"]),
            "value": st.one_of(
                st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1),
                st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
                st.lists(st.booleans(), min_size=1),
            ),
        }
    ),
    st.fixed_dictionaries({"column": COLUMNS, "op": st.sampled_from(["is_null", "not_null"])}),
)


PARTS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=6,
)


@given(st.lists(PARTS, max_size=3))
def test_what_was_written_is_read_again(conditions: list[dict[str, Any]]) -> None:
    made = CellFilter.model_validate(conditions)
    text = made.model_dump_json()
    again = CellFilter.model_validate(json.loads(text))
    assert again == made
    assert again.model_dump_json() == text
    assert hash(again) == hash(made)
    assert CellFilter.model_validate(made) == made


@given(st.dictionaries(COLUMNS, st.integers(0, 9), max_size=3), st.sampled_from(["eq", "not_eq", "gte"]))
def test_the_old_form_splits_at_the_last_underscores(values: dict[str, int], op: str) -> None:
    made = CellFilter.model_validate({f"{column}__{op}": value for column, value in values.items()})
    assert [(item.column, item.op, item.value) for item in made.leaves()] == [
        (column, op, value) for column, value in values.items()
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"column": "tissue", "op": "equals", "value": "x"}], ["tissue", "equals", "did you mean eq"]),
        ([{"column": "tissue", "op": "==", "value": "x"}], ["did you mean eq"]),
        ([{"column": "tissue", "op": "notin", "value": ["x"]}], ["did you mean not_in"]),
        ([{"column": "tissue", "op": "descendant_of", "value": 3}], ["descendant_of", "ontology terms", "not 3"]),
        ({"cell_type__descendant_of": []}, ["cell_type descendant_of", "empty"]),
        ([{"any": []}], ["conditions.0.any", "empty"]),
        ([{"any": {"n__eq": 1}}], ["conditions.0.any", "a list of conditions"]),
        ({"all": None}, ["conditions.0.all", "a list of conditions"]),
        ([{"not": [{"n__eq": 1}]}], ["conditions.0", "one condition, not a list", "not: {any: [...]}"]),
        ([{"any": [{"n__eq": 1}, {"all": [{"n__eqq": 1}]}]}], ["any.1.all.0", "did you mean 'n__eq'"]),
        ([{"not": {"column": "n"}}], ["not", "condition on n has no op"]),
        ([{"any": ["n == 1"]}], ["any.0", "is not a condition"]),
        ([{"n__eq": 1}] * 1001, ["more than 1000 conditions"]),
        ([{"any": [{"n__eq": 1}] * 501}, {"any": [{"n__eq": 1}] * 500}], ["more than 1000 conditions"]),
        (nested(17), ["16 levels"]),
        (cyclic(), ["more than 1000 conditions"]),
        ({"tissue": "lung"}, ["'tissue'", "no operator", "'tissue__eq'"]),
        ({"tissue__inn": ["lung"]}, ["'tissue__inn'", "did you mean 'tissue__in'"]),
        ({"__eq": 1}, ["no operator"]),
        ([{"column": "donor_id", "op": "eq", "value": None}], ["donor_id eq", "is null", "is_null"]),
        ([{"column": "donor_id", "op": "eq"}], ["donor_id eq", "is_null"]),
        ([{"column": "tissue", "op": "in", "value": []}], ["tissue in", "empty", "at least one"]),
        ([{"column": "tissue", "op": "not_in", "value": []}], ["tissue not_in", "empty"]),
        ([{"column": "tissue", "op": "in", "value": ["x", None]}], ["tissue in", "is_null"]),
        ([{"column": "tissue", "op": "in", "value": ["x", 1]}], ["tissue in", "mixes numbers and text"]),
        ([{"column": "flag", "op": "in", "value": [True, 1]}], ["mixes numbers and true/false"]),
        ([{"column": "tissue", "op": "in", "value": "lung"}], ["tissue in", "must be a list", "['lung']"]),
        ([{"column": "tissue", "op": "eq", "value": ["lung"]}], ["tissue eq", "use in"]),
        ([{"column": "tissue", "op": "not_eq", "value": ["lung"]}], ["use not_in"]),
        ([{"column": "n", "op": "gte", "value": [1]}], ["n gte", "one value"]),
        ([{"column": "n", "op": "gte", "value": float("nan")}], ["n gte", "nan", "is_null"]),
        ([{"column": "n", "op": "lt", "value": float("inf")}], ["n lt", "inf"]),
        ([{"column": "n", "op": "eq", "value": 2**63}], ["n eq", "64 bits"]),
        ([{"column": "n", "op": "is_null", "value": 3}], ["n is_null", "takes no value"]),
        ([{"column": "n", "op": "eq", "value": "a\0b"}], ["n eq", "character"]),
        ([{"op": "eq", "value": 3}], ["must name its column"]),
        ([{"column": "n", "value": 3}], ["condition on n has no op"]),
        ([{"column": "n", "op": "eq", "value": 3, "extra": 1}], ["extra is not part"]),
        ({"column": "n", "op": "eq", "value": 3}, ["list of conditions", "'- '"]),
        (["tissue == lung"], ["is not a condition"]),
        ("tissue == lung", ["not text"]),
    ],
)
def test_refuses_with_one_sentence_that_says_where_and_how(content: Any, words: list[str]) -> None:
    message = refusal(content)
    assert message.startswith("filter")
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("text", "column", "op", "value"),
    [
        ("cell_type == T cell", "cell_type", "eq", "T cell"),
        ("cell_type = T cell", "cell_type", "eq", "T cell"),
        ("cell_type=T cell", "cell_type", "eq", "T cell"),
        ('tissue == " lung "', "tissue", "eq", " lung "),
        ("tissue != it's", "tissue", "not_eq", "it's"),
        ("total_mrna_umis >= 500", "total_mrna_umis", "gte", "500"),
        ("total_mrna_umis<5", "total_mrna_umis", "lt", "5"),
        ("total_mrna_umis gte 500", "total_mrna_umis", "gte", "500"),
        ("tissue eq in vitro", "tissue", "eq", "in vitro"),
        ("tissue in lung, blood", "tissue", "in", ("blood", "lung")),
        ("tissue IN [lung]", "tissue", "in", ("lung",)),
        ("tissue in (lung, blood)", "tissue", "in", ("blood", "lung")),
        ("tissue not in [\"a, b\", 'c']", "tissue", "not_in", ("a, b", "c")),
        (r'tissue in "say \"hi\"", x', "tissue", "in", ('say "hi"', "x")),
        ("tissue not_in lung", "tissue", "not_in", ("lung",)),
        ("x_ontology_term_id descendant_of CL:1", "x_ontology_term_id", "descendant_of", ("CL:1",)),
        ("x_ontology_term_id descendant of CL:2, CL:1", "x_ontology_term_id", "descendant_of", ("CL:1", "CL:2")),
        ("donor_id is null", "donor_id", "is_null", None),
        ("donor_id is not null", "donor_id", "not_null", None),
        ("donor_id not_null", "donor_id", "not_null", None),
        ("metadata_extra.my batch == 3", "metadata_extra.my batch", "eq", "3"),
        ("metadata_extra.score > 0.5", "metadata_extra.score", "gt", 0.5),
        ("metadata_extra.score > '0.5'", "metadata_extra.score", "gt", "0.5"),
        ("metadata_extra.score <= -3", "metadata_extra.score", "lte", -3),
    ],
)
def test_reads_a_condition_from_a_command_line(text: str, column: str, op: str, value: Any) -> None:
    made = parse_condition(text)
    assert (made.column, made.op, made.value) == (column, op, value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tissue", "write 'column operator value'"),
        ("tissue ==", "the value is missing"),
        ("tissue in", "write 'column operator value'"),
        ("tissue in []", "empty"),
        ("donor_id is null x", "takes no value"),
        ("", "write 'column operator value'"),
    ],
)
def test_refuses_a_text_that_is_no_condition(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_condition(text)


def test_reading_a_filter_imports_nothing_heavy() -> None:
    heavy = {"ibis", "polars", "numpy", "pyarrow", "duckdb"}
    program = f"import sys, omics_datastore.query.filters; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
