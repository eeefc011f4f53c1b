import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import ibis.expr.types as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omics_datastore.errors import InputError
from omics_datastore.query.cells import column_values, count_by, count_cells, describe_cells, selected_cells
from omics_datastore.query.columns import result_name
from omics_datastore.query.compile import compile_sql
from omics_datastore.query.filters import AllOf, AnyOf, CellFilter, Condition, NotOf
from tests.omics_datastore.query.conftest import EXTRA_KEYS, EXTRA_VALUES, NUMBERS, TEXTS, Cells
from tests.omics_datastore.query.googlesql import GoogleSQL

TEXT_VALUES = st.one_of(
    st.sampled_from(TEXTS), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
)
NUMBER_VALUES = st.one_of(st.sampled_from(NUMBERS), st.integers(-(2**63), 2**63 - 1))
EXTRA_NUMBERS = st.one_of(
    st.sampled_from(
        [value for value in EXTRA_VALUES if isinstance(value, int | float) and not isinstance(value, bool)]
    ),
    st.floats(-10, 10),
)
ORDER = ["gt", "gte", "lt", "lte"]


def conditions(
    columns: list[str], values: st.SearchStrategy[Any], ordered: bool = True
) -> st.SearchStrategy[Condition]:
    column = st.sampled_from(columns)
    one = st.sampled_from(["eq", "not_eq", *(ORDER if ordered else [])])
    choices = [
        st.tuples(column, one, values),
        st.tuples(column, st.sampled_from(["in", "not_in"]), st.lists(values, min_size=1, max_size=4)),
        st.tuples(column, st.sampled_from(["is_null", "not_null"]), st.none()),
    ]
    return st.one_of(choices).map(
        lambda parts: Condition.model_validate({"column": parts[0], "op": parts[1], "value": parts[2]})
    )


EXTRAS = [f"metadata_extra.{key}" for key in (*EXTRA_KEYS, "absent")]
ANY_CONDITION = st.one_of(
    conditions(["tissue", "donor_id", "dataset", "original_id", "assay"], TEXT_VALUES),
    conditions(["total_mrna_umis", "n_features", "cell_index"], NUMBER_VALUES),
    conditions(["is_primary_data"], st.booleans(), ordered=False),
    conditions(EXTRAS, TEXT_VALUES),
    conditions(EXTRAS, EXTRA_NUMBERS),
    conditions(EXTRAS, st.booleans(), ordered=False),
)


ANY_PART: st.SearchStrategy[Any] = st.recursive(
    ANY_CONDITION,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AnyOf(any=tuple(parts))),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AllOf(all=tuple(parts))),
        inner.map(lambda part: NotOf.model_validate({"not": part})),
    ),
    max_leaves=5,
)


def truth(row: dict[str, Any], part: Any) -> bool | None:
    """Tell what SQL should: the meaning of a filter in plain Python, ``None`` being SQL's unknown."""
    if isinstance(part, Condition):
        return holds(row, part)
    if isinstance(part, NotOf):
        inner = truth(row, part.part)
        return None if inner is None else not inner
    decides = isinstance(part, AnyOf)
    found = [truth(row, item) for item in (part.any if isinstance(part, AnyOf) else part.all)]
    return decides if decides in found else None if None in found else not decides


def holds(row: dict[str, Any], condition: Condition) -> bool | None:
    """Tell whether one condition holds."""
    values = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    if condition.column.startswith("metadata_extra."):
        have = (row["metadata_extra"] or {}).get(condition.column.removeprefix("metadata_extra."))
        text = None if have is None else have if isinstance(have, str) else str(have).replace("True", "true")
        text = text.replace("False", "false") if isinstance(have, bool) and text else text
        if isinstance(values[0], bool):
            values = tuple("true" if value else "false" for value in values)
        if not isinstance(values[0], str | None):
            number = have in ("5", "5.0") or type(have) in (int, float)
            have = float(have) if number and have is not None else None
        else:
            have = text
    else:
        have = row.get(condition.column)
    if condition.op == "is_null":
        return have is None
    if condition.op == "not_null":
        return have is not None
    if have is None:
        return None
    value: Any = values[0]
    checks: dict[str, Callable[[], bool]] = {
        "eq": lambda: have == value,
        "not_eq": lambda: have != value,
        "in": lambda: have in values,
        "not_in": lambda: have not in values,
        "gt": lambda: have > value,
        "gte": lambda: have >= value,
        "lt": lambda: have < value,
        "lte": lambda: have <= value,
    }
    return checks[condition.op]()


def expected(cells: Cells, cell_filter: CellFilter) -> set[tuple[str, int]]:
    return {
        (row["ingest_id"], row["cell_index"])
        for row in cells.rows
        if all(truth(row, part) for part in cell_filter.conditions)
    }


def found(cells: Cells, cell_filter: CellFilter) -> set[tuple[str, int]]:
    frame = cells.warehouse.query(selected_cells(cell_filter).select("ingest_id", "cell_index"))
    rows = frame.rows()
    assert len(set(rows)) == len(rows)
    return set(rows)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(ANY_PART, min_size=1, max_size=2))
def test_duckdb_selects_what_the_filter_means(nasty_cells: Cells, chosen: list[Any]) -> None:
    cell_filter = CellFilter(conditions=tuple(chosen))
    assert found(nasty_cells, cell_filter) == expected(nasty_cells, cell_filter)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(ANY_PART, min_size=1, max_size=2))
def test_bigquery_sql_selects_what_the_filter_means(
    nasty_cells: Cells, run_google: Callable[[ir.Table], list[list[Any]]], chosen: list[Any]
) -> None:
    cell_filter = CellFilter(conditions=tuple(chosen))
    rows = run_google(selected_cells(cell_filter).select("ingest_id", "cell_index"))
    assert {(ingest_id, cell) for ingest_id, cell in rows} == expected(nasty_cells, cell_filter)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.lists(ANY_PART, min_size=1, max_size=3))
def test_the_normal_form_means_the_same(nasty_cells: Cells, chosen: list[Any]) -> None:
    cell_filter = CellFilter(conditions=tuple(chosen))
    assert expected(nasty_cells, cell_filter.normal()) == expected(nasty_cells, cell_filter)


def test_a_null_is_neither_in_nor_out(nasty_cells: Cells) -> None:
    every = len(nasty_cells.rows)
    inside = len(found(nasty_cells, CellFilter.model_validate({"donor_id__eq": "d1"})))
    outside = len(found(nasty_cells, CellFilter.model_validate({"not": {"donor_id__eq": "d1"}})))
    null = len(found(nasty_cells, CellFilter.model_validate({"donor_id__is_null": True})))
    assert inside + outside + null == every
    assert min(inside, outside, null) > 0
    either = {"any": [{"not": {"donor_id__eq": "d1"}}, {"donor_id__is_null": True}]}
    assert len(found(nasty_cells, CellFilter.model_validate(either))) == outside + null


def test_as_many_conditions_as_a_filter_may_hold_compile(nasty_cells: Cells) -> None:
    many = {"any": [{"column": "total_mrna_umis", "op": "eq", "value": number} for number in range(400)]}
    assert found(nasty_cells, CellFilter.model_validate(many)) == found(
        nasty_cells, CellFilter.model_validate({"total_mrna_umis__lt": 400})
    )


@pytest.mark.parametrize("key", EXTRA_KEYS)
def test_every_key_and_value_is_found_again(nasty_cells: Cells, key: str) -> None:
    column = f"metadata_extra.{key}"
    values = nasty_cells.warehouse.query(column_values(selected_cells(CellFilter()), column))
    counts = Counter(
        None if (value := (row["metadata_extra"] or {}).get(key)) is None
        else value if isinstance(value, str) else str(value).lower()
        for row in nasty_cells.rows
    )  # fmt: skip
    assert dict(values.rows()) == counts
    assert len(counts) > 5


def test_conditions_all_must_hold(nasty_cells: Cells) -> None:
    both = CellFilter.model_validate({"tissue__eq": "it's", "dataset__eq": "lung"})
    assert 0 < len(found(nasty_cells, both)) < len(found(nasty_cells, CellFilter(conditions=both.conditions[:1])))
    assert found(nasty_cells, both) == expected(nasty_cells, both)


def test_ingest_ids_restrict(nasty_cells: Cells) -> None:
    first = nasty_cells.rows[0]["ingest_id"]
    count = nasty_cells.warehouse.query
    assert count(count_cells(selected_cells(CellFilter(), [first]))).item() == 44
    assert count(count_cells(selected_cells(CellFilter(), []))).item() == 0
    assert count(count_cells(selected_cells(CellFilter(), ["x@000000000000"]))).item() == 0
    assert count(count_cells(selected_cells(CellFilter()))).item() == 88


def test_values_from_a_command_line_take_the_type_of_the_column(nasty_cells: Cells) -> None:
    for written, meant in (
        ({"total_mrna_umis__gte": "500"}, {"total_mrna_umis__gte": 500}),
        ({"total_mrna_umis__gt": "499.5"}, {"total_mrna_umis__gte": 500}),
        ({"total_mrna_umis__lt": 500.5}, {"total_mrna_umis__lte": 500}),
        ({"total_mrna_umis__in": ["5", "1e2"]}, {"total_mrna_umis__in": [5, 100]}),
        ({"is_primary_data__eq": "True"}, {"is_primary_data__eq": True}),
        ({"is_primary_data__not_eq": "false"}, {"is_primary_data__eq": True}),
    ):
        cells = found(nasty_cells, CellFilter.model_validate(written))
        assert cells == expected(nasty_cells, CellFilter.model_validate(meant))
        assert cells


@pytest.mark.parametrize(
    ("column", "op", "value", "words"),
    [
        ("tissue", "eq", 5, ["tissue eq 5", "quote"]),
        ("tissue", "in", [True], ["tissue in True", "quote"]),
        ("total_mrna_umis", "eq", "many", ["total_mrna_umis eq 'many'", "whole numbers"]),
        ("total_mrna_umis", "eq", True, ["total_mrna_umis eq True", "whole numbers"]),
        ("total_mrna_umis", "eq", 1.5, ["total_mrna_umis eq 1.5", "whole numbers"]),
        ("total_mrna_umis", "lt", 1e30, ["1e+30"]),
        ("total_mrna_umis", "eq", "99999999999999999999", ["whole numbers"]),
        ("is_primary_data", "eq", "yes", ["is_primary_data eq 'yes'", "true or false"]),
        ("is_primary_data", "eq", 1, ["is_primary_data eq 1", "true or false"]),
        ("is_primary_data", "gt", True, ["is_primary_data gt True", "no order"]),
        ("metadata_extra.x", "gt", True, ["metadata_extra.x gt True", "no order"]),
        ("tisue", "eq", "lung", ["'tisue'", "did you mean tissue", "metadata_extra.tisue"]),
        ("Cell_Type", "eq", "T", ["cell_type"]),
        ("batch", "is_null", None, ["'batch'", "metadata_extra.batch"]),
        ("metadata_extra", "is_null", None, ["metadata_extra.<key>"]),
        ("metadata_extra.", "is_null", None, ["metadata_extra.<key>"]),
    ],
)
def test_refuses_what_does_not_fit_the_column(column: str, op: str, value: Any, words: list[str]) -> None:
    cell_filter = CellFilter.model_validate([{"column": column, "op": op, "value": value}])
    with pytest.raises(InputError) as caught:
        selected_cells(cell_filter)
    for word in words:
        assert word in str(caught.value)


def test_count_by_counts_every_combination_in_one_order(nasty_cells: Cells) -> None:
    columns = ["donor_id", "is_primary_data", "metadata_extra.a b"]
    frame = nasty_cells.warehouse.query(count_by(selected_cells(CellFilter()), columns))
    assert frame.columns == [*(result_name(column) for column in columns), "cells"]
    counts = Counter(
        (row["donor_id"], row["is_primary_data"], None if (have := (row["metadata_extra"] or {}).get("a b")) is None
         else have if isinstance(have, str) else str(have).lower())
        for row in nasty_cells.rows
    )  # fmt: skip
    assert {row[:3]: row[3] for row in frame.rows()} == counts

    def order(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (-row[3], *((value is not None, value or "") for value in (row[0], row[2])))

    rows = [row for row in frame.rows() if row[1] is None]
    assert rows == sorted(rows, key=order)


@pytest.mark.parametrize("columns", [[], ["tissue", "tissue"]])
def test_count_by_refuses_no_or_repeated_columns(columns: list[str]) -> None:
    with pytest.raises(InputError, match="different columns"):
        count_by(selected_cells(CellFilter()), columns)


def test_result_names_differ_and_are_plain() -> None:
    names = [result_name(f"metadata_extra.{key}") for key in ("Batch", "batch", "a b", "a.b", "ключ")]
    assert len({name.lower() for name in names}) == 5
    assert all(name.isidentifier() for name in names)
    assert result_name("tissue") == "tissue"


def test_describe(nasty_cells: Cells) -> None:
    (row,) = nasty_cells.warehouse.query(
        describe_cells(selected_cells(CellFilter.model_validate({"n_features__gt": 0, "total_mrna_umis__lt": 2**40})))
    ).to_dicts()
    rows = [item for item in nasty_cells.rows if item["n_features"] > 0 and item["total_mrna_umis"] < 2**40]
    assert row["cells"] == len(rows)
    assert (row["ingests"], row["datasets"]) == (2, 2)
    assert row["sum_n_features"] == sum(item["n_features"] for item in rows)
    assert row["max_total_mrna_umis"] == 2**31
    assert row["distinct_tissue"] == len({item["tissue"] for item in rows} - {None})
    assert row["distinct_assay"] == 0


def test_describe_of_nothing(nasty_cells: Cells) -> None:
    (row,) = nasty_cells.warehouse.query(describe_cells(selected_cells(CellFilter(), []))).to_dicts()
    assert (row["cells"], row["sum_n_features"], row["min_n_features"]) == (0, 0, None)


def test_every_query_is_valid_googlesql_and_gives_the_same_rows(
    nasty_cells: Cells, run_google: Callable[[ir.Table], list[list[Any]]]
) -> None:
    some = CellFilter.model_validate(
        {"tissue__not_in": ["it's", "\\"], "n_features__gte": 1, "total_mrna_umis__lt": 2**40}
    )
    cells = selected_cells(some)
    first = nasty_cells.rows[0]["ingest_id"]
    queries = [
        cells.order_by("shuffle_key"),
        selected_cells(CellFilter()).select("original_id", "shuffle_key").order_by("shuffle_key"),
        count_cells(selected_cells(some, [first])),
        count_cells(selected_cells(some, [])),
        count_by(cells, ["tissue", "is_primary_data", "total_mrna_umis", "metadata_extra.it's"]),
        column_values(cells, 'metadata_extra.q"q'),
        column_values(cells, "dataset"),
        column_values(cells, "is_primary_data"),
        describe_cells(cells),
    ]
    for query in queries:
        assert run_google(query) == [list(row) for row in nasty_cells.warehouse.query(query).rows()]


def test_every_operator_on_every_kind_of_column_is_valid_googlesql(googlesql: GoogleSQL) -> None:
    kinds: list[tuple[str, Any]] = [
        ("tissue", "x"),
        ("total_mrna_umis", 5),
        ("metadata_extra.k", "x"),
        ("metadata_extra.k", 1.5),
    ]
    chosen = [
        {"column": column, "op": op, "value": [value] if op in ("in", "not_in") else value}
        for (column, value), op in itertools.product(kinds, ["eq", "not_eq", "in", "not_in", *ORDER])
    ]
    chosen += [
        {"column": column, "op": op} for column in ("tissue", "metadata_extra.k") for op in ("is_null", "not_null")
    ]
    chosen += [{"column": "is_primary_data", "op": op, "value": True} for op in ("eq", "not_eq")]
    googlesql.analyze(compile_sql(selected_cells(CellFilter.model_validate(chosen), ["a@b", "c@d"]), "bigquery"))


def test_the_analyzer_would_notice(googlesql: GoogleSQL) -> None:
    with pytest.raises(Exception, match="No matching signature"):
        googlesql.analyze("SELECT tissue = 5 FROM cell_info")
