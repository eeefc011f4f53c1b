"""Source columns without a place in the tables, as one JSON text a row (``metadata_extra``)."""

from collections.abc import Iterable

import polars as pl

from omics_datastore.ingest.column_mapping import INDEX


def metadata_extra(frame: pl.DataFrame, rows: int) -> pl.Series:
    """Write the columns of a frame as one JSON object a row.

    :param frame: Text, number and boolean columns.
    :param rows: Number of rows; a frame without columns does not know.
    :return: Text series; null in every row when the frame has no columns. Nulls and infinities are JSON null.
    """
    if not frame.width:
        return pl.Series("metadata_extra", [None] * rows, dtype=pl.String)
    finite = [
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) if kind.is_float() else pl.col(name)
        for name, kind in frame.schema.items()
    ]
    packed = pl.struct(finite).struct.json_encode()
    return frame.select(packed.alias("metadata_extra")).to_series()


def with_index(extra: pl.DataFrame, index: pl.Series, sources: Iterable[str], *, kept: bool) -> pl.DataFrame:
    """Add the index to the extra columns when no column of the table holds it, so that it is not lost.

    :param extra: The extra columns.
    :param index: The index.
    :param sources: Source columns that a table column is filled from.
    :param kept: Whether the index is in the table although no mapping says so.
    :return: The extra columns, with the index as ``index`` unless the source has a column of that name.
    """
    if kept or INDEX in sources or INDEX in extra.columns:
        return extra
    return pl.DataFrame([*extra.get_columns(), index.alias(INDEX)])
