"""Which obs columns shards have, of which kind and with which categories: decided once for a curriculum."""

from dataclasses import dataclass
from typing import Literal

import ibis.expr.types as ir

from omics_datastore.curriculum.plan_model import ObsColumn
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.errors import InputError
from omics_datastore.query.columns import column_type
from omics_datastore.query.curriculum import distinct_values, summarise_columns
from omics_datastore.query.filters import EXTRA_PREFIX
from omics_datastore.schema.tables import ColumnType
from omics_datastore.warehouse.warehouse import Warehouse

FIXED_COLUMNS = ("ingest_id", "cell_index", "original_id", "total_mrna_umis")
"""The obs columns every shard begins with."""

ALWAYS_STRING = ("original_id",)

SPLIT = "split"
"""The obs column that names the split of a cell, the last, where the specification has a split."""

NO_GROUP_COLUMNS = ("cell_index", "shuffle_key", "original_id")
"""Columns that cannot make groups."""


@dataclass(frozen=True)
class ObsSource:
    """Where an obs column comes from: its name, the warehouse's column, and that column's type."""

    name: str
    column: str
    type: ColumnType


def obs_sources(specification: CurriculumSpecification) -> list[ObsSource]:
    """List the obs columns of a specification in order.

    :param specification: The specification.
    :return: The fixed columns, ``obs_columns``, ``metadata_extra_columns``, and those of ``group_by``; each name once.
    :raise InputError: When a column is not known (near names are given), or a key cannot be an obs column.
    """
    keys = [name.removeprefix(EXTRA_PREFIX) for name in specification.group_by if name.startswith(EXTRA_PREFIX)]
    groups = [name for name in specification.group_by if not name.startswith(EXTRA_PREFIX)]
    for name in specification.group_by:
        check_group_column("group_by", name)
    taken = [SPLIT] if specification.split else []
    names = list(dict.fromkeys((*FIXED_COLUMNS, *specification.obs_columns, *groups)))
    sources: list[ObsSource] = []
    for name in names:
        if name.startswith(EXTRA_PREFIX):
            key = name.removeprefix(EXTRA_PREFIX)
            raise InputError(f"obs_columns: write {key!r} under metadata_extra_columns instead of {name!r} here.")
        sources.append(ObsSource(name, name, column_type(name)))
    for key in dict.fromkeys((*specification.metadata_extra_columns, *keys)):
        _check_key(key, [*names, *taken])
        sources.append(ObsSource(key, f"{EXTRA_PREFIX}{key}", ColumnType.STRING))
    return sources


def check_group_column(where: str, name: str, instead: str = "name a column that cells share") -> ColumnType:
    """Check a column whose values are to make groups of cells.

    :param where: What names it, for messages.
    :param name: The column.
    :param instead: What to do about one that makes none.
    :return: Its type.
    :raise InputError: When there is no such column, or every cell has a value of its own.
    """
    if name in NO_GROUP_COLUMNS:
        raise InputError(f"{where}: {name} differs from cell to cell; {instead}.")
    try:
        return column_type(name)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def decide_obs_layout(sources: list[ObsSource], cells: ir.Table, warehouse: Warehouse, limit: int) -> list[ObsColumn]:
    """Decide kind and categories of obs columns from all selected cells.

    :param sources: Result of :func:`obs_sources`.
    :param cells: The selected cells.
    :param warehouse: The warehouse.
    :param limit: Text columns of more distinct values are plain text.
    :return: One column a source, in order. Categories are sorted by code point.
    """
    columns = [source.column for source in sources]
    summary = warehouse.query(summarise_columns(cells, columns)).row(0, named=True)
    layout = [
        ObsColumn(name=source.name, kind=_kind(source, summary[f"nulls_{i}"], summary[f"distinct_{i}"], limit))
        for i, source in enumerate(sources)
    ]
    categorical = [number for number, column in enumerate(layout) if column.kind == "category"]
    found: list[list[str]] = [[] for _ in categorical]
    if categorical:
        values = warehouse.query(distinct_values(cells, [columns[number] for number in categorical]))
        for place, value in values.iter_rows():
            found[place].append(value)
    for number, categories in zip(categorical, found, strict=True):
        layout[number].categories = sorted(categories)
    return layout


def split_column(specification: CurriculumSpecification) -> list[ObsColumn]:
    """Return the obs column that names the split of a cell.

    :param specification: The specification.
    :return: The column, or nothing when there is no split.
    """
    if specification.split is None:
        return []
    return [ObsColumn(name=SPLIT, kind="category", categories=sorted(specification.split.names))]


def _kind(
    source: ObsSource, nulls: int, distinct: int, limit: int
) -> Literal["category", "string", "int64", "float64", "bool", "boolean"]:
    if source.type is ColumnType.INT64:
        return "float64" if nulls else "int64"
    if source.type is ColumnType.BOOL:
        return "boolean" if nulls else "bool"
    return "string" if source.name in ALWAYS_STRING or distinct > limit else "category"


def _check_key(key: str, taken: list[str]) -> None:
    where = f"metadata_extra_columns: {key!r}"
    if key in taken:
        raise InputError(f"{where} is the name of another obs column; leave one of the two out.")
    if key.startswith(EXTRA_PREFIX):
        raise InputError(f"{where} repeats metadata_extra; write {key.removeprefix(EXTRA_PREFIX)!r}.")
    if not key.strip() or key == "_index" or "/" in key or "\0" in key or key in (".", ".."):
        raise InputError(f"{where} cannot be an obs column: anndata takes no '/' and no empty name; leave it out.")
