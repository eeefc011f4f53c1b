"""The columns a query over cells may name: those of ``cell_info``, ``dataset``, and keys of ``metadata_extra``."""

import difflib
from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from omics_datastore.errors import InputError
from omics_datastore.keys import digest
from omics_datastore.query.filter_values import OPERATORS, ORDER_OPERATORS
from omics_datastore.query.filters import EXTRA_PREFIX
from omics_datastore.query.json_text import json_text
from omics_datastore.schema.tables import CELL_INFO, ColumnType

DATASET = "dataset"
CELL_COLUMNS = (*(name for name in CELL_INFO.column_names if name != "metadata_extra"), DATASET)
"""Every column that can be named as it is."""


def column_type(name: str) -> ColumnType:
    """Return the type of a column of the selected cells.

    :param name: A column of ``cell_info``, ``dataset``, or ``metadata_extra.<key>`` (text).
    :return: The type: text, whole numbers or booleans.
    :raise InputError: When there is no such column; the message names near ones.
    """
    if name.startswith(EXTRA_PREFIX) and len(name) > len(EXTRA_PREFIX):
        return ColumnType.STRING
    if name == DATASET:
        return ColumnType.STRING
    if name in CELL_COLUMNS:
        return CELL_INFO.column(name).type
    if name.rstrip(".") == "metadata_extra":
        raise InputError("metadata_extra holds many columns: name one of them, metadata_extra.<key>.")
    near = difflib.get_close_matches(name.lower(), CELL_COLUMNS, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise InputError(
        f"{name!r} is not a column of the warehouse: {hint}Other obs columns of the sources are written "
        f"metadata_extra.<key>, here metadata_extra.{name}."
    )


def filter_columns() -> list[dict[str, str]]:
    """List the columns that conditions may name.

    :return: ``column``, ``type``, ``operators`` and ``description``, in the order of the table; one row stands for
        all keys of ``metadata_extra``.
    """
    rows = []
    for name in CELL_COLUMNS:
        kind = column_type(name)
        operators = [
            op
            for op in OPERATORS
            if not (kind is ColumnType.BOOL and op in ORDER_OPERATORS)
            and not (op == "descendant_of" and not name.endswith("_ontology_term_id"))
        ]
        what = "Dataset of the ingest." if name == DATASET else CELL_INFO.column(name).description
        rows.append({"column": name, "type": str(kind), "operators": " ".join(operators), "description": what})
    extra = " ".join(op for op in OPERATORS if op != "descendant_of")
    what = "Any other obs column of the sources; numbers are compared as numbers."
    return [*rows, {"column": f"{EXTRA_PREFIX}<key>", "type": "STRING", "operators": extra, "description": what}]


def cell_column(cells: ir.Table, name: str) -> ir.Value:
    """Return a column of the selected cells.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`.
    :param name: A column of ``cell_info``, ``dataset``, or ``metadata_extra.<key>``; a key may hold any character.
    :return: The value; of a key of ``metadata_extra`` the text (numbers and booleans as JSON writes them), null
        where the cell has no such key.
    :raise InputError: When there is no such column; the message names near ones.
    """
    column_type(name)
    if name.startswith(EXTRA_PREFIX):
        return json_text(cells["metadata_extra"], name.removeprefix(EXTRA_PREFIX))
    return cells[name]


def result_name(name: str) -> str:
    """Return what a query's result calls a column: BigQuery takes no dots or spaces, and no two cases of a letter.

    :param name: A column as :func:`cell_column` takes it.
    :return: The name itself, but for keys of ``metadata_extra``.
    """
    return f"metadata_extra_{digest(name)[:16]}" if name.startswith(EXTRA_PREFIX) else name


def null_safe_order(table: ir.Table, columns: Sequence[str]) -> list[ir.Value]:
    """Return keys to order a table by, nulls first.

    Ibis writes no NULLS FIRST and the dialects differ without it, so no key may be null.

    :param table: The table.
    :param columns: Columns of text, numbers or booleans.
    :return: Two keys a column, none of them null.
    """
    keys: list[ir.Value] = []
    for name in columns:
        column = table[name]
        least = "" if column.type().is_string() else (False if column.type().is_boolean() else 0)
        keys += [column.notnull(), ibis.coalesce(column, ibis.literal(least, column.type()))]
    return keys
