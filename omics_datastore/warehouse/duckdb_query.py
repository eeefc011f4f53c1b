"""Run an Ibis expression with an in-memory DuckDB over the Parquet files of committed ingests.

A connection lives as long as one query: there is no database file, so there is nothing to lock.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis.expr.operations as ops
import ibis.expr.types as ir
import polars as pl

from omics_datastore.errors import CorruptionError
from omics_datastore.query.compile import compile_sql
from omics_datastore.schema.arrow import arrow_schema
from omics_datastore.schema.tables import INGEST_INFO, TABLES, ColumnType, Table
from omics_datastore.warehouse.folder_tables import FolderTables


@dataclass(frozen=True)
class DuckDBLimits:
    """Memory in bytes, threads, and the folder that what does not fit into memory goes to."""

    memory_bytes: int
    threads: int
    temp_directory: Path


@contextmanager
def open_query(
    expression: ir.Table, tables: FolderTables, ingests: pl.DataFrame, limits: DuckDBLimits
) -> Iterator[Any]:
    """Give the lazy DuckDB result of an expression while a ``with`` block runs.

    :param expression: Built over :mod:`omics_datastore.schema.relations`.
    :param tables: The files of the warehouse.
    :param ingests: Rows of ``ingest_info``, one an ingest; no other ingest is seen.
    :param limits: What the query may use.
    :return: A context manager that yields a ``duckdb.DuckDBPyRelation``.
    :raise CorruptionError: When a file of a committed ingest is missing.
    """
    import duckdb

    config = {
        "memory_limit": f"{limits.memory_bytes}B",
        "threads": limits.threads,
        "temp_directory": str(limits.temp_directory),
        "preserve_insertion_order": False,
        "python_enable_replacements": False,
    }
    ids = ingests["ingest_id"].to_list()
    used = [table for table in TABLES if table.name in _table_names(expression)]
    with duckdb.connect(":memory:", config=config) as connection:
        try:
            for table in used:
                _create_view(connection, table, tables, ingests, ids)
            yield connection.sql(compile_sql(expression, "duckdb"))
        except duckdb.IOException as error:
            lost = [path for table in used if table is not INGEST_INFO for path in _missing(tables, table, ids)]
            if not lost:
                raise
            raise CorruptionError(
                f"the warehouse has lost {lost[0]} ({len(lost)} files in all); run the ingest again."
            ) from error


def _table_names(expression: ir.Table) -> set[str]:
    names = {table.name for table in expression.op().find(ops.UnboundTable)}
    unknown = names - {table.name for table in TABLES}
    if unknown:
        raise ValueError(f"no tables of the warehouse: {', '.join(sorted(unknown))}")
    return names


def _create_view(
    connection: Any, table: Table, tables: FolderTables, ingests: pl.DataFrame, ids: Sequence[str]
) -> None:
    if table is INGEST_INFO:
        rows = connection.from_arrow(ingests.select(table.column_names).to_arrow())
    elif ids:
        files = [str(tables.path(table.name, ingest_id)) for ingest_id in ids]
        # The ingest id is read from the path, so that files of other ingests are not even opened.
        rows = connection.read_parquet(files, hive_partitioning=True)
    else:
        rows = connection.from_arrow(arrow_schema(table).empty_table())
    rows.project(", ".join(_typed(column.name, column.type) for column in table.columns)).create_view(table.name)


def _typed(name: str, kind: ColumnType) -> str:
    cast = {ColumnType.JSON: "::JSON", ColumnType.INT_LIST: "::BIGINT[]"}.get(kind, "")
    return f'"{name}"{cast} AS "{name}"'


def _missing(tables: FolderTables, table: Table, ids: Sequence[str]) -> list[Path]:
    return [path for path in (tables.path(table.name, ingest_id) for ingest_id in ids) if not path.exists()]
