"""The queries of caps: how large the groups of cells are, and the first cells of each by a mixed key."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from omics_datastore.query.columns import cell_column
from omics_datastore.query.mixing import mixed


def group_sizes(cells: ir.Table, per: Sequence[str], most: int | None, at_least: int) -> ir.Table:
    """Sum up the groups of cells that share values.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`.
    :param per: Columns as :func:`omics_datastore.query.columns.cell_column` takes them; null is a value of its own.
    :param most: Cells of a group that may stay; ``None`` for all.
    :param at_least: Groups of fewer cells do not stay.
    :return: One row of int64: ``cells``; ``largest`` group; of the groups that stay ``groups``, how many, ``smallest``
        (null when there is none), and ``kept``, cells that may stay.
    """
    zero, one = ibis.literal(0, "int64"), ibis.literal(1, "int64")
    values = cells.select(**_groups(cells, per))
    sizes = values.group_by(list(values.columns)).aggregate(size=lambda table: table.count())
    stays = sizes["size"] >= ibis.literal(at_least, "int64")
    kept = sizes["size"] if most is None else ibis.least(sizes["size"], ibis.literal(most, "int64"))
    return sizes.aggregate(
        cells=ibis.coalesce(sizes["size"].sum(), 0),
        largest=ibis.coalesce(sizes["size"].max(), 0),
        groups=ibis.coalesce(ibis.ifelse(stays, one, zero).sum(), 0),
        smallest=ibis.ifelse(stays, sizes["size"], ibis.null("int64")).min(),
        kept=ibis.coalesce(ibis.ifelse(stays, kept, zero).sum(), 0),
    )


def capped_cells(
    cells: ir.Table, per: Sequence[str], most: int, at_least: int, rounds: Sequence[tuple[int, int]]
) -> ir.Table:
    """Keep the cells of each group whose mixed shuffle keys are the smallest.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`.
    :param per: Columns as :func:`omics_datastore.query.columns.cell_column` takes them; null is a value of its own.
    :param most: Cells of a group that stay.
    :param at_least: Groups of fewer cells do not stay.
    :param rounds: Result of :func:`omics_datastore.shuffle.mixing_rounds`.
    :return: Cells with the same columns.
    """
    groups = list(_groups(cells, per).values())
    key = mixed(cells["shuffle_key"], rounds)
    within = ibis.window(group_by=groups, order_by=[key, cells["ingest_id"], cells["cell_index"]])
    marks = {"cap_place": ibis.row_number().over(within).cast("int64")}
    if at_least > 1:
        marks["cap_size"] = cells["shuffle_key"].count().over(ibis.window(group_by=groups))
    placed = cells.mutate(**marks)
    kept = placed["cap_place"] < ibis.literal(most, "int64")
    if at_least > 1:
        kept &= placed["cap_size"] >= ibis.literal(at_least, "int64")
    return placed.filter(kept).select(*cells.columns)


def _groups(cells: ir.Table, per: Sequence[str]) -> dict[str, ir.Value]:
    return {f"cap_group_{number}": cell_column(cells, name) for number, name in enumerate(per)}
