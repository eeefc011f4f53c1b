"""Sizes that a file declares, held against the bytes it has: what cannot be in it is refused before memory is taken.

A few bytes of HDF5 or zarr may declare any size: chunks that were never written, or that inflate to a thousand times
their size. The limits leave room for everything that is worth an ingest: they are above what real files reach.
"""

import math
from typing import Any

import h5py

from omics_datastore.ingest.refusal import RefusedSourceError

_FEW = 2**20
"""Cells or features that any file may declare: they cost some ten megabytes."""
_PER_BYTE = 4
"""Cells or features for each byte of a file. A cell has a name, and takes several bytes however it is packed."""
_LEAST_BYTES = 256 * 2**20
"""Bytes that any file may declare for an array that is read piece by piece."""
_RATIO = 1100
"""How many times the bytes of a file such an array may have; deflate packs 1,032 equal bytes into one at best."""
_LEAST_HELD = 64 * 2**20
_HELD_RATIO = 200
"""The same for an array that is held as a whole: names of features, categories. Text packs to a tenth of that."""
_LEAST_CHUNK = 16 * 2**20
_LONGEST_VALUE = 2**20
"""Bytes of one value of a column."""


def check_rows(what: str, rows: int, stored_bytes: int) -> None:
    """Refuse a number of cells or features that a file cannot hold.

    :param what: What declares it, for the message: ``obs``, for example.
    :param rows: The number.
    :param stored_bytes: Bytes of the file.
    :raise RefusedSourceError: When it is too large.
    """
    if rows > _FEW + _PER_BYTE * stored_bytes:
        raise RefusedSourceError(
            "size_limit",
            f"{what} declares {rows} rows, which a file of {stored_bytes} bytes cannot hold; write the file again.",
        )


def check_streamed(what: str, values: int, itemsize: int, stored_bytes: int) -> None:
    """Refuse an array that is read piece by piece and cannot be in a file.

    :param what: The array, for the message.
    :param values: How many values it declares.
    :param itemsize: Bytes of each.
    :param stored_bytes: Bytes of the file.
    :raise RefusedSourceError: When it is too large.
    """
    _check(what, values * itemsize, max(_LEAST_BYTES, _RATIO * stored_bytes), stored_bytes)


def check_held(what: str, values: int, itemsize: int, stored_bytes: int) -> None:
    """Refuse an array that is held as a whole and is larger than it can be in such a file.

    :param what: The array, for the message.
    :param values: How many values it declares.
    :param itemsize: Bytes of each.
    :param stored_bytes: Bytes of the file.
    :raise RefusedSourceError: When it is too large.
    """
    _check(what, values * itemsize, max(_LEAST_HELD, _HELD_RATIO * stored_bytes), stored_bytes)


def check_column(what: str, node: h5py.Dataset) -> None:
    """Refuse a column whose values or chunks take more memory than it can be worth.

    :param what: The column, for the message.
    :param node: It.
    :raise RefusedSourceError: When it does.
    """
    size = int(node.dtype.itemsize)
    if size > _LONGEST_VALUE:
        raise RefusedSourceError(
            "size_limit",
            f"{what} has values of {size} bytes, more than {_LONGEST_VALUE}; write it as text of varying length.",
        )
    chunk = math.prod(int(length) for length in node.chunks or ()) * size
    whole = math.prod(int(length) for length in node.shape or ()) * size
    if chunk > max(_LEAST_CHUNK, 2 * whole):
        raise RefusedSourceError(
            "size_limit", f"{what} of {whole} bytes has chunks of {chunk}; write it again with smaller chunks."
        )


def held_dataset(what: str, node: Any) -> Any:
    """Return a dataset that is to be read as a whole, when it is no larger than it can be.

    :param what: The dataset, for the message.
    :param node: It; what is no dataset is returned as it is.
    :return: The same.
    :raise RefusedSourceError: When it is too large.
    """
    if isinstance(node, h5py.Dataset):
        check_column(what, node)
        check_held(what, int(node.size or 0), int(node.dtype.itemsize), int(node.file.id.get_filesize()))
    return node


def _check(what: str, declared: int, most: int, stored_bytes: int) -> None:
    if declared > most:
        raise RefusedSourceError(
            "size_limit",
            f"{what} declares {declared} bytes, which a file of {stored_bytes} bytes cannot hold; write the file "
            "again.",
        )
