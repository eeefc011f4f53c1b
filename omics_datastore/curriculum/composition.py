"""What shards hold against the whole: cells of each dataset, or of each value of a column, in some of the shards."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from omics_datastore.curriculum.plan_cells import OBS_PREFIX, GroupReader
from omics_datastore.curriculum.plan_model import CurriculumPlan, PlannedBin
from omics_datastore.storage.object_store import ObjectStore

SHARDS = 12
"""Shards that are looked at, spread evenly over all."""
_PARTS = 8
_OTHER = "others"
_MISSING = "(not given)"


@dataclass(frozen=True)
class Composition:
    """Cells by part.

    ``column`` is ``dataset`` or an obs column; ``parts`` its values, the largest first, what is small summed up as
    ``others``; ``whole`` the cells of each part, of all shards or, where ``is_all`` is false, of those looked at;
    ``shards`` the same for each of them by its number.
    """

    column: str
    parts: list[str]
    whole: list[int]
    is_all: bool
    shards: dict[int, list[int]]


def shard_composition(plan: CurriculumPlan, store: ObjectStore) -> Composition | None:
    """Compare some shards with the whole, from the plan: no count and no shard is read.

    The column is the first of ``group_by``, the dataset where there are several, or the first categorical obs column.

    :param plan: The plan.
    :param store: Object store.
    :return: The composition; ``None`` when there is nothing to tell cells apart by.
    :raise CorruptionError: When a file of cells is not what was written.
    """
    bins = chosen_bins(plan.bins)
    datasets = {ingest.ingest_id: ingest.dataset for ingest in plan.ingests}
    if bins[0].group:
        column = next(iter(bins[0].group))
        of_groups = [(_name((item.group or {}).get(column)), item.cells) for item in plan.bins]
        found = {item.bin: {_name((item.group or {}).get(column)): item.cells} for item in bins}
        return _composition(column, _sum(of_groups), found, is_all=True)
    if len(set(datasets.values())) > 1:
        rows = _read(plan, bins, store, "ingest_id")
        found = {
            number: _sum((datasets[str(name)], cells) for name, cells in counts) for number, counts in rows.items()
        }
        whole = _sum((ingest.dataset, ingest.cells) for ingest in plan.ingests)
        return _composition("dataset", whole, found, is_all=True)
    chosen = next((column for column in plan.obs_columns if len(column.categories or []) > 1), None)
    if chosen is None:
        return None
    rows = _read(plan, bins, store, f"{OBS_PREFIX}{chosen.name}")
    found = {number: _sum((_name(value), cells) for value, cells in counts) for number, counts in rows.items()}
    whole = _sum(pair for counts in found.values() for pair in counts.items())
    return _composition(chosen.name, whole, found, is_all=len(bins) == len(plan.bins))


def chosen_bins(bins: Sequence[PlannedBin], most: int = SHARDS) -> list[PlannedBin]:
    """Choose bins, spread evenly, the first and the last among them.

    :param bins: All bins, at least one.
    :param most: How many at most, at least two.
    :return: Bins in order.
    """
    if len(bins) <= most:
        return list(bins)
    return [bins[number * (len(bins) - 1) // (most - 1)] for number in range(most)]


def _read(
    plan: CurriculumPlan, bins: Sequence[PlannedBin], store: ObjectStore, column: str
) -> dict[int, list[tuple[object, int]]]:
    found: dict[int, list[tuple[object, int]]] = {}
    for group in plan.groups:
        wanted = [item.bin for item in bins if group.first_bin <= item.bin <= group.last_bin]
        if not wanted:
            continue
        with store.local_copy(group.key) as path:
            reader = GroupReader(store, group, path)
            for number in wanted:
                counts = reader.bins(number, number, [column]).group_by(column).agg(pl.len())
                found[number] = [(value, int(cells)) for value, cells in counts.iter_rows()]
    return found


def _composition(
    column: str, whole: Mapping[str, int], shards: Mapping[int, Mapping[str, int]], *, is_all: bool
) -> Composition:
    order = sorted(whole, key=lambda part: (-whole[part], part))
    shown, rest = (order, []) if len(order) <= _PARTS else (order[: _PARTS - 1], order[_PARTS - 1 :])

    def cells(counts: Mapping[str, int]) -> list[int]:
        return [counts.get(part, 0) for part in shown] + ([sum(counts.get(part, 0) for part in rest)] if rest else [])

    parts = [*shown, _OTHER] if rest else shown
    return Composition(
        column, parts, cells(whole), is_all, {number: cells(counts) for number, counts in shards.items()}
    )


def _sum(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part, cells in pairs:
        found[part] = found.get(part, 0) + cells
    return found


def _name(value: object) -> str:
    return _MISSING if value is None or value == "" else str(value)
