"""The filter of a curriculum or a count: conditions on cells, as people write them, checked and put into one form.

Only the shape of a filter is decided here. What a column is and whether a value fits it is decided when
the condition becomes an expression, in :mod:`omics_datastore.query.conditions`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_serializer, model_validator

from omics_datastore.query.filter_values import (
    OPERATORS,
    Operator,
    Scalar,
    check_operator,
    check_value,
    nearest_operator,
)

GROUPS = ("any", "all", "not")
DEEPEST = 16
"""Levels that a filter may nest."""
MOST = 1000
"""Conditions that a filter may hold."""

EXTRA_PREFIX = "metadata_extra."
"""What the name of a column begins with that is a key of ``metadata_extra``."""

_TOO_MANY = f"the filter holds more than {MOST} conditions; use in with a list of values"
_EXAMPLE = "write {column: …, op: …, value: …}"


def _read_part(content: Any) -> Any:
    # Pydantic turns ValueError into a sentence about the field, and lets TypeError through.
    if isinstance(content, Condition | AnyOf | AllOf | NotOf):
        return content
    if not isinstance(content, Mapping):
        raise ValueError(f"{content!r} is not a condition: {_EXAMPLE}, or any, all or not")  # noqa: TRY004
    if not content or not {"column", "op", "value"}.isdisjoint(content):
        return Condition.model_validate(content)
    parts = [_entry(key, value) for key, value in content.items()]
    return parts[0] if len(parts) == 1 else AllOf(all=tuple(parts))


def _entry(key: Any, value: Any) -> Any:
    kinds: dict[str, type[BaseModel]] = {"any": AnyOf, "all": AllOf, "not": NotOf}
    kind = kinds.get(key)
    return Condition.model_validate(_from_old_form(key, value)) if kind is None else kind.model_validate({key: value})


def _read_parts(content: Any) -> Any:
    if not isinstance(content, list | tuple):
        raise ValueError("takes a list of conditions: put '- ' before each")  # noqa: TRY004
    if not content:
        raise ValueError("the list is empty; give at least one condition or remove it")
    return tuple(content)


class Condition(BaseModel):
    """One condition: column, operator and value (a list for ``in``, ``not_in`` and ``descendant_of``).

    The null operators have no value. Lists are kept sorted and without repeats, and whole floats as integers, so
    that filters that mean the same have the same digest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    op: Operator
    value: Scalar | tuple[Scalar, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, content: Any) -> Any:
        if not isinstance(content, Mapping):
            raise ValueError(f"{content!r} is not a condition: {_EXAMPLE}")  # noqa: TRY004
        unknown = sorted(str(key) for key in content if key not in ("column", "op", "value"))
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is not part of a condition: {_EXAMPLE}")
        column = content.get("column")
        if not isinstance(column, str) or not column.strip():
            raise ValueError(f"a condition must name its column: {_EXAMPLE}")
        op = check_operator(column, content.get("op"))
        return {"column": column, "op": op, "value": check_value(column, op, content.get("value"))}

    def __str__(self) -> str:
        value = "" if self.value is None else f" {list(self.value) if isinstance(self.value, tuple) else self.value!r}"
        return f"{self.column} {self.op}{value}"


class AnyOf(BaseModel):
    """Conditions of which at least one must hold: OR of SQL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    any: Annotated[tuple["Part", ...], BeforeValidator(_read_parts)]

    def __str__(self) -> str:
        return f"any ({'; '.join(map(str, self.any))})"


class AllOf(BaseModel):
    """Conditions that all must hold: AND of SQL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    all: Annotated[tuple["Part", ...], BeforeValidator(_read_parts)]

    def __str__(self) -> str:
        return f"all ({'; '.join(map(str, self.all))})"


class NotOf(BaseModel):
    """A condition that must be false: NOT of SQL. It is not enough that a null leaves it open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    part: "Part" = Field(alias="not")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, content: Any) -> Any:
        if isinstance(content, Mapping) and isinstance(content.get("not"), list | tuple):
            raise ValueError(  # noqa: TRY004
                "takes one condition, not a list: write not: {any: [...]} or not: {all: [...]}"
            )
        return content

    @model_serializer
    def _write(self) -> dict[str, Any]:
        return {"not": self.part.model_dump()}

    def __str__(self) -> str:
        return f"not ({self.part})"


Part: TypeAlias = Annotated[Condition | AnyOf | AllOf | NotOf, BeforeValidator(_read_part)]
"""What a filter is made of."""
for _class in (AnyOf, AllOf, NotOf):
    _class.model_rebuild()


class CellFilter(BaseModel):
    """Conditions that all must hold.

    Read from a list of ``{column, op, value}`` and of ``{any: [...]}``, ``{all: [...]}``, ``{not: {...}}``, which
    nest; from the old mapping ``{"column__op": value}``, whose keys may also be ``any``, ``all`` and ``not``; from
    nothing; or from what it was written as. Nulls follow SQL at every level: a comparison with a null is neither
    true nor false, nor is its negation, and a cell is selected when the whole is true.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    conditions: tuple[Part, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read(cls, content: Any) -> Any:
        if content is None:
            return {"conditions": ()}
        if isinstance(content, str | bytes):
            raise ValueError("a filter is a list of {column: …, op: …, value: …}, not text")  # noqa: TRY004
        _check_size(content)
        if isinstance(content, list | tuple):
            return {"conditions": tuple(content)}
        if not isinstance(content, Mapping):
            return content
        if set(content) == {"conditions"} and isinstance(content["conditions"], list | tuple):
            return content
        if {"column", "op"} <= set(content):
            raise ValueError("a filter is a list of conditions: put '- ' before this one")
        return {
            "conditions": tuple(
                {key: value} if key in GROUPS else _from_old_form(key, value) for key, value in content.items()
            )
        }

    @model_validator(mode="after")
    def _check_number(self) -> "CellFilter":
        if sum(1 for _ in self.leaves()) > MOST:
            raise ValueError(_TOO_MANY)
        return self

    def normal(self) -> "CellFilter":
        """Return the one form of all filters that differ in order, repeats and needless brackets only.

        :return: A filter that selects the same cells.
        """
        parts = _flat(AllOf, tuple(_normal(part) for part in self.conditions))
        return CellFilter(conditions=parts)

    def leaves(self) -> Iterator[Condition]:
        """Give every condition, however deep."""
        open_parts: list[Condition | AnyOf | AllOf | NotOf] = list(reversed(self.conditions))
        while open_parts:
            part = open_parts.pop()
            if isinstance(part, Condition):
                yield part
            else:
                open_parts += reversed(_inner(part))


def _inner(part: AnyOf | AllOf | NotOf) -> tuple[Any, ...]:
    return part.any if isinstance(part, AnyOf) else part.all if isinstance(part, AllOf) else (part.part,)


def _normal(part: Any) -> Any:
    if isinstance(part, Condition):
        if part.op in ("in", "not_in") and isinstance(part.value, tuple) and len(part.value) == 1:
            one = "eq" if part.op == "in" else "not_eq"
            return Condition.model_validate({"column": part.column, "op": one, "value": part.value[0]})
        return part
    inner = tuple(_normal(item) for item in _inner(part))
    if isinstance(part, NotOf):
        return inner[0].part if isinstance(inner[0], NotOf) else NotOf.model_validate({"not": inner[0]})
    parts = _flat(type(part), inner)
    if len(parts) == 1:
        return parts[0]
    return AnyOf(any=parts) if isinstance(part, AnyOf) else AllOf(all=parts)


def _flat(kind: type[AnyOf | AllOf], parts: tuple[Any, ...]) -> tuple[Any, ...]:
    # An any inside an any, and an all inside an all, say nothing; nor do order and repeats.
    flat = [item for part in parts for item in (_inner(part) if isinstance(part, kind) else (part,))]
    by_text = {json.dumps(item.model_dump(mode="json"), sort_keys=True): item for item in flat}
    return tuple(by_text[text] for text in sorted(by_text))


def _check_size(content: Any) -> None:
    """Refuse what nests without end (an alias in YAML can name what it is in) or is too large for a statement."""
    level, depth, count = [content], 0, 0
    while level:
        below: list[Any] = []
        for item in level:
            if isinstance(item, list | tuple):
                below += item
            elif isinstance(item, Mapping):
                below += [value for key, value in item.items() if key in GROUPS or key == "conditions"]
        count += len(below)
        depth += 1
        if depth > 2 * DEEPEST:
            raise ValueError(f"any, all and not nest more than {DEEPEST} levels deep; write the filter flatter")
        if count > 10 * MOST:
            raise ValueError(_TOO_MANY)
        level = below


def _from_old_form(key: Any, value: Any) -> dict[str, Any]:
    column, separator, op = str(key).rpartition("__")
    if not separator or not column or not op:
        raise ValueError(
            f"filter key {key!r} has no operator: write '{key}__eq' or another of {', '.join(OPERATORS)} after '__'"
        )
    if op not in OPERATORS:
        near = nearest_operator(op)
        raise ValueError(
            f"filter key {key!r} does not end in a known operator: did you mean '{column}__{near}', or '{key}__eq' "
            f"for a column {key!r}"
        )
    return {"column": column, "op": op, "value": value}
