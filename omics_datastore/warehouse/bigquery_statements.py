"""The few statements for BigQuery that are no queries over the tables: what Ibis cannot say. Text only.

Names of tables are not qualified, the jobs name the dataset; values are query parameters.
"""

from collections.abc import Callable

from omics_datastore.schema.tables import DATA_TABLES, FEATURE_INFO, INGEST_INFO, RAW_COUNTS

COO_VIEW = "raw_counts_coo"

IDS = "ids"
"""The parameter of ingest ids, an array of text."""

ROWS = "rows"
"""The parameter of rows of ``ingest_info``, an array of structs."""


def count_rows_statement() -> str:
    """Count the rows of some ingests, committed or not, in each table. It reads one column of each.

    :return: A query with parameter ``ids`` and the result ``table_name``, ``ingest_id``, ``held``.
    """
    parts = [
        f"SELECT '{table.name}' AS table_name, ingest_id, COUNT(*) AS held FROM {table.name} "  # noqa: S608
        f"WHERE ingest_id IN UNNEST(@{IDS}) GROUP BY ingest_id"
        for table in DATA_TABLES
    ]
    return "\nUNION ALL ".join(parts)


def held_ingests_statement() -> str:
    """List the ingests of which a data table holds rows. It reads one column of each.

    :return: A query with the result ``ingest_id``.
    """
    parts = [f"SELECT ingest_id FROM {table.name}" for table in DATA_TABLES]  # noqa: S608
    return "\nUNION DISTINCT ".join(parts) + "\nORDER BY ingest_id"


def clear_statement(table: str) -> str:
    """Remove the rows of some ingests.

    :param table: One of the tables.
    :return: A statement with parameter ``ids``.
    """
    return f"DELETE FROM {table} WHERE ingest_id IN UNNEST(@{IDS})"  # noqa: S608


def commit_statement() -> str:
    """Commit ingests, all at once: an ingest that stands there already gets the new row in place of its own.

    :return: A statement with parameter ``rows``.
    """
    names = INGEST_INFO.column_names
    values = ", ".join(f"made.{name}" for name in names)
    given = ", ".join(f"part.{name}" for name in names)
    changes = ", ".join(f"{name} = made.{name}" for name in names if name != "ingest_id")
    return (
        f"MERGE INTO {INGEST_INFO.name} AS held\n"  # noqa: S608
        f"USING (SELECT {given} FROM UNNEST(@{ROWS}) AS part) AS made\n"
        "ON held.ingest_id = made.ingest_id\n"
        f"WHEN MATCHED THEN UPDATE SET {changes}\n"
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({values})"
    )


def retire_statement() -> str:
    """Retire ingests, all at once, as they were committed; one that was committed again since stays.

    :return: A statement with parameter ``rows``.
    """
    return (
        f"MERGE INTO {INGEST_INFO.name} AS held\n"  # noqa: S608
        f"USING (SELECT part.ingest_id, part.committed_at, part.retired_at FROM UNNEST(@{ROWS}) AS part) AS made\n"
        "ON held.ingest_id = made.ingest_id AND held.committed_at = made.committed_at\n"
        "WHEN MATCHED THEN UPDATE SET retired_at = made.retired_at"
    )


def coo_view_query(qualified: Callable[[str], str]) -> str:
    """Give the counts of committed ingests as one row a nonzero count, with the gene's names.

    :param qualified: Gives the full name of a table; a view has no dataset of its own.
    :return: The query of the view.
    """
    counts, features, ingests = (qualified(table.name) for table in (RAW_COUNTS, FEATURE_INFO, INGEST_INFO))
    return (
        "SELECT counts.ingest_id, counts.cell_index, counts.shuffle_key, position AS feature_index, "  # noqa: S608
        "features.ensembl_id, features.symbol, counts.raw_count[OFFSET(place)] AS raw_count\n"
        f"FROM {counts} AS counts\n"
        "CROSS JOIN UNNEST(counts.feature_index) AS position WITH OFFSET AS place\n"
        f"LEFT JOIN {features} AS features\n"
        "ON features.ingest_id = counts.ingest_id AND features.feature_index = position\n"
        f"WHERE counts.ingest_id IN (SELECT ingest_id FROM {ingests})"
    )
