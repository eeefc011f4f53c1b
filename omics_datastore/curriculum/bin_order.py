"""The cells of a curriculum bin by bin, in the order that the specification asks for; streamed from the warehouse."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import polars as pl

from omics_datastore.curriculum.obs_layout import SPLIT, ObsSource
from omics_datastore.curriculum.plan_cells import OBS_PREFIX, BinCells
from omics_datastore.curriculum.selection import Selection
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.splits import Part
from omics_datastore.query.curriculum import cells_in_exact_order, cells_in_groups, cells_in_store_order
from omics_datastore.shuffle import key_spans, rotation
from omics_datastore.warehouse.warehouse import Warehouse

_STREAM_ROWS = 65_536
_BIN_OF_GROUP = "bin_of_group"


def bins_in_order(
    specification: CurriculumSpecification, sources: list[ObsSource], selection: Selection, warehouse: Warehouse
) -> Iterator[BinCells]:
    """Give the bins of a curriculum in order, those of the first split first.

    Memory holds a bin, and some rows more.

    :param specification: The specification.
    :param sources: The obs columns.
    :param selection: The selected cells.
    :param warehouse: The warehouse.
    :return: The bins, numbered from 0.
    """
    names = {f"obs_{number}": f"{OBS_PREFIX}{source.name}" for number, source in enumerate(sources)}
    columns = [source.column for source in sources]
    marks: list[str] = []
    if specification.group_by:
        marks = [*(f"group_{number}" for number in range(len(specification.group_by))), _BIN_OF_GROUP]
    number = first = 0
    for part in selection.parts:
        if marks:
            frames = _grouped(specification, columns, marks, part, warehouse)
        else:
            frames = _regroup(_ungrouped(specification, columns, part, warehouse), specification.bin_size)
        for cells in frames:
            values = cells.select(marks).row(0)[:-1] if marks else ()
            group = dict(zip(specification.group_by, values, strict=True)) if marks else None
            named = cells.drop(marks).rename(names)
            if part.name is not None:
                named = named.with_columns(pl.lit(part.name).alias(f"{OBS_PREFIX}{SPLIT}"))
            yield BinCells(number, first, named, group, part.name)
            number, first = number + 1, first + cells.height


def _ungrouped(
    specification: CurriculumSpecification, columns: list[str], part: Part, warehouse: Warehouse
) -> Iterator[pl.DataFrame]:
    if specification.order == "exact":
        yield from warehouse.stream(cells_in_exact_order(part.cells, columns, specification.seed), _STREAM_ROWS)
        return
    first = rotation(specification.seed)
    parts = 1 if warehouse.sort_limit is None else -(-part.total_cells // warehouse.sort_limit)
    # Keys are evenly spread, so spans of one width hold about as many cells each.
    for span in key_spans(first, parts) if parts > 1 else [None]:
        yield from warehouse.stream(cells_in_store_order(part.cells, columns, first, span), _STREAM_ROWS)


def _grouped(
    specification: CurriculumSpecification,
    columns: list[str],
    marks: list[str],
    part: Part,
    warehouse: Warehouse,
) -> Iterator[pl.DataFrame]:
    expression = cells_in_groups(
        part.cells, columns, specification.group_by, specification.bin_size, specification.seed
    )
    held: pl.DataFrame | None = None
    for frame in warehouse.stream(expression, _STREAM_ROWS):
        held = frame if held is None else pl.concat([held, frame])
        runs = held.select(pl.struct(marks).rle_id()).to_series().to_numpy()
        starts = [0, *(np.flatnonzero(np.diff(runs)) + 1).tolist()]
        for start, end in pairwise(starts):
            yield held[start:end]
        held = held[starts[-1] :]
    if held is not None and held.height:
        yield held


def _regroup(frames: Iterator[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Give frames of a number of rows, but for the last."""
    held: list[pl.DataFrame] = []
    height = 0
    for frame in frames:
        held.append(frame)
        height += frame.height
        if height >= rows:
            whole = pl.concat(held)
            for start in range(0, height - rows + 1, rows):
                yield whole[start : start + rows]
            held, height = [whole[height - height % rows :]], height % rows
    if height:
        yield pl.concat(held)
