"""The named parts of a curriculum: which value is in which, and the cells of each.

A value's place depends on the seed and the value alone, so it stays when other values come and go.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import ibis.expr.types as ir

from omics_datastore.curriculum.obs_layout import check_group_column
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.split import CELL, Split
from omics_datastore.errors import InputError
from omics_datastore.keys import digest
from omics_datastore.query.cells import column_values
from omics_datastore.query.splits import cells_with_keys, cells_with_values, count_by_keys
from omics_datastore.schema.tables import ColumnType
from omics_datastore.shuffle import KEY_SPACE, mixing_rounds
from omics_datastore.warehouse.warehouse import Warehouse

MOST_VALUES = 200_000
"""Different values that a split may place."""

_MOST_BYTES = 800_000
"""Bytes of the values that one query may name; BigQuery takes a statement of 1 MB."""
_BYTES_AROUND = 8
_SEEDS_TRIED = 1000
_VALUES_TRIED = 100


@dataclass(frozen=True)
class Part:
    """Cells that are ordered by themselves: of one split, or all when ``name`` is ``None``.

    ``values`` are the values of the column in order, null first, or ``None`` when cells are split by themselves.
    """

    name: str | None
    cells: ir.Table
    total_cells: int
    values: tuple[str | None, ...] | None = None


def check_split(specification: CurriculumSpecification) -> None:
    """Check the column that a split names.

    :param specification: The specification.
    :raise InputError: When there is no such column, it is no text, or cells do not share its values.
    """
    if specification.split is None or specification.split.by == CELL:
        return
    by = specification.split.by
    kind = check_group_column("split", by, f"write by: {CELL}")
    if kind is not ColumnType.STRING:
        raise InputError(f"split: {by} is no column of text; split by one, by dataset, or by {CELL}.")


def place_values(split: Split, seed: int, values: Iterable[str | None]) -> dict[str | None, str | None]:
    """Tell which part each value belongs to.

    :param split: The split.
    :param seed: Seed of the specification.
    :param values: The values.
    :return: By value: the part that lists it, else the one that its hash falls to; ``None`` when every part is a list
        of others.
    """
    listed = {value: part.name for part in split.shares for value in part.values or ()}
    limits = split.limits(KEY_SPACE)

    def by_hash(value: str | None) -> str | None:
        key = int(digest(["split", seed, value])[:16], 16) >> 1
        return next((name for name, end in limits if key < end), None)

    return {value: listed[value] if value in listed else by_hash(value) for value in values}


def split_cells(specification: CurriculumSpecification, cells: ir.Table, warehouse: Warehouse) -> tuple[Part, ...]:
    """Divide the selected cells into the parts of a specification's split.

    :param specification: A specification with a split.
    :param cells: The selected cells.
    :param warehouse: The warehouse, which is asked once.
    :return: The parts in order; none is empty.
    :raise InputError: When a part is empty, a value is in none, or there are too many values.
    """
    split = specification.split
    if split is None:
        return ()
    parts = _by_cell if split.by == CELL else _by_value
    return parts(specification, split, cells, warehouse)


def unknown_values(specification: CurriculumSpecification, parts: Sequence[Part]) -> list[str]:
    """Say which values are listed that no selected cell has.

    :param specification: The specification.
    :param parts: Its parts.
    :return: One sentence a part that lists such values.
    """
    shares = specification.split.shares if specification.split else ()
    found: list[str] = []
    for share, part in zip(shares, parts, strict=True):
        gone = [str(value) for value in share.values or () if value not in (part.values or ())]
        if gone:
            found.append(f"split {share.name} lists {gone[0]} ({len(gone)} in all), which no selected cell has")
    return found


def _by_cell(
    specification: CurriculumSpecification, split: Split, cells: ir.Table, warehouse: Warehouse
) -> tuple[Part, ...]:
    rounds = mixing_rounds("split", specification.seed)
    limits = split.limits(KEY_SPACE)
    ends = [end for _, end in limits]
    counts = dict(warehouse.query(count_by_keys(cells, ends[:-1], rounds)).rows())
    parts: list[Part] = []
    for number, (name, end) in enumerate(limits):
        if not counts.get(number):
            raise InputError(
                f"split {name} of curriculum {specification.name} gets none of {sum(counts.values())} cells; give it a "
                "larger share, or use another seed."
            )
        span = (ends[number - 1] if number else 0, end - 1)
        parts.append(Part(name, cells_with_keys(cells, span, rounds), int(counts[number])))
    return tuple(parts)


def _by_value(
    specification: CurriculumSpecification, split: Split, cells: ir.Table, warehouse: Warehouse
) -> tuple[Part, ...]:
    rows = warehouse.query(column_values(cells, split.by).limit(MOST_VALUES + 1))
    if rows.height > MOST_VALUES:
        raise InputError(f"split: {split.by} has more than {MOST_VALUES} values; write by: {CELL}.")
    counts: dict[str | None, int] = dict(rows.select("value", "cells").rows())
    placed = place_values(split, specification.seed, counts)
    homeless = sorted(str(value) for value, name in placed.items() if name is None)
    if homeless:
        raise InputError(
            f"split: {split.by} {homeless[0]} ({len(homeless)} in all) is in no part; list it, or write rest for one."
        )
    values: dict[str, list[str | None]] = {name: [] for name in split.names}
    for value in sorted(placed, key=lambda value: (value is not None, value or "")):
        values[str(placed[value])].append(value)
    for name, its_values in values.items():
        if not its_values:
            raise InputError(_why_empty(specification, split, name, list(counts)))
    return tuple(
        Part(
            name, _restricted(split, cells, name, values), sum(counts[value] for value in its_values), tuple(its_values)
        )
        for name, its_values in values.items()
    )


def _restricted(split: Split, cells: ir.Table, name: str, values: dict[str, list[str | None]]) -> ir.Table:
    """Keep the cells of one part, naming the values of it or those of all others, whichever are fewer."""
    its = values[name]
    others = [value for other, its_values in values.items() if other != name for value in its_values]
    named = min(its, others, key=_size)
    if _size(named) > _MOST_BYTES:
        raise InputError(
            f"split: {split.by} has {len(its) + len(others)} values, more than a query can name; write by: {CELL}, or "
            "give one part most of them."
        )
    return cells_with_values(cells, split.by, named, others=named is others)


def _size(values: Sequence[str | None]) -> int:
    return sum(len((value or "").encode()) + _BYTES_AROUND for value in values)


def _why_empty(specification: CurriculumSpecification, split: Split, name: str, values: list[str | None]) -> str:
    part = next(part for part in split.shares if part.name == name)
    start = f"split {name} of curriculum {specification.name}"
    if part.values is not None:
        listed = ", ".join(str(value) for value in part.values[:3])
        return f"{start} lists {listed}, but no selected cell has such a {split.by}; list values that are there."
    if len(values) < len(split.shares):
        return (
            f"{start} gets no {split.by}: there are only {len(values)} for {len(split.shares)} parts; write by: {CELL}."
        )
    seed = _seed_that_fills(split, specification.seed, values)
    other = "give it a larger share" if seed is None else f"write seed: {seed}, which fills every part"
    return (
        f"{start} gets none of {len(values)} values of {split.by} under seed {specification.seed}; {other}, or list "
        "its values."
    )


def _seed_that_fills(split: Split, seed: int, values: Sequence[str | None]) -> int | None:
    listed = {value for part in split.shares for value in part.values or ()}
    few = [value for value in values if value not in listed][:_VALUES_TRIED]
    wanted = {name for name, _ in split.limits(KEY_SPACE)}
    if len(few) < len(wanted):
        return None
    others = (other for other in range(_SEEDS_TRIED) if other != seed)
    return next((other for other in others if wanted <= set(place_values(split, other, few).values())), None)
