"""Let a query see committed ingests only, where a warehouse keeps rows of unfinished loads in the same tables."""

import ibis.expr.operations as ops
import ibis.expr.types as ir

from omics_datastore.schema.relations import relation
from omics_datastore.schema.tables import INGEST_INFO, TABLES


def only_committed(expression: ir.Table) -> ir.Table:
    """Return the same query over the rows whose ingest stands in ``ingest_info``.

    :param expression: Built over :mod:`omics_datastore.schema.relations`.
    :return: The query.
    :raise ValueError: When it reads a table that the warehouse does not have.
    """
    tables = expression.op().find(ops.UnboundTable)
    unknown = {table.name for table in tables} - {table.name for table in TABLES}
    if unknown:
        raise ValueError(f"no tables of the warehouse: {', '.join(sorted(unknown))}")
    ids = relation(INGEST_INFO)["ingest_id"]
    seen = {table: table.to_expr() for table in tables if table.name != INGEST_INFO.name}
    return (
        expression.op()
        .replace({table: rows.filter(rows["ingest_id"].isin(ids)).op() for table, rows in seen.items()})
        .to_expr()
    )
