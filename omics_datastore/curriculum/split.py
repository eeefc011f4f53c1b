"""The split of a specification, as somebody writes it: by which column, and the share of each part.

No cell is looked at here; see :mod:`omics_datastore.curriculum.splits`.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from omics_datastore.keys import check_key

CELL = "cell"
"""What ``by`` names to place each cell by itself."""

REST = "rest"
_ROUNDING = Fraction(1, 10**9)
_EXAMPLE = "write split: {by: donor_id, train: 0.9, validation: 0.1}"


class SplitShare(BaseModel):
    """A named part and its share: a fraction, ``rest``, or the values that it holds (sorted, null first)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    share: float | Literal["rest"] | tuple[str | None, ...]

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return check_key("split", name)

    @field_validator("share", mode="before")
    @classmethod
    def _read_share(cls, share: Any) -> Any:
        if isinstance(share, list | tuple):
            return _read_values(share)
        if share == REST:
            return share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise ValueError(f"{share!r} is no share: write a fraction above 0, rest, or a list of values")
        return float(share)

    @property
    def values(self) -> tuple[str | None, ...] | None:
        """Return the values that were listed, or ``None`` when the share is no list."""
        return self.share if isinstance(self.share, tuple) else None


class Split(BaseModel):
    """Divide the cells of a curriculum into named parts, in the order written; all cells of one value are in one part.

    ``by`` is a column of text, or ``cell``. Values that a part lists are in it; the others are placed by a hash, in
    proportion to the fractions, which with ``rest`` come to 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: str = Field(description="A column of text, dataset among them, or cell.")
    shares: tuple[SplitShare, ...] = Field(description="The parts in order.")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, content: Any) -> Any:
        if not isinstance(content, Mapping) or not isinstance(content.get("by"), str) or not content["by"].strip():
            raise ValueError(f"names no column to split by: {_EXAMPLE}")
        parts = {key: value for key, value in content.items() if key != "by"}
        shares = parts.pop("shares", {})
        if parts and shares:
            raise ValueError(f"{', '.join(map(str, parts))} stands beside shares; write all parts in one place")
        shares = parts or shares
        if isinstance(shares, Mapping):
            shares = [{"name": str(name), "share": share} for name, share in shares.items()]
        return {"by": content["by"], "shares": shares}

    @model_validator(mode="after")
    def _check_shares(self) -> "Split":
        names = [part.name for part in self.shares]
        if len(names) < 2 or len(set(names)) < len(names):
            raise ValueError(f"takes two parts or more, of different names: {_EXAMPLE}")
        listed = [value for part in self.shares for value in part.values or ()]
        if listed and self.by == CELL:
            raise ValueError("by cell takes fractions, not lists of values: cells have no names of their own")
        twice = (
            sorted({str(value) for value in listed if listed.count(value) > 1})
            if len(set(listed)) < len(listed)
            else []
        )
        if twice:
            raise ValueError(f"{twice[0]} is listed twice; a value is in one part only")
        fractions = [Fraction(str(part.share)) for part in self.shares if isinstance(part.share, float)]
        total = sum(fractions, Fraction(0))
        rests = sum(part.share == REST for part in self.shares)
        if rests > 1:
            raise ValueError("has rest more than once; give the other parts fractions or lists")
        if rests and total > 1 - _ROUNDING:
            raise ValueError(f"leaves nothing for rest: the fractions come to {float(total):g}")
        if not rests and fractions and abs(total - 1) > _ROUNDING:
            raise ValueError(f"has fractions that come to {float(total):g}, not 1; write rest for one of them")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the parts in order."""
        return tuple(part.name for part in self.shares)

    def limits(self, space: int) -> list[tuple[str, int]]:
        """Divide whole numbers among the parts that have a fraction or ``rest``.

        :param space: The numbers are from 0 up to, not including, this one.
        :return: Parts in order, and the number after the last of each; empty when every part is a list.
        """
        asked = [part for part in self.shares if part.values is None]
        fractions = [Fraction(str(part.share)) for part in asked if part.share != REST]
        ends: list[tuple[str, int]] = []
        end = Fraction(0)
        for part in asked:
            end += 1 - sum(fractions) if part.share == REST else Fraction(str(part.share))
            ends.append((part.name, int(end * space)))
        return [*ends[:-1], (ends[-1][0], space)] if ends else []


def _read_values(values: list[Any] | tuple[Any, ...]) -> tuple[str | None, ...]:
    if not values:
        raise ValueError("the list of values is empty; give at least one value")
    for value in values:
        if value is not None and not isinstance(value, str):
            raise ValueError(f"the value {value!r} is no text; quote it")
    if len(set(values)) < len(values):
        raise ValueError(f"{next(value for value in values if values.count(value) > 1)!r} is listed twice")
    return tuple(sorted(values, key=lambda value: (value is not None, value or "")))
