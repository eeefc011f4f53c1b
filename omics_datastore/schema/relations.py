"""Ibis relations of the tables, from which every query is built."""

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from omics_datastore.schema.tables import ColumnType, Table

_TYPES: dict[ColumnType, dt.DataType] = {
    ColumnType.STRING: dt.string,
    ColumnType.INT64: dt.int64,
    ColumnType.BOOL: dt.boolean,
    ColumnType.JSON: dt.json,
    ColumnType.TIMESTAMP: dt.Timestamp(timezone="UTC"),
    ColumnType.INT_LIST: dt.Array(dt.int64),
}


def relation(table: Table) -> ir.Table:
    """Return an unbound Ibis table with a warehouse table's name and columns.

    :param table: One of the warehouse tables.
    :return: The relation; it belongs to no connection.
    """
    columns = {column.name: _TYPES[column.type] for column in table.columns}
    return ibis.table(ibis.schema(columns), name=table.name)
