"""Rows that a SQL engine gives in Arrow, as frames of the types that an expression promises. For every warehouse."""

from typing import Any

import ibis.expr.types as ir
import polars as pl


def conform(rows: Any, expression: ir.Table) -> pl.DataFrame:
    """Turn Arrow rows into the types that an expression promises (DuckDB sums integers to a wider type).

    :param rows: ``pyarrow.Table`` or ``RecordBatch``.
    :param expression: What was run.
    :return: The rows; JSON as text.
    """
    frame = pl.DataFrame(rows)
    return frame.cast({name: _polars_type(kind) for name, kind in expression.schema().items()})


def _polars_type(kind: Any) -> Any:
    from ibis.formats.polars import PolarsType

    return pl.String if kind.is_json() else PolarsType.from_ibis(kind)
