"""The queries of splits: the cells whose value is among some, and the cells of ranges of mixed shuffle keys."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from omics_datastore.query.columns import cell_column
from omics_datastore.query.mixing import mixed
from omics_datastore.query.text_among import text_among


def cells_with_values(cells: ir.Table, column: str, values: Sequence[str | None], *, others: bool = False) -> ir.Table:
    """Keep the cells whose value of a column is one of some.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`.
    :param column: A column of text, as :func:`omics_datastore.query.columns.cell_column` takes it.
    :param values: The values; null is a value of its own.
    :param others: Keep the cells of every other value instead.
    :return: Cells with the same columns.
    """
    value = cell_column(cells, column)
    named = [text for text in values if text is not None]
    among = ibis.coalesce(text_among(value, named), ibis.literal(False)) if named else ibis.literal(False)
    if None in values:
        among = among | value.isnull()
    return cells.filter(~among if others else among)


def cells_with_keys(cells: ir.Table, span: tuple[int, int], rounds: Sequence[tuple[int, int]]) -> ir.Table:
    """Keep the cells whose mixed shuffle key lies in a range.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`.
    :param span: First and last key.
    :param rounds: Result of :func:`omics_datastore.shuffle.mixing_rounds`.
    :return: Cells with the same columns.
    """
    key = mixed(cells["shuffle_key"], rounds)
    first, last = (ibis.literal(end, "int64") for end in span)
    return cells.filter(key >= first, key <= last)


def count_by_keys(cells: ir.Table, ends: Sequence[int], rounds: Sequence[tuple[int, int]]) -> ir.Table:
    """Count the cells of ranges of mixed shuffle keys.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`.
    :param ends: The key after the last of each range but the final one, ascending.
    :param rounds: Result of :func:`omics_datastore.shuffle.mixing_rounds`.
    :return: ``number`` of the range, from 0, and ``cells``, by number; ranges without cells are left out.
    """
    zero, one = ibis.literal(0, "int64"), ibis.literal(1, "int64")
    keys = cells.select(key=mixed(cells["shuffle_key"], rounds))
    number = zero
    for end in ends:
        number = number + ibis.ifelse(keys["key"] >= ibis.literal(end, "int64"), one, zero)
    numbered = keys.select(number=number)
    return numbered.group_by("number").aggregate(cells=lambda table: table.count()).order_by("number")
