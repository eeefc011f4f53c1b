"""Entries of a matrix made into counts: whole, positive, below 2**31, one for each cell and feature."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from omics_datastore.ingest.matrix import EntryBlock, RowBlock
from omics_datastore.ingest.refusal import RefusedSourceError

_LIMIT = 2**31


def to_counts(block: RowBlock | EntryBlock, name: str, feature_names: Any) -> NDArray[np.int32]:
    """Return the values of a block as counts.

    :param block: The block, of n entries.
    :param name: Name of the matrix, for the message.
    :param feature_names: Index of the features: ``feature_names[column]`` names a column in the message.
    :return: int32 array of shape (n,); explicit zeros stay zero.
    :raise RefusedSourceError: At the first value that is not a count.
    """
    values = block.values
    if values.dtype.kind == "b" or not len(values):
        return values.astype(np.int32)
    if values.dtype.kind == "f" and values.dtype.itemsize == 2:
        values = values.astype(np.float32)  # 16 bits do not hold the limit
    # NaN makes both comparisons false.
    if values.min() >= 0 and values.max() < _LIMIT:
        counts = values.astype(np.int32)
        if values.dtype.kind in "iu" or np.array_equal(counts.astype(values.dtype), values):
            return counts
    wrong = ~((values >= 0) & (values < _LIMIT) & (np.floor(values) == values))
    place = int(np.argmax(wrong))
    value, row, column = values[place], block.row_of(place), int(block.columns[place])
    shown = value if abs(value.item()) < _LIMIT else value.item()  # NumPy rounds large float32 as it writes them
    raise RefusedSourceError(
        "counts",
        f"{name} does not hold counts: {shown!s} at cell {row}, feature {feature_names[column]} "
        f"is {_why_not_a_count(value)}; name the matrix that holds counts with counts_from.",
    )


def to_rows(block: RowBlock, counts: NDArray[np.int32], features: int) -> sparse.csr_matrix:
    """Make a block of whole rows into CSR with sorted columns, duplicates summed and zeros left out.

    :param block: The block.
    :param counts: Its counts, shape (n,).
    :param features: Number of features.
    :return: Canonical int32 CSR matrix of shape (rows, features).
    :raise RefusedSourceError: When a sum of duplicates does not fit.
    """
    pointers = block.pointers.astype(np.int32)
    matrix = sparse.csr_matrix((counts, block.columns, pointers), shape=(len(pointers) - 1, features), copy=False)
    return finish_rows(matrix)


def finish_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Sort the columns of a CSR matrix, sum duplicates and leave out zeros.

    :param matrix: int32 CSR matrix of non-negative counts.
    :return: The same cells in canonical form, int32.
    :raise RefusedSourceError: When a sum of duplicates is 2**31 or more.
    """
    if not matrix.has_canonical_format:
        wide = sparse.csr_matrix((matrix.data.astype(np.int64), matrix.indices, matrix.indptr), shape=matrix.shape)
        wide.sum_duplicates()
        if wide.nnz and int(wide.data.max()) >= _LIMIT:
            raise RefusedSourceError("counts", "entries of one cell and feature add up to 2**31 or more.")
        matrix = sparse.csr_matrix((wide.data.astype(np.int32), wide.indices, wide.indptr), shape=matrix.shape)
    if matrix.nnz and not matrix.data.all():
        matrix.eliminate_zeros()
    return matrix


def row_sums(matrix: sparse.csr_matrix) -> NDArray[np.int64]:
    """Return the sum of each row.

    :param matrix: Canonical int32 CSR matrix.
    :return: int64 (rows,).
    """
    sums = np.zeros(matrix.shape[0], np.int64)
    filled = np.diff(matrix.indptr) > 0
    if filled.any():
        sums[filled] = np.add.reduceat(matrix.data, matrix.indptr[:-1][filled], dtype=np.int64)
    return sums


def _why_not_a_count(value: Any) -> str:
    if not np.isfinite(value):
        return "not finite"
    if value < 0:
        return "negative"
    return "2**31 or more" if value >= _LIMIT else "not whole"
