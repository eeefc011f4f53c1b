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
import pyarrow as pa

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


def connect(limits: DuckDBLimits) -> Any:
    """Open an in-memory DuckDB.

    :param limits: What queries may use.
    :return: ``duckdb.DuckDBPyConnection``.
    """
    import duckdb

    config = {
        "memory_limit": f"{limits.memory_bytes}B",
        "threads": limits.threads,
        "temp_directory": str(limits.temp_directory),
        "preserve_insertion_order": False,
        "python_enable_replacements": False,
    }
    return duckdb.connect(":memory:", config=config)


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
    :raise CorruptionError: When a file of a committed ingest is missing, or not what was loaded.
    """
    import duckdb

    ids = ingests["ingest_id"].to_list()
    used = [table for table in TABLES if table.name in _table_names(expression)]
    with connect(limits) as connection:
        try:
            for table in used:
                create_view(connection, table, tables, ingests)
            yield connection.sql(compile_sql(expression, "duckdb"))
        except (duckdb.IOException, OSError) as error:  # the latter from a reader of batches
            lost = missing_files(tables, used, ids)
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


def create_view(
    connection: Any, table: Table, tables: FolderTables, ingests: pl.DataFrame, *, json_type: bool = True
) -> None:
    """Make a table visible to a connection, with the rows of some ingests.

    :param connection: From :func:`connect`.
    :param table: One of the four tables.
    :param tables: The files of the warehouse.
    :param ingests: Rows of ``ingest_info``, one an ingest.
    :param json_type: Whether JSON columns are of that type, not text.
    :raise CorruptionError: When a file is not what was loaded.
    """
    ids = ingests["ingest_id"].to_list()
    if table is not INGEST_INFO:
        tables.check_whole(table.name, ids)
    if table is INGEST_INFO:
        rows = connection.from_arrow(ingests.select(table.column_names).to_arrow())
    elif ids:
        files = [str(tables.path(table.name, ingest_id)) for ingest_id in ids]
        # The ingest id is read from the path, so that files of other ingests are not even opened.
        rows = connection.read_parquet(files, hive_partitioning=True)
    else:
        rows = connection.from_arrow(pa.Table.from_batches([], arrow_schema(table)))
    kinds = {column.name: column.type for column in table.columns}
    if not json_type:
        kinds = {name: ColumnType.STRING if kind is ColumnType.JSON else kind for name, kind in kinds.items()}
    rows.project(", ".join(_typed(name, kind) for name, kind in kinds.items())).create_view(table.name)


def _typed(name: str, kind: ColumnType) -> str:
    cast = {ColumnType.JSON: "::JSON", ColumnType.INT_LIST: "::BIGINT[]"}.get(kind, "")
    return f'"{name}"{cast} AS "{name}"'


def missing_files(tables: FolderTables, used: Sequence[Table], ids: Sequence[str]) -> list[Path]:
    """List files of committed ingests that are gone.

    :param tables: The files of the warehouse.
    :param used: Tables to look at.
    :param ids: Ingest ids.
    :return: The files.
    """
    paths = (tables.path(table.name, ingest_id) for table in used if table is not INGEST_INFO for ingest_id in ids)
    return [path for path in paths if not path.exists()]
