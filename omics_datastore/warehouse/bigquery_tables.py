"""The dataset, the four tables and the view of a warehouse in BigQuery: made when missing, else checked for drift."""

from typing import Any

from omics_datastore.errors import InputError
from omics_datastore.schema.bigquery import bigquery_schema
from omics_datastore.schema.tables import INGEST_INFO, TABLES, Table
from omics_datastore.warehouse.bigquery_address import BigQueryAddress
from omics_datastore.warehouse.bigquery_errors import explained
from omics_datastore.warehouse.bigquery_statements import COO_VIEW, coo_view_query

_LATER_COLUMNS = {INGEST_INFO.name: ("retired_at",)}
"""Nullable columns that tables made by an older version lack."""

_OLD_NAMES = {"INTEGER": "INT64", "BOOLEAN": "BOOL", "FLOAT": "FLOAT64", "RECORD": "STRUCT"}


def prepare_tables(client: Any, address: BigQueryAddress) -> None:
    """Make the dataset and its tables where they are missing; check those that are there.

    :param client: ``google.cloud.bigquery.Client``.
    :param address: The warehouse.
    :raise InputError: When the dataset lies elsewhere, or the columns of a table are not what Nexus expects.
    """
    with explained(address):
        _prepare_dataset(client, address)
        for table in TABLES:
            _prepare_table(client, address, table)
        _prepare_view(client, address)


def _prepare_dataset(client: Any, address: BigQueryAddress) -> None:
    from google.api_core.exceptions import Conflict, NotFound
    from google.cloud.bigquery import Dataset

    name = f"{address.project}.{address.dataset}"
    try:
        found = client.get_dataset(name)
    except NotFound:
        dataset = Dataset(name)
        dataset.location = address.location
        dataset.description = "The warehouse of Nexus: single-cell counts. Written by Nexus only."
        dataset.labels = {"application": "nexus", **address.labels}
        dataset.storage_billing_model = "PHYSICAL"  # lists of small numbers compress well
        try:
            found = client.create_dataset(dataset)
        except Conflict:
            found = client.get_dataset(name)
    if found.location.casefold() != address.location.casefold():
        raise InputError(
            f"BigQuery dataset {name} lies in {found.location}, not in {address.location}: set NEXUS_LOCATION to "
            f"{found.location}, or name another dataset in NEXUS_BIGQUERY_DATASET."
        )


def _prepare_table(client: Any, address: BigQueryAddress, table: Table) -> None:
    from google.api_core.exceptions import Conflict, NotFound
    from google.cloud import bigquery

    name = address.table(table.name)
    try:
        found = client.get_table(name)
    except NotFound:
        made = bigquery.Table(name, [bigquery.SchemaField.from_api_repr(column) for column in bigquery_schema(table)])
        made.clustering_fields = list(table.clustering)
        made.description = table.description
        made.labels = {"application": "nexus", **address.labels}
        try:
            found = client.create_table(made)
        except Conflict:
            found = client.get_table(name)
    _check_columns(name, table, _with_new_columns(client, table, found))


def _with_new_columns(client: Any, table: Table, found: Any) -> Any:
    """Give a table of an older Nexus the columns that came later."""
    from google.cloud import bigquery

    seen = {column.name for column in found.schema}
    lacking = [column for column in bigquery_schema(table) if column["name"] not in seen]
    # A table that lacks what every version had has drifted, or is somebody else's.
    later = _LATER_COLUMNS.get(table.name, ())
    if found.table_type != "TABLE" or not lacking or any(column["name"] not in later for column in lacking):
        return found
    found.schema = [*found.schema, *(bigquery.SchemaField.from_api_repr(column) for column in lacking)]
    return client.update_table(found, ["schema"])


def _check_columns(name: str, table: Table, found: Any) -> None:
    if found.table_type != "TABLE":
        raise InputError(f"BigQuery {name} is a {found.table_type}, not a table: name another NEXUS_BIGQUERY_DATASET.")
    seen = {column.name: _kind(column.field_type, column.mode) for column in found.schema}
    expected = {column["name"]: _kind(column["type"], column["mode"]) for column in bigquery_schema(table)}
    for column, kind in expected.items():
        if seen.get(column) != kind:
            what = f"is {seen[column]}" if column in seen else "is missing"
            raise InputError(
                f"BigQuery table {name} is not what this version of Nexus expects: column {column} {what}, expected "
                f"{kind}; change the column, or name another dataset in NEXUS_BIGQUERY_DATASET."
            )
    unknown = [column for column in found.schema if column.name not in expected and column.mode == "REQUIRED"]
    if unknown:
        raise InputError(
            f"BigQuery table {name} is not what this version of Nexus expects: column {unknown[0].name} is required "
            f"and Nexus does not fill it; make it nullable, or name another dataset in NEXUS_BIGQUERY_DATASET."
        )
    clustering = list(found.clustering_fields or [])
    if clustering != list(table.clustering):
        raise InputError(
            f"BigQuery table {name} is clustered by {', '.join(clustering) or 'nothing'}, expected "
            f"{', '.join(table.clustering)}: run 'bq update --clustering_fields={','.join(table.clustering)} "
            f"{name.replace('.', ':', 1)}'."
        )


def _kind(field_type: str, mode: str) -> str:
    kind = _OLD_NAMES.get(field_type, field_type)
    # A REQUIRED column that was relaxed still takes every row that Nexus writes.
    return f"ARRAY<{kind}>" if mode == "REPEATED" else kind


def _prepare_view(client: Any, address: BigQueryAddress) -> None:
    from google.api_core.exceptions import Conflict, NotFound
    from google.cloud import bigquery

    name = address.table(COO_VIEW)
    query = coo_view_query(lambda table: f"`{address.table(table)}`")
    try:
        found = client.get_table(name)
    except NotFound:
        view = bigquery.Table(name)
        view.view_query = query
        view.description = "The counts of committed ingests, one row a nonzero count."
        view.labels = {"application": "nexus", **address.labels}
        try:
            client.create_table(view)
        except Conflict:
            return
    else:
        if found.view_query != query:
            found.view_query = query
            client.update_table(found, ["view_query"])
