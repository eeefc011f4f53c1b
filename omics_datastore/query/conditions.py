"""A filter's conditions as Ibis expressions, each value typed by the column it is compared with.

Nulls follow SQL: only ``is_null`` finds them; ``not_eq`` and ``not_in`` do not, nor does ``not`` of a comparison.
"""

import math
import operator
import re
from collections.abc import Callable
from typing import Any, cast

import ibis
import ibis.expr.types as ir

from omics_datastore.errors import InputError
from omics_datastore.query.columns import cell_column, column_type
from omics_datastore.query.filter_values import ORDER_OPERATORS, Scalar
from omics_datastore.query.filters import EXTRA_PREFIX, AllOf, AnyOf, Condition, NotOf
from omics_datastore.schema.tables import ColumnType

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "not_eq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
JSON_NUMBER = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
"""RE2 pattern of a JSON number; the same in DuckDB and BigQuery, whose casts differ beyond it."""


def part_expression(cells: ir.Table, part: Condition | AnyOf | AllOf | NotOf) -> ir.BooleanValue:
    """Return a condition, or a nested one, on cells.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`, or its parts.
    :param part: A part of a filter, without ``descendant_of``.
    :return: Boolean expression, null where SQL's three-valued logic leaves it open.
    :raise InputError: As :func:`condition_expression`.
    """
    if isinstance(part, Condition):
        return condition_expression(cells, part)
    if isinstance(part, NotOf):
        return ~part_expression(cells, part.part)
    either = isinstance(part, AnyOf)
    terms = [part_expression(cells, item) for item in (part.any if isinstance(part, AnyOf) else part.all)]
    while len(terms) > 1:  # as a balanced tree: compilers recurse over a long chain
        pairs = [terms[at : at + 2] for at in range(0, len(terms), 2)]
        terms = [pair[0] if len(pair) == 1 else (pair[0] | pair[1] if either else pair[0] & pair[1]) for pair in pairs]
    return terms[0]


def condition_expression(cells: ir.Table, condition: Condition) -> ir.BooleanValue:
    """Return a condition on cells.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`, or its parts.
    :param condition: The condition.
    :return: Boolean expression, null where the column is null (but for the null operators).
    :raise InputError: When there is no such column or the value does not fit it.
    """
    column = cell_column(cells, condition.column)
    if condition.op == "is_null":
        return column.isnull()
    if condition.op == "not_null":
        return column.notnull()
    given = condition.value
    values: tuple[Scalar, ...] = given if isinstance(given, tuple) else (cast("Scalar", given),)
    if condition.column.startswith(EXTRA_PREFIX):
        column, typed = _extra(column, condition, values)
    else:
        typed = [_typed(condition, value) for value in values]
    return _compare(column, condition.op, typed)


def _compare(column: ir.Value, op: str, values: list[ir.Scalar]) -> ir.BooleanValue:
    if op in _COMPARISONS:
        return _COMPARISONS[op](column, values[0])
    return column.isin(values) if op == "in" else column.notin(values)


def _extra(
    column: ir.StringValue, condition: Condition, values: tuple[Scalar, ...]
) -> tuple[ir.Value, list[ir.Scalar]]:
    if isinstance(values[0], bool):
        if condition.op in ORDER_OPERATORS:
            raise _misfit(condition, values[0], "true and false have no order; use eq or not_eq")
        return column, [ibis.literal("true" if value else "false", "string") for value in values]
    if isinstance(values[0], str):
        return column, [ibis.literal(value, "string") for value in values]
    number = ibis.ifelse(column.re_search(JSON_NUMBER), column.try_cast("float64"), ibis.null("float64"))
    # As text, because DuckDB reads 0.1 as a decimal and rounds it on its own way to a double.
    return number, [ibis.literal(repr(float(value)), "string").cast("float64") for value in values]


def _typed(condition: Condition, value: Scalar) -> ir.Scalar:
    kind = column_type(condition.column)
    if kind is ColumnType.INT64:
        return _whole_number(condition, value)
    if kind is ColumnType.BOOL:
        return _boolean(condition, value)
    if not isinstance(value, str):
        raise _misfit(condition, value, "the column holds text; quote the value to make it text")
    return ibis.literal(value, "string")


def _whole_number(condition: Condition, value: Scalar) -> ir.Scalar:
    if isinstance(value, str):
        text = value.strip()
        if _INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63:
            value = int(text)
        elif _DECIMAL.fullmatch(text):
            value = float(text)
            value = int(value) if value.is_integer() and abs(value) < 2**53 else value
        else:
            raise _misfit(condition, value, "the column holds whole numbers")
    if isinstance(value, bool):
        raise _misfit(condition, value, "the column holds whole numbers")
    if isinstance(value, float):
        if condition.op not in ORDER_OPERATORS or abs(value) >= 2**63:
            raise _misfit(condition, value, "the column holds whole numbers")
        value = math.floor(value) if condition.op in ("gt", "lte") else math.ceil(value)
    return ibis.literal(value, "int64")


def _boolean(condition: Condition, value: Scalar) -> ir.Scalar:
    if condition.op in ORDER_OPERATORS:
        raise _misfit(condition, value, "true and false have no order; use eq or not_eq")
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        value = value.strip().lower() == "true"
    if not isinstance(value, bool):
        raise _misfit(condition, value, "the column holds true or false")
    return ibis.literal(value, "boolean")


def _misfit(condition: Condition, value: Scalar, why: str) -> InputError:
    return InputError(f"{condition.column} {condition.op} {value!r}: {why}.")
