"""The queries over cells, each written once as an Ibis expression: select, count, group, list values, describe."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from omics_datastore.errors import InputError
from omics_datastore.query.columns import cell_column, null_safe_order, result_name
from omics_datastore.query.conditions import part_expression
from omics_datastore.query.filters import CellFilter
from omics_datastore.query.ontology import OntologyTerms, ontology_terms, with_terms
from omics_datastore.schema.relations import relation
from omics_datastore.schema.tables import CELL_INFO, INGEST_INFO, ONTOLOGY_COLUMNS

__all__ = ["cell_column", "column_values", "count_by", "count_cells", "describe_cells", "selected_cells"]

DISTINCT_COLUMNS = (*ONTOLOGY_COLUMNS, "donor_id", "suspension_type", "tissue_type", "tag")
"""The columns whose distinct values :func:`describe_cells` counts, as ``distinct_<column>``."""


def selected_cells(
    cell_filter: CellFilter, ingest_ids: Sequence[str] | None = None, terms: OntologyTerms | None = None
) -> ir.Table:
    """Return the cells that a filter selects.

    :param cell_filter: Conditions that all must hold; nulls follow SQL, ``not_eq`` and ``not_in`` do not find them.
    :param ingest_ids: Take cells of these ingests only; ``None`` takes those of every committed ingest.
    :param terms: What the filter's ``descendant_of`` mean; by default what the installed ontologies say.
    :return: The columns of ``cell_info``, and ``dataset``.
    :raise InputError: When a condition names no column or its value does not fit; the message names it.
    """
    datasets = relation(INGEST_INFO).select("ingest_id", "dataset")
    cells = relation(CELL_INFO).join(datasets, "ingest_id")
    if ingest_ids is not None:
        cells = cells.filter(cells["ingest_id"].isin(list(ingest_ids)) if ingest_ids else ibis.literal(False))
    for part in with_terms(cell_filter, terms or ontology_terms(cell_filter)).conditions:
        cells = cells.filter(part_expression(cells, part))
    return cells


def count_cells(cells: ir.Table) -> ir.Table:
    """Count cells.

    :param cells: Result of :func:`selected_cells`.
    :return: One row with the int64 column ``cells``.
    """
    return cells.aggregate(cells=cells.count())


def count_by(cells: ir.Table, columns: Sequence[str]) -> ir.Table:
    """Count cells for every combination of values.

    :param cells: Result of :func:`selected_cells`.
    :param columns: Columns as :func:`cell_column` takes them; at least one, none twice.
    :return: The columns, called as :func:`omics_datastore.query.columns.result_name` says, and ``cells``; most
        cells first, then by the columns, nulls first.
    :raise InputError: When there is no such column, or one is named twice.
    """
    if not columns or len(set(columns)) < len(columns):
        raise InputError(f"name one or more different columns to count by, not {', '.join(columns) or 'none'}.")
    keys = {result_name(name): cell_column(cells, name) for name in columns}
    counts = cells.select(**keys).group_by(list(keys)).aggregate(cells=lambda table: table.count())
    return counts.order_by([ibis.desc("cells"), *null_safe_order(counts, list(keys))])


def column_values(cells: ir.Table, column: str) -> ir.Table:
    """List the distinct values of a column.

    :param cells: Result of :func:`selected_cells`.
    :param column: A column as :func:`cell_column` takes it.
    :return: ``value`` (null once, if any is) and ``cells``; most cells first, then by value.
    :raise InputError: When there is no such column.
    """
    values = cells.select(value=cell_column(cells, column))
    counts = values.group_by("value").aggregate(cells=lambda table: table.count())
    return counts.order_by([ibis.desc("cells"), *null_safe_order(counts, ["value"])])


def describe_cells(cells: ir.Table) -> ir.Table:
    """Sum up cells.

    :param cells: Result of :func:`selected_cells`.
    :return: One row of int64: ``cells``, ``ingests``, ``datasets``; ``sum_``, ``min_`` and ``max_`` of
        ``total_mrna_umis`` and ``n_features`` (sums 0, the others null, when there are no cells); and
        ``distinct_<column>``, nulls not counted, for :data:`DISTINCT_COLUMNS`.
    """
    totals = {"cells": cells.count(), "ingests": cells["ingest_id"].nunique(), "datasets": cells["dataset"].nunique()}
    for name in ("total_mrna_umis", "n_features"):
        totals[f"sum_{name}"] = ibis.coalesce(cells[name].sum(), 0)
        totals[f"min_{name}"] = cells[name].min()
        totals[f"max_{name}"] = cells[name].max()
    for name in DISTINCT_COLUMNS:
        totals[f"distinct_{name}"] = cells[name].nunique()
    return cells.aggregate(**totals)
