"""Arrays of an HDF5 file as Polars series: text, numbers, booleans, and codes with their categories."""

from typing import Any

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray


class UnknownCodeError(Exception):
    """Say that a code stands for no category; the message is the code."""


def is_readable(dtype: np.dtype[Any]) -> bool:
    """Tell whether values of a dtype become a series: text, integers, floats and booleans do.

    :param dtype: Dtype of an HDF5 dataset or of a field of one.
    :return: False for complex numbers, references, compounds and arrays of varying length.
    """
    if dtype.kind == "O":
        return h5py.check_string_dtype(dtype) is not None
    return dtype.kind in "iufbSU"


def to_series(values: NDArray[Any]) -> pl.Series:
    """Make a series of an array.

    :param values: One-dimensional array of a readable dtype.
    :return: Text, integer, float or boolean series of the same length; NaN is null.
    """
    if values.dtype.kind in "OS":
        return _decode(values.tolist())
    if values.dtype.kind == "U":
        return pl.Series(values.tolist(), dtype=pl.String)
    if values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        values = values.astype(np.float32 if values.dtype.itemsize == 2 else np.float64)
    series = pl.Series(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")))
    return series.fill_nan(None) if series.dtype.is_float() else series


def gather(codes: NDArray[Any], categories: pl.Series) -> pl.Series:
    """Make a series of codes.

    :param codes: Integers (n,): places in the categories; negative ones stand for no value.
    :param categories: The categories.
    :return: Series (n,) of the categories' type.
    :raise UnknownCodeError: When a code lies beyond the categories.
    :raise TypeError: When codes are no integers.
    """
    if codes.dtype.kind not in "iu":
        raise TypeError(f"codes are of the type {codes.dtype}")
    if len(codes) and int(codes.max()) >= len(categories):
        raise UnknownCodeError(int(codes.max()))
    places = codes.astype(np.int64)
    known = pl.Series(places).to_frame("code").select(pl.when(pl.col("code") >= 0).then(pl.col("code")))
    return categories.gather(known.to_series())


def text(value: Any) -> str:
    """Return an attribute or an element as text.

    :param value: Bytes or anything with a text form.
    :return: The text; bytes that are not UTF-8 become replacement characters.
    """
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def whole_text(value: str) -> str:
    """Return text that can be written as UTF-8; what h5py could not read as such becomes replacement characters.

    :param value: The text.
    :return: The same, when there is nothing wrong with it.
    """
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if not value.isascii() else value


def _decode(values: list[Any]) -> pl.Series:
    try:
        return pl.Series(values, dtype=pl.Binary).cast(pl.String)
    except (pl.exceptions.ComputeError, TypeError):  # bytes that are not UTF-8, or text already
        return pl.Series([text(value) for value in values], dtype=pl.String)
