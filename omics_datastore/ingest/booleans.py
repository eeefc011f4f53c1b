"""Columns that must be true or false, however the file spells that."""

import polars as pl

from omics_datastore.ingest.refusal import RefusedSourceError

_WORDS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


def to_boolean(values: pl.Series | None, column: str, start: int, height: int) -> pl.Series:
    """Read a column as booleans.

    :param values: The column, or ``None`` when there is none.
    :param column: Its name for messages, for example ``obs['is_primary_data']``.
    :param start: Row of the source that the values begin at.
    :param height: Number of rows.
    :return: Boolean series (height,); null where there is no value.
    :raise RefusedSourceError: For a value that is not true, false, 1 or 0.
    """
    if values is None:
        return pl.Series([None] * height, dtype=pl.Boolean)
    if values.dtype == pl.Boolean:
        return values
    text = values.cast(pl.String).str.to_lowercase()
    flags = text.replace_strict(_WORDS, default=None, return_dtype=pl.Boolean)
    wrong = flags.is_null() & text.is_not_null()
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise RefusedSourceError(
            "column_mapping",
            f"{column} must be true or false, not {values[row]!r} in row {start + row}; correct or rename it.",
        )
    return flags
