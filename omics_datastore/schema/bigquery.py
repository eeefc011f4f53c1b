"""BigQuery schemas of the tables as plain REST resources (no cloud SDK needed).

Types and modes: BigQuery REST reference, ``TableFieldSchema``. JSON columns are STRING columns of JSON text: load
jobs from Parquet refuse columns of type JSON ("Unsupported field type: JSON").
"""

from omics_datastore.schema.tables import ColumnType, Table

_TYPES = {ColumnType.INT_LIST: "INT64", ColumnType.JSON: "STRING"}


def bigquery_schema(table: Table) -> list[dict[str, str]]:
    """Return a table's fields as BigQuery REST ``TableFieldSchema`` resources.

    :param table: One of the warehouse tables.
    :return: One mapping a column with name, type, mode and description.
    """
    fields: list[dict[str, str]] = []
    for column in table.columns:
        is_list = column.type is ColumnType.INT_LIST
        mode = "REPEATED" if is_list else ("NULLABLE" if column.nullable else "REQUIRED")
        kind = _TYPES.get(column.type, column.type.value)
        fields.append({"name": column.name, "type": kind, "mode": mode, "description": column.description})
    return fields
