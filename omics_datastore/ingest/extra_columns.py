"""Source columns without a place in the tables, as one JSON text a row (``metadata_extra``)."""

import polars as pl


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
