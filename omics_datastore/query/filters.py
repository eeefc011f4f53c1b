"""The filter of a curriculum or a count: conditions on cells, as people write them, checked and put into one form.

Only the shape of a filter is decided here. What a column is and whether a value fits it is decided when
the condition becomes an expression, in :mod:`omics_datastore.query.conditions`.
"""

import difflib
import math
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, model_validator

Operator: TypeAlias = Literal["eq", "not_eq", "in", "not_in", "gt", "gte", "lt", "lte", "is_null", "not_null"]
OPERATORS: tuple[str, ...] = get_args(Operator)
LIST_OPERATORS = ("in", "not_in")
NULL_OPERATORS = ("is_null", "not_null")
ORDER_OPERATORS = ("gt", "gte", "lt", "lte")
NOT_YET = ("descendant_of",)

Scalar: TypeAlias = bool | int | float | str
"""A value of a condition. Whole numbers are ``int``, however they were written."""

EXTRA_PREFIX = "metadata_extra."
"""What the name of a column begins with that is a key of ``metadata_extra``."""

_SYMBOLS = {
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
}
_TEXT_CONDITION = re.compile(
    r"\s*(?P<column>.+?)\s*(?:"
    r"(?P<null>\s(?:is\s+not\s+null|is\s+null|is_null|not_null))"
    r"|(?P<symbol>==|!=|<>|>=|<=|=|>|<)"
    r"|\s(?P<word>not\s+in|in|not_in|eq|not_eq|gte|gt|lte|lt)(?=[\s\[])"
    r")(?P<rest>.*)",
    re.DOTALL | re.IGNORECASE,
)
_ITEM = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^,]*?))\s*(?:,|$)""", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LARGEST = 2**63


class Condition(BaseModel):
    """One condition: column, operator and value (a list for ``in`` and ``not_in``, none for the null operators).

    Lists are kept sorted and without repeats, and whole floats as integers, so that filters that mean the
    same have the same digest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    op: Operator
    value: Scalar | tuple[Scalar, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, content: Any) -> Any:
        # Pydantic turns ValueError into a sentence about the field, and lets TypeError through.
        if not isinstance(content, Mapping):
            raise ValueError(f"{content!r} is not a condition: write {{column: …, op: …, value: …}}")  # noqa: TRY004
        unknown = sorted(str(key) for key in content if key not in ("column", "op", "value"))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is not part of a condition: write {{column: …, op: …, value: …}}")
        column = content.get("column")
        if not isinstance(column, str) or not column.strip():
            raise ValueError("a condition must name its column: write {column: …, op: …, value: …}")
        op = _check_operator(column, content.get("op"))
        return {"column": column, "op": op, "value": _check_value(column, op, content.get("value"))}

    def __str__(self) -> str:
        value = "" if self.value is None else f" {list(self.value) if isinstance(self.value, tuple) else self.value!r}"
        return f"{self.column} {self.op}{value}"


class CellFilter(BaseModel):
    """Conditions that all must hold.

    Read from a list of ``{column, op, value}``, from the old mapping ``{"column__op": value}``, from nothing,
    or from what it was written as.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    conditions: tuple[Condition, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read(cls, content: Any) -> Any:
        if content is None:
            return {"conditions": ()}
        if isinstance(content, str | bytes):
            raise ValueError("a filter is a list of {column: …, op: …, value: …}, not text")  # noqa: TRY004
        if isinstance(content, list | tuple):
            return {"conditions": tuple(content)}
        if not isinstance(content, Mapping):
            return content
        if set(content) == {"conditions"} and isinstance(content["conditions"], list | tuple):
            return content
        if {"column", "op"} <= set(content):
            raise ValueError("a filter is a list of conditions: put '- ' before this one")
        return {"conditions": tuple(_from_old_form(key, value) for key, value in content.items())}


def parse_condition(text: str) -> Condition:
    """Read a condition as it is written on a command line.

    ``cell_type == T cell``, ``total_mrna_umis >= 500``, ``tissue in lung, blood``, ``tissue not in [a, "b, c"]``,
    ``donor_id is null``; the operators' names work too (``tissue eq lung``). Values are text, whose type the
    column decides later; only numbers that ``metadata_extra`` keys are ordered by become numbers here.

    :param text: The condition.
    :return: The condition.
    :raise ValueError: When the text is no condition, in one sentence.
    """
    match = _TEXT_CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a condition: write 'column operator value', for example 'tissue == lung'")
    written = match["null"] or match["symbol"] or match["word"]
    word = " ".join(written.lower().split())
    op = _SYMBOLS.get(word, word)
    column, rest = match["column"], match["rest"].strip()
    if op in NULL_OPERATORS:
        if rest:
            raise ValueError(f"{column} {word}: takes no value, remove {rest!r}")
        return Condition.model_validate({"column": column, "op": op})
    if not rest:
        raise ValueError(f"{column} {word}: the value is missing")
    if op in LIST_OPERATORS:
        return Condition.model_validate({"column": column, "op": op, "value": _text_items(column, word, rest)})
    value: Scalar = _unquoted(rest)
    if op in ORDER_OPERATORS and column.startswith(EXTRA_PREFIX) and _NUMBER.fullmatch(rest):
        value = float(rest) if not rest.lstrip("+-").isdecimal() else int(rest)
    return Condition.model_validate({"column": column, "op": op, "value": value})


def _from_old_form(key: Any, value: Any) -> dict[str, Any]:
    column, separator, op = str(key).rpartition("__")
    if not separator or not column or not op:
        raise ValueError(
            f"filter key {key!r} has no operator: write '{key}__eq' or another of {', '.join(OPERATORS)} after '__'"
        )
    if op not in OPERATORS and op not in NOT_YET:
        near = _nearest(op)
        raise ValueError(
            f"filter key {key!r} does not end in a known operator: did you mean '{column}__{near}', or '{key}__eq' "
            f"for a column {key!r}"
        )
    return {"column": column, "op": op, "value": value}


def _nearest(op: str) -> str:
    near = difflib.get_close_matches(op.lower().strip(), OPERATORS, n=1, cutoff=0.0)
    return _SYMBOLS.get(op.strip(), near[0])


def _check_operator(column: str, op: Any) -> str:
    if op is None:
        raise ValueError(f"the condition on {column} has no op: use one of {', '.join(OPERATORS)}")
    if op in NOT_YET:
        raise ValueError(f"{column} {op}: is not available in this version of Nexus")
    if not isinstance(op, str) or op not in OPERATORS:
        raise ValueError(f"{column} {op}: is not an operator; did you mean {_nearest(str(op))}")
    return op


def _check_value(column: str, op: str, value: Any) -> Any:
    place = f"{column} {op}"
    if op in NULL_OPERATORS:
        if value is not None and value is not True:
            raise ValueError(f"{place}: takes no value, remove {value!r}")
        return None
    if op in LIST_OPERATORS:
        if isinstance(value, set | frozenset):
            value = list(value)
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


def _text_items(column: str, word: str, rest: str) -> list[str]:
    if rest[0] in "[(" and rest[-1] in "])":
        rest = rest[1:-1]
    items: list[str] = []
    position = 0
    while position < len(rest):
        match = _ITEM.match(rest, position)
        if match is None:
            raise ValueError(f"{column} {word}: cannot read {rest[position:]!r}; separate values by commas")
        quoted = match[1] if match[1] is not None else match[2]
        text = match[3] if quoted is None else _unescaped(quoted)
        if text or quoted is not None:
            items.append(text)
        position = match.end()
    return items


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return _unescaped(text[1:-1])
    return text


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
