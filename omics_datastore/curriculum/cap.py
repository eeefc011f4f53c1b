"""A cap of a specification, as somebody writes it: how many cells of each group may stay. No cell is looked at here."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

SMALLEST = "smallest"


class Cap(BaseModel):
    """Keep at most some cells of each combination of values.

    ``cells: smallest`` cuts every group to the smallest one; groups of fewer than ``at_least`` cells are left out
    whole, before that is decided.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    per: tuple[str, ...] = Field(description="Columns whose values make the groups; null is a value of its own.")
    cells: int | Literal["smallest"] = Field(description="Cells of each group that may stay, or smallest.")
    at_least: Annotated[int, Field(ge=1)] = Field(1, description="Groups of fewer cells are left out.")

    @field_validator("per", mode="before")
    @classmethod
    def _read_columns(cls, per: Any) -> Any:
        columns = (per,) if isinstance(per, str) else per
        if not isinstance(columns, list | tuple) or not columns:
            raise ValueError("names no column: write a column, or a list of them")
        if len(set(map(str, columns))) < len(columns):
            raise ValueError(f"names a column twice in {', '.join(map(str, columns))}; leave one out")
        return tuple(columns)

    @field_validator("cells", mode="before")
    @classmethod
    def _read_cells(cls, cells: Any) -> Any:
        if cells != SMALLEST and (isinstance(cells, bool) or not isinstance(cells, int) or not 1 <= cells < 2**63):
            raise ValueError(f"{cells!r} is no number of cells: write one from 1, or smallest")
        return cells

    def __str__(self) -> str:
        groups = " and ".join(self.per)
        smallest = f"as many cells as the smallest {groups} has"
        kept = smallest if self.cells == SMALLEST else f"at most {self.cells} cells"
        least = f" that has at least {self.at_least}" if self.at_least > 1 else ""
        return f"{kept} of each {groups}{least}"


def read_caps(caps: Any) -> Any:
    """Put what was written for ``caps`` into a list: one cap may stand alone.

    :param caps: What was written.
    :return: A list of caps, or what Pydantic is to refuse.
    """
    if caps is None:
        return ()
    return (caps,) if isinstance(caps, dict | Cap) else caps
