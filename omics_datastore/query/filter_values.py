"""The operators of a filter and the values they take."""

import difflib
import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

Operator: TypeAlias = Literal[
    "eq", "not_eq", "in", "not_in", "gt", "gte", "lt", "lte", "is_null", "not_null", "descendant_of"
]
OPERATORS: tuple[str, ...] = get_args(Operator)
LIST_OPERATORS = ("in", "not_in", "descendant_of")
NULL_OPERATORS = ("is_null", "not_null")
ORDER_OPERATORS = ("gt", "gte", "lt", "lte")

Scalar: TypeAlias = bool | int | float | str
"""A value of a condition. Whole numbers are ``int``, however they were written."""

SYMBOLS = {
    "==": "eq",
    "=": "eq",
    "!=": "not_eq",
    "<>": "not_eq",
    ">=": "gte",
    "<=": "lte",
    ">": "gt",
    "<": "lt",
    "not in": "not_in",
    "is not null": "not_null",
    "is null": "is_null",
    "descendant of": "descendant_of",
}
"""What a command line may write for an operator."""

_LARGEST = 2**63


def nearest_operator(op: str) -> str:
    """Return the operator that somebody may have meant.

    :param op: What was written.
    :return: One of :data:`OPERATORS`.
    """
    near = difflib.get_close_matches(op.lower().strip(), OPERATORS, n=1, cutoff=0.0)
    return SYMBOLS.get(op.strip(), near[0])


def check_operator(column: str, op: Any) -> str:
    """Check an operator.

    :param column: Column, for messages.
    :param op: What was written.
    :return: The operator.
    :raise ValueError: When it is none, in one sentence.
    """
    if op is None:
        raise ValueError(f"the condition on {column} has no op: use one of {', '.join(OPERATORS)}")
    if not isinstance(op, str) or op not in OPERATORS:
        raise ValueError(f"{column} {op}: is not an operator; did you mean {nearest_operator(str(op))}")
    return op


def check_value(column: str, op: str, value: Any) -> Any:
    """Check the value of a condition and put it into one form.

    :param column: Column, for messages.
    :param op: The operator.
    :param value: What was written.
    :return: A scalar, a sorted tuple of them for the list operators, or ``None`` for the null operators.
    :raise ValueError: When it does not fit the operator, in one sentence.
    """
    place = f"{column} {op}"
    if op in NULL_OPERATORS:
        if value is not None and value is not True:
            raise ValueError(f"{place}: takes no value, remove {value!r}")
        return None
    if op in LIST_OPERATORS:
        if isinstance(value, set | frozenset):
            value = list(value)
        if op == "descendant_of" and not isinstance(value, list | tuple):
            value = [value]
        if not isinstance(value, list | tuple):
            raise ValueError(f"{place}: the value must be a list, write [{value!r}]")
        return _check_items(place, value)
    if isinstance(value, list | tuple | set | frozenset | Mapping):
        other = {"eq": "use in", "not_eq": "use not_in"}.get(op, "give one value")
        raise ValueError(f"{place}: the value must not be a list or mapping; {other}")  # noqa: TRY004
    return _check_scalar(place, value)


def _check_items(place: str, items: list[Any] | tuple[Any, ...]) -> tuple[Scalar, ...]:
    if not items:
        raise ValueError(f"{place}: the list is empty; give at least one value or remove the condition")
    values = [_check_scalar(place, item) for item in items]
    if place.endswith(" descendant_of") and not all(isinstance(value, str) for value in values):
        raise ValueError(f"{place}: takes ontology terms, for example CL:0000084, not {values[0]!r}")
    kinds = {_kind(value) for value in values}
    if len(kinds) > 1:
        raise ValueError(f"{place}: the list mixes {' and '.join(sorted(kinds))}; quote all values or none")
    return tuple(sorted(set(values)))


def _kind(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true/false"
    return "text" if isinstance(value, str) else "numbers"


def _check_scalar(place: str, value: Any) -> Scalar:
    if value is None:
        raise ValueError(f"{place}: the value is null; use is_null or not_null")
    if hasattr(value, "item") and not isinstance(value, str):  # a NumPy scalar
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if any("\ud800" <= char <= "\udfff" or char == "\0" for char in value):
            raise ValueError(f"{place}: the value {value!r} holds a character that no text in the warehouse can hold")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{place}: the value {value} is not a number to compare with; use is_null or not_null")
        value = int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        raise ValueError(f"{place}: the value {value} does not fit 64 bits")
    if isinstance(value, int | float):
        return value
    raise ValueError(f"{place}: the value {value!r} must be text, a number, true or false; quote it to make it text")
