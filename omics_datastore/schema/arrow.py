"""Arrow and Parquet schemas of the tables, derived from :mod:`omics_datastore.schema.tables`."""

import pyarrow as pa

from omics_datastore.schema.tables import ColumnType, Table

_TYPES: dict[ColumnType, pa.DataType] = {
    ColumnType.STRING: pa.string(),
    ColumnType.INT64: pa.int64(),
    ColumnType.BOOL: pa.bool_(),
    ColumnType.JSON: pa.string(),
    ColumnType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    # Counts and feature positions are below 2**31, so Parquet stores them in half the width.
    ColumnType.INT_LIST: pa.list_(pa.field("element", pa.int32(), nullable=False)),
}


def arrow_schema(table: Table) -> pa.Schema:
    """Return the Arrow schema of a table's Parquet files.

    :param table: One of the warehouse tables.
    :return: Fields in table order; JSON as text, integer lists as ``list<int32>``.
    """
    return pa.schema([pa.field(column.name, _TYPES[column.type], nullable=column.nullable) for column in table.columns])
