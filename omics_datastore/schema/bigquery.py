"""BigQuery schemas of the tables as plain REST resources (no cloud SDK needed).

Types and modes: BigQuery REST reference, ``TableFieldSchema``.
"""

from omics_datastore.schema.tables import ColumnType, Table


def bigquery_schema(table: Table) -> list[dict[str, str]]:
    """Return a table's fields as BigQuery REST ``TableFieldSchema`` resources.

    :param table: One of the warehouse tables.
    :return: One mapping a column with name, type, mode and description.
    """
    fields: list[dict[str, str]] = []
    for column in table.columns:
        is_list = column.type is ColumnType.INT_LIST
        mode = "REPEATED" if is_list else ("NULLABLE" if column.nullable else "REQUIRED")
        kind = "INT64" if is_list else column.type.value
        fields.append({"name": column.name, "type": kind, "mode": mode, "description": column.description})
    return fields
