"""From an Ibis expression to SQL of one dialect; nothing is connected to and no cloud SDK is needed."""

from functools import cache
from typing import Any, Literal

import ibis.expr.types as ir
import sqlglot.expressions as sge
from ibis.backends.sql.compilers.bigquery import BigQueryCompiler
from ibis.backends.sql.compilers.duckdb import DuckDBCompiler

Dialect = Literal["duckdb", "bigquery"]


_READABLE = 100_000
"""Characters of a statement that is broken into lines: BigQuery takes 1 MB, and indents are most of a long list."""


def _among(arg: Any, values: tuple[str, ...]) -> Any:
    return sge.In(this=arg, expressions=[sge.Literal.string(value) for value in values])


class _DuckDB(DuckDBCompiler):  # type: ignore[misc]
    def visit_TextAmong(self, op: Any, *, arg: Any, values: tuple[str, ...]) -> Any:  # noqa: ARG002, N802
        return _among(arg, values)

    def visit_JSONText(self, op: Any, *, arg: Any, key: str) -> Any:  # noqa: ARG002, N802
        # A JSON pointer (RFC 6901) can name every key; a path cannot.
        pointer = "/" + key.replace("~", "~0").replace("/", "~1")
        return sge.Anonymous(this="json_extract_string", expressions=[arg, sge.Literal.string(pointer)])


class _BigQuery(BigQueryCompiler):  # type: ignore[misc]
    def visit_TextAmong(self, op: Any, *, arg: Any, values: tuple[str, ...]) -> Any:  # noqa: ARG002, N802
        return _among(arg, values)

    def visit_JSONText(self, op: Any, *, arg: Any, key: str) -> Any:  # noqa: ARG002, N802
        # JSON columns hold text in BigQuery (see omics_datastore.schema.bigquery); any number must be readable.
        mode = sge.Kwarg(this=sge.Var(this="wide_number_mode"), expression=sge.Literal.string("round"))
        parsed = sge.Anonymous(this="parse_json", expressions=[arg, mode])
        value = sge.Bracket(this=parsed, expressions=[sge.Literal.string(key)])
        return sge.Anonymous(this="json_value", expressions=[value])


@cache
def _compiler(dialect: Dialect) -> Any:
    return _DuckDB() if dialect == "duckdb" else _BigQuery()


def compile_sql(expression: ir.Table, dialect: Dialect) -> str:
    """Write an expression as one SQL statement; values are written as literals of their type by Ibis.

    :param expression: Built over :mod:`omics_datastore.schema.relations`.
    :param dialect: ``duckdb`` or ``bigquery``.
    :return: The statement, without a semicolon; tables have no dataset or catalog before their names.
    """
    compiler = _compiler(dialect)
    tree = compiler.to_sqlglot(expression)
    statement: str = tree.sql(dialect=compiler.dialect, pretty=True)
    return statement if len(statement) < _READABLE else str(tree.sql(dialect=compiler.dialect))
