"""SQL that somebody wrote in the BigQuery dialect: check that it only reads the tables, and write it for DuckDB.

What sqlglot is known to translate wrongly is rewritten in :mod:`omics_datastore.query.sql_rewriting`, and functions
whose translation nobody has compared with GoogleSQL are refused: no answer is better than a wrong one.
"""

import difflib
import logging
import re
from dataclasses import dataclass

import sqlglot
import sqlglot.expressions as exp
from sqlglot.errors import ParseError, SqlglotError, TokenError

from omics_datastore.errors import InputError
from omics_datastore.query.sql_rewriting import rewrite
from omics_datastore.schema.tables import RAW_COUNTS, TABLES

COO_VIEW = "raw_counts_coo"
"""The view with one row a nonzero count."""
COO_COLUMNS = ("ingest_id", "cell_index", "shuffle_key", "feature_index", "ensembl_id", "symbol", "raw_count")
SQL_TABLES: dict[str, tuple[str, ...]] = {**{table.name: table.column_names for table in TABLES}, COO_VIEW: COO_COLUMNS}
"""Columns of what can be asked, by name."""

_FORBIDDEN = (exp.DML, exp.DDL, exp.Command, exp.Into, exp.Pragma, exp.Set, exp.Copy, exp.Attach, exp.Detach)


@dataclass(frozen=True)
class LocalStatement:
    """A statement for DuckDB and the tables of the warehouse that it reads."""

    sql: str
    tables: frozenset[str]


def local_statement(text: str) -> LocalStatement:
    """Check a statement and write it for DuckDB.

    :param text: One SELECT or WITH in the BigQuery dialect, over :data:`SQL_TABLES`.
    :return: The statement; ``raw_counts_coo`` stays a name of a view.
    :raise InputError: When it is something else, in one sentence that names the place.
    """
    tree = _parse(text)
    if not isinstance(tree, exp.Select | exp.SetOperation | exp.Subquery):
        raise InputError(f"nexus sql only reads: write a SELECT or WITH statement, not {type(tree).__name__.upper()}.")
    for node in tree.walk():
        if isinstance(node, _FORBIDDEN):
            raise InputError(f"nexus sql only reads: {type(node).__name__.upper()} is not allowed in a statement.")
        if isinstance(node, exp.Parameter | exp.Placeholder):
            raise InputError(f"{node.sql('bigquery')}: there are no parameters here; write the value itself.")
    tables = _tables(tree, text)
    sql = rewrite(tree).sql("duckdb", unsupported_level=sqlglot.ErrorLevel.IGNORE)
    return LocalStatement(sql, frozenset(tables))


def place(text: str, word: str) -> str:
    """Tell where a word is in a statement.

    :param text: The statement.
    :param word: A name in it.
    :return: ``line 1, column 8: ``, or nothing when the word is not there as it is.
    """
    found = re.search(rf"(?<![\w`]){re.escape(word)}(?!\w)", text, re.IGNORECASE)
    if found is None:
        return ""
    line = text.count("\n", 0, found.start()) + 1
    return f"line {line}, column {found.start() - (text.rfind(chr(10), 0, found.start()) + 1) + 1}: "


def near(word: str, names: list[str]) -> str:
    """Propose names.

    :param word: What was written.
    :param names: What there is.
    :return: A sentence's end, beginning with a semicolon; nothing when none is near.
    """
    close = difflib.get_close_matches(word.lower(), names, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}" if close else ""


def _parse(text: str) -> exp.Expression:
    logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of statements that are refused below
    try:
        statements = [tree for tree in sqlglot.parse(text, read="bigquery") if tree is not None]
    except ParseError as error:
        first = error.errors[0]
        what = re.sub(r"<class '[\w.]+\.(\w+)'>", r"\1", str(first["description"])).rstrip(".")
        what = re.sub(r"<Token .*", "the end or something else", what[:1].lower() + what[1:])
        raise InputError(
            f"the statement cannot be read at line {first['line']}, column {first['col']}, near "
            f"{str(first['highlight'])!r}: {what}."
        ) from error
    except TokenError as error:
        raise InputError("the statement cannot be read: a quote, a bracket or a comment is not closed.") from error
    except (SqlglotError, RecursionError) as error:
        raise InputError(f"the statement cannot be read: {' '.join(str(error).split())}.") from error
    if len(statements) != 1:
        raise InputError(f"write one statement, not {len(statements) or 'none'}.")
    return statements[0]


def _tables(tree: exp.Expression, text: str) -> set[str]:
    own = {name.lower() for cte in tree.find_all(exp.CTE) if (name := cte.alias)}
    found: set[str] = set()
    for table in tree.find_all(exp.Table):
        name = table.name
        if not isinstance(table.this, exp.Identifier):
            raise InputError(
                f"{table.this.sql('bigquery')}: only tables and UNNEST can stand after FROM, there are "
                f"{', '.join(SQL_TABLES)}."
            )
        if table.args.get("db") is not None:
            written = table.sql("bigquery", comments=False)
            raise InputError(
                f"{place(text, table.db)}{written}: write a table's name alone, without a project or dataset before "
                "it, and UNNEST(…) around a column with a list."
            )
        if name.lower() in own:
            continue
        if name not in SQL_TABLES:
            hint = near(name, list(SQL_TABLES)) or f"; there are {', '.join(SQL_TABLES)}"
            raise InputError(f"{place(text, name)}there is no table {name!r}{hint}.")
        found |= {RAW_COUNTS.name, "feature_info", COO_VIEW} if name == COO_VIEW else {name}
    return found
