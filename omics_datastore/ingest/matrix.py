"""The count matrix of an ``.h5ad`` file as blocks of bounded size: dense, CSR or CSC; X, raw.X or a layer.

Blocks hold what the file holds; whether the numbers are counts is decided in
:mod:`omics_datastore.ingest.counts`.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from omics_datastore.ingest.declared_size import check_column, check_rows, check_streamed
from omics_datastore.ingest.refusal import RefusedSourceError
from omics_datastore.ingest.source_file import refuse_damage
from omics_datastore.ingest.vectors import VectorReader, slab_length

_BYTES_PER_ENTRY = 16
"""Roughly what one nonzero costs while its block is checked: value, column, count, position."""
_BLOCK_ENTRIES = 2**18
"""Entries of a block of a sparse matrix at most: its steps of checking find it in the processor's cache."""
_LEAST_CHUNK_BYTES = 16 * 2**20
"""Chunks of a file are read whole; those of up to this size are read whatever the memory limit."""


@dataclass(frozen=True)
class RowBlock:
    """Whole neighbouring rows, entries in the file's order.

    ``pointers`` int64 (rows + 1,), ``columns`` int32 (n,), ``values`` (n,) in the file's dtype.
    """

    first_row: int
    pointers: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[Any]

    def row_of(self, place: int) -> int:
        """Return the row of the source that an entry belongs to."""
        return self.first_row + int(np.searchsorted(self.pointers, place, side="right")) - 1


@dataclass(frozen=True)
class EntryBlock:
    """Entries of any rows: ``rows`` int64, ``columns`` int32 and ``values``, all (n,)."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[Any]

    def row_of(self, place: int) -> int:
        """Return the row of the source that an entry belongs to."""
        return int(self.rows[place])


@dataclass(frozen=True)
class Matrix:
    """A matrix of an open file: where it is, how it is stored, its shape (cells, features)."""

    name: str
    node: Any
    path: Path
    layout: Literal["dense", "csr", "csc"]
    shape: tuple[int, int]

    @property
    def stored_entries(self) -> int:
        """Return how many values are stored: nonzeros of a sparse matrix, all of a dense one."""
        return self.shape[0] * self.shape[1] if self.layout == "dense" else int(self.node["data"].size or 0)

    def blocks(self, memory_limit_bytes: int) -> Iterator[RowBlock | EntryBlock]:
        """Read the matrix once.

        :param memory_limit_bytes: Bytes of cell data that may be held at once; a block costs about an eighth of it.
        :return: Blocks that together hold every nonzero entry once.
        :raise RefusedSourceError: When the matrix contradicts itself or cannot be read.
        """
        chunk_limit = max(_LEAST_CHUNK_BYTES, memory_limit_bytes // 2)
        if self.layout == "dense":
            return self._dense_blocks(memory_limit_bytes // 8, chunk_limit)
        return self._sparse_blocks(memory_limit_bytes // 8, chunk_limit)

    def _dense_blocks(self, limit_bytes: int, chunk_limit: int) -> Iterator[RowBlock | EntryBlock]:
        rows, columns = self.shape
        height, width = self.node.chunks or (1, columns)
        size = self.node.dtype.itemsize
        if self.node.chunks and height * width * size > chunk_limit:
            raise RefusedSourceError(
                "matrix_structure",
                f"{self.name} has chunks of {height} x {width} values, more than the {chunk_limit} bytes that may be "
                "read at once; rewrite the file with smaller chunks or raise the memory limit.",
            )
        # A value costs its own bytes and, at worst, the entry made of it.
        budget = max(1, limit_bytes // (size + _BYTES_PER_ENTRY))
        if height * columns <= budget:
            width = columns
            height *= budget // (height * columns)
        else:
            width *= max(1, min(budget // (height * width), -(-columns // width)))
        for top in range(0, rows, height):
            for left in range(0, columns, width):
                tile = self._tile(top, min(rows, top + height), left, min(columns, left + width))
                strip = max(1, budget // tile.shape[1])
                for first in range(0, len(tile), strip):
                    yield self._entries(tile[first : first + strip], top + first, left)

    def _tile(self, top: int, bottom: int, left: int, right: int) -> NDArray[Any]:
        with refuse_damage(f"{self.name} in rows {top} to {bottom - 1}"):
            return np.asarray(self.node[top:bottom, left:right])

    def _entries(self, tile: NDArray[Any], top: int, left: int) -> RowBlock | EntryBlock:
        height, width = tile.shape
        filled = tile != 0
        lengths = np.count_nonzero(filled, axis=1)
        places = np.flatnonzero(filled)
        values = tile.reshape(-1)[places]
        rows = np.repeat(np.arange(height), lengths)
        columns = (places - rows * width + left).astype(np.int32)
        if width < self.shape[1]:
            return EntryBlock(rows + top, columns, values)
        return RowBlock(top, np.concatenate([[0], np.cumsum(lengths)]), columns, values)

    def _sparse_blocks(self, limit_bytes: int, chunk_limit: int) -> Iterator[RowBlock | EntryBlock]:
        by_row = self.layout == "csr"
        majors, minors = self.shape if by_row else self.shape[::-1]
        pointers = self._pointers(majors, chunk_limit)
        budget = max(1, min(_BLOCK_ENTRIES, limit_bytes // _BYTES_PER_ENTRY))
        with (
            closing(VectorReader(self.node["indices"], self.path, chunk_limit, kinds="iu")) as indices,
            closing(VectorReader(self.node["data"], self.path, chunk_limit, kinds="iufb")) as data,
        ):
            if not indices.length == data.length == int(pointers[-1]):
                raise RefusedSourceError(
                    "matrix_structure",
                    f"{self.name} has {data.length} values, {indices.length} indices and an indptr that ends at "
                    f"{pointers[-1]}; write the file again.",
                )
            first = 0
            while first < majors:
                last = int(np.searchsorted(pointers, pointers[first] + budget, side="right")) - 1
                last = min(majors, max(first + 1, last))
                low, high = int(pointers[first]), int(pointers[last])
                minor = indices.read(low, high)
                _check_range(self.name, minor, minors, low)
                minor = minor.astype(np.int32, copy=False)
                values = data.read(low, high)
                if by_row:
                    yield RowBlock(first, pointers[first : last + 1] - low, minor, values)
                else:
                    lengths = np.diff(pointers[first : last + 1])
                    columns = np.repeat(np.arange(first, last, dtype=np.int32), lengths)
                    yield EntryBlock(minor.astype(np.int64), columns, values)
                first = last

    def _pointers(self, majors: int, chunk_limit: int) -> NDArray[np.int64]:
        with closing(VectorReader(self.node["indptr"], self.path, chunk_limit, kinds="iu")) as reader:
            if reader.length != majors + 1:
                raise RefusedSourceError(
                    "matrix_structure",
                    f"{self.name} has an indptr of {reader.length} values for {majors} rows or columns; "
                    "write the file again.",
                )
            pointers = np.empty(majors + 1, np.int64)
            step = slab_length(reader.dtype)
            for start in range(0, majors + 1, step):
                stop = min(majors + 1, start + step)
                pointers[start:stop] = reader.read(start, stop)
        if pointers[0] != 0 or (np.diff(pointers) < 0).any():
            raise RefusedSourceError(
                "matrix_structure", f"{self.name} has an indptr that descends; write the file again."
            )
        return pointers


def find_matrix(file: h5py.File, path: Path, name: str) -> Matrix | None:
    """Find a matrix of an open file.

    :param file: The open file.
    :param path: Its path.
    :param name: ``X``, ``raw.X`` or ``layers/<name>``.
    :return: The matrix, or ``None`` when the file has none of that name.
    :raise RefusedSourceError: When it is stored in a way that is not known.
    """
    with refuse_damage(name):
        matrix = _find_matrix(file, path, name)
        if matrix is not None:
            _check_sizes(matrix, int(file.id.get_filesize()))
        return matrix


def _find_matrix(file: h5py.File, path: Path, name: str) -> Matrix | None:
    node = file.get(name)
    if node is None and name == "raw.X" and isinstance(file.get("raw"), h5py.Group):
        node = file.get("raw/X")
    if node is None or (isinstance(node, h5py.Dataset) and node.shape is None):  # anndata writes None as a null
        return None
    if isinstance(node, h5py.Dataset):
        if node.ndim != 2 or node.dtype.kind not in "iufb":
            raise RefusedSourceError(
                "matrix_structure", f"{name} must be a matrix of numbers, not {node.dtype} {node.shape}."
            )
        return Matrix(name, node, path, "dense", (int(node.shape[0]), int(node.shape[1])))
    kind = node.attrs.get("encoding-type", node.attrs.get("h5sparse_format", ""))
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    shape = node.attrs.get("shape", node.attrs.get("h5sparse_shape"))
    layouts: dict[str, Literal["csr", "csc"]] = {"csr_matrix": "csr", "csr": "csr", "csc_matrix": "csc", "csc": "csc"}
    complete = all(isinstance(node.get(part), h5py.Dataset) for part in ("data", "indices", "indptr"))
    if kind not in layouts or np.shape(shape) != (2,) or not complete:
        raise RefusedSourceError(
            "matrix_structure", f"{name} is stored as {kind or 'an unknown kind'}, not as dense, CSR or CSC."
        )
    return Matrix(name, node, path, layouts[kind], (int(shape[0]), int(shape[1])))


def _check_sizes(matrix: Matrix, stored_bytes: int) -> None:
    for axis, what in enumerate(("cells", "features")):
        check_rows(f"{matrix.name} ({what})", matrix.shape[axis], stored_bytes)
    if matrix.layout == "dense":
        check_streamed(matrix.name, matrix.shape[0] * matrix.shape[1], matrix.node.dtype.itemsize, stored_bytes)
        return
    for part in ("data", "indices", "indptr"):
        node = matrix.node[part]
        check_column(f"{matrix.name}/{part}", node)
        check_streamed(f"{matrix.name}/{part}", int(node.size or 0), node.dtype.itemsize, stored_bytes)


def _check_range(name: str, minor: NDArray[Any], minors: int, offset: int) -> None:
    if len(minor) and (int(minor.min()) < 0 or int(minor.max()) >= minors):
        first = int(np.argmax((minor < 0) | (minor >= minors)))
        raise RefusedSourceError(
            "matrix_structure",
            f"{name} has index {minor[first]} at position {offset + first}, outside of 0 to {minors - 1}; "
            "write the file again.",
        )
