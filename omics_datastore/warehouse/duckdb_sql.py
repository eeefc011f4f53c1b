"""Run a statement that somebody wrote over the folder warehouse, in a DuckDB that can read its files and no others."""

import re
from typing import Any

import polars as pl

from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.query.sql_text import (
    COO_VIEW,
    SQL_TABLES,
    LocalStatement,
    local_statement,
    near,
    place,
)
from omics_datastore.schema.tables import INGEST_INFO, TABLES, Table
from omics_datastore.warehouse.duckdb_query import DuckDBLimits, connect, create_view, missing_files
from omics_datastore.warehouse.folder_tables import FolderTables
from omics_datastore.warehouse.warehouse import SqlResult

_COO = """
CREATE VIEW raw_counts_coo AS
SELECT ingest_id, cell_index, shuffle_key, feature_index, ensembl_id, symbol, raw_count
FROM (
  SELECT ingest_id, cell_index, shuffle_key, UNNEST(feature_index) AS feature_index, UNNEST(raw_count) AS raw_count
  FROM raw_counts
) LEFT JOIN (SELECT ingest_id, feature_index, ensembl_id, symbol FROM feature_info) USING (ingest_id, feature_index)
"""
_BATCH_ROWS = 2048
_NO_COLUMN = re.compile(r'column "([^"]+)" not found|does not have a column named "([^"]+)"')


def run_sql(text: str, limit: int, tables: FolderTables, ingests: pl.DataFrame, limits: DuckDBLimits) -> SqlResult:
    """Run a statement; see :meth:`omics_datastore.warehouse.warehouse.Warehouse.sql`.

    :param text: The statement, in the BigQuery dialect.
    :param limit: Rows to give at most.
    :param tables: The files of the warehouse.
    :param ingests: Rows of ``ingest_info``, one an ingest; no other ingest is seen.
    :param limits: What the query may use.
    :return: The rows.
    :raise InputError: When the statement is at fault.
    :raise CorruptionError: When a file of a committed ingest is missing.
    """
    import duckdb

    statement = local_statement(text)
    used = [table for table in TABLES if table.name in statement.tables]
    with connect(limits) as connection:
        try:
            for table in used:
                create_view(connection, table, tables, ingests, json_type=False)
            if COO_VIEW in statement.tables:
                connection.execute(_COO)
            _confine(connection, used, tables, ingests)
            return _rows(connection, statement, limit)
        except (duckdb.IOException, OSError) as error:  # the latter from a reader of batches
            lost = missing_files(tables, used, ingests["ingest_id"].to_list())
            if not lost:
                raise
            raise CorruptionError(
                f"the warehouse has lost {lost[0]} ({len(lost)} files in all); run the ingest again."
            ) from error
        except duckdb.OutOfMemoryException as error:
            raise InputError("the statement needs more memory than a query may use; ask for less at once.") from error
        except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
            raise InputError(_sentence(str(error), text, statement)) from error


def _confine(connection: Any, used: list[Table], tables: FolderTables, ingests: pl.DataFrame) -> None:
    ids = ingests["ingest_id"].to_list()
    files = [str(tables.path(table.name, each)) for table in used if table is not INGEST_INFO for each in ids]
    names = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    connection.execute(f"SET allowed_paths = [{names}]")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _rows(connection: Any, statement: LocalStatement, limit: int) -> SqlResult:
    result = connection.sql(statement.sql)
    twice = sorted({name for name in result.columns if result.columns.count(name) > 1})
    if twice:
        raise InputError(f"two columns of the result are called {twice[0]}; name one of them otherwise with AS.")
    kinds = [str(kind) for kind in result.types]
    batches = result.to_arrow_reader(_BATCH_ROWS)
    frames: list[pl.DataFrame] = [pl.DataFrame(batches.schema.empty_table())]
    height = 0
    for batch in batches:
        frames.append(pl.DataFrame(batch))
        height += batch.num_rows
        if height > limit:
            break
    rows = pl.concat(frames)
    # Sums of 64-bit integers are wider in DuckDB.
    wide = [name for name, kind in zip(result.columns, kinds, strict=True) if kind == "HUGEINT"]
    return SqlResult(rows[:limit].with_columns(pl.col(wide).cast(pl.Int64)), height > limit)


def _sentence(message: str, text: str, statement: LocalStatement) -> str:
    """Put an error of DuckDB into one sentence about the statement as it was written."""
    found = _NO_COLUMN.search(message)
    if found:
        name = found[1] or found[2]
        columns = sorted({column for table in statement.tables for column in SQL_TABLES[table]})
        hint = near(name, columns) or f"; {', '.join(sorted(statement.tables))} has {', '.join(columns)}"
        return f"{place(text, name)}there is no column {name!r}{hint}."
    first = " ".join(message.splitlines()[0].split())
    first = re.sub(r"^[A-Z][A-Za-z ]*Error: ", "", first).rstrip(".!")
    return f"the statement cannot be answered: {first[:1].lower()}{first[1:]}."
