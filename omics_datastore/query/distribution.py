"""The query for a histogram of a numeric column, in logarithmic classes."""

import ibis
import ibis.expr.types as ir

CLASSES_PER_DECADE = 8


def log_histogram(cells: ir.Table, column: str) -> ir.Table:
    """Count cells in logarithmic classes of a positive column.

    Class k holds the values from 10**(k / 8) up to, not including, 10**((k + 1) / 8); values below 1 are left out.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`.
    :param column: An int64 column of ``cell_info``.
    :return: ``bucket`` (int64 k) and ``cells``, ascending.
    """
    positive = cells.filter(cells[column] >= 1)
    bucket = (positive[column].cast("float64").log10() * CLASSES_PER_DECADE).floor().cast("int64")
    counts = positive.select(bucket=bucket).group_by("bucket").aggregate(cells=lambda table: table.count())
    return counts.order_by(ibis.asc("bucket"))
