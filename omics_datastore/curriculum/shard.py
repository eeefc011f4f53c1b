"""The one place that writes shards: a small interface, and the ``.h5ad`` writer behind it (zarr: ``zarr_shard``).

A shard is an ordinary gzip+shuffle HDF5 file, but made with ISA-L and direct chunk writes (format of a chunk:
HDF5 file format specification, filters 1 ``deflate`` and 2 ``shuffle``). The layout of the groups is anndata's
(on-disk format 0.1.0, elements ``csr_matrix`` and ``dataframe``); obs and var are written by anndata itself.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from omics_datastore.curriculum.deflate import deflate
from omics_datastore.curriculum.plan_model import ObsColumn

if TYPE_CHECKING:
    import h5py
    import pandas as pd

SHARD_FORMAT = 2
"""Changes when the same plan would give other bytes."""

CHUNK_ITEMS = 1 << 18
"""Items of a chunk of ``data`` and ``indices``: 1 MiB."""

_EMPTY_GROUPS = ("layers", "obsm", "obsp", "uns", "varm", "varp")


@dataclass(frozen=True)
class CountsMatrix:
    """Counts as CSR, rows being cells and columns the features of the curriculum.

    ``indptr`` (cells + 1,) int32 or int64, ``indices`` int32, ascending and without repeats inside a row,
    ``data`` float32.
    """

    indptr: NDArray[np.int32] | NDArray[np.int64]
    indices: NDArray[np.int32]
    data: NDArray[np.float32]
    features: int

    @property
    def cells(self) -> int:
        """Return the number of rows."""
        return len(self.indptr) - 1

    def int32_indptr(self) -> NDArray[np.int32]:
        """Return ``indptr`` as shards hold it.

        :return: int32 (cells + 1,).
        :raise ValueError: When there are too many counts.
        """
        if self.indptr[-1] > np.iinfo(np.int32).max:
            raise ValueError("a shard holds at most 2**31 - 1 counts")
        return self.indptr.astype(np.int32, copy=False)


class ShardWriter(ABC):
    """Write shards that share their features and their obs columns."""

    @abstractmethod
    def write(self, path: Path, counts: CountsMatrix, first_position: int, obs: pl.DataFrame) -> None:
        """Write one shard; the same input gives the same bytes.

        :param path: File to make, or folder, as the format has it.
        :param counts: The matrix.
        :param first_position: Place of the first cell in the curriculum; the others follow it.
        :param obs: One row a cell, one column an obs column of the layout, by name.
        :raise ValueError: When obs does not fit the matrix or the layout.
        """


class H5adShardWriter(ShardWriter):
    """Write ``.h5ad`` shards that anndata 0.10 and later read.

    :param features: Columns ``feature_id``, ``feature_name``: one row a column of the matrix.
    :param layout: The obs columns in order.
    :param compression: ``gzip`` (byte shuffle and deflate level 1) or ``none``.
    """

    def __init__(self, features: pl.DataFrame, layout: list[ObsColumn], compression: str) -> None:
        self._features = features
        self._layout = layout
        self._compress = compression == "gzip"

    def write(self, path: Path, counts: CountsMatrix, first_position: int, obs: pl.DataFrame) -> None:
        import h5py
        from anndata.io import write_elem

        check_lengths(counts, obs, self._features)
        frame = obs_frame(obs, self._layout, first_position)
        # HDF5 1.14 cannot read what libver="latest" writes.
        with h5py.File(path, "w", libver=("earliest", "v110")) as file:
            file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
            self._write_counts(file, counts)
            write_elem(file, "obs", frame, dataset_kwargs=self._filters)
            self._write_var(file)
            for name in _EMPTY_GROUPS:
                write_elem(file, name, {})

    @cached_property
    def _var(self) -> "pd.DataFrame":
        return var_frame(self._features)

    @property
    def _filters(self) -> dict[str, Any]:
        """Return the filters of obs and var: of text HDF5 compresses the references only, 16 bytes each."""
        return {"compression": "gzip", "compression_opts": 1, "shuffle": True} if self._compress else {}

    def _write_var(self, file: "h5py.File") -> None:
        """Write var; the ids are its index and a column, which are one dataset under two names."""
        from anndata.io import write_elem

        frame = self._var
        write_elem(file, "var", frame.drop(columns=["feature_id"]), dataset_kwargs=self._filters)
        file["var"]["feature_id"] = file["var"]["_index"]
        file["var"].attrs["column-order"] = frame.columns.to_numpy(dtype=object)

    def _write_counts(self, file: "h5py.File", counts: CountsMatrix) -> None:
        group = file.create_group("X")
        shape = np.array([counts.cells, counts.features], dtype=np.int64)
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape})
        self._write_vector(group, "data", counts.data)
        self._write_vector(group, "indices", counts.indices)
        self._write_vector(group, "indptr", counts.int32_indptr())

    def _write_vector(self, group: "h5py.Group", name: str, values: NDArray[Any]) -> None:
        if not self._compress or not len(values):
            group.create_dataset(name, data=values)
            return
        size = min(CHUNK_ITEMS, len(values))
        target = group.create_dataset(
            name, values.shape, values.dtype, chunks=(size,), shuffle=True, compression="gzip", compression_opts=1
        )
        planes = np.zeros((values.itemsize, size), np.uint8)
        for start in range(0, len(values), size):
            chunk = values[start : start + size]
            if len(chunk) < size:  # a chunk is always stored whole
                chunk = np.concatenate([chunk, np.zeros(size - len(chunk), chunk.dtype)])
            fill_byte_planes(chunk, planes)
            target.id.write_direct_chunk((start,), deflate(planes))


def fill_byte_planes(values: NDArray[Any], planes: NDArray[np.uint8]) -> None:
    """Do what HDF5's filter ``shuffle`` does to a chunk: first the lowest byte of every value, then the next.

    Shifting whole values is twice as fast as moving single bytes.

    :param values: (n,) of four bytes each, little-endian.
    :param planes: uint8 (4, n), to be filled.
    """
    words = values.view("<u4")
    used = 4 if values.dtype.kind == "f" else -(-int(words.max()).bit_length() // 8)
    shifted = words
    for place in range(used):
        if place:
            shifted = words >> np.uint32(8 * place)
        np.copyto(planes[place], shifted, casting="unsafe")
    planes[used:] = 0


def check_lengths(counts: CountsMatrix, obs: pl.DataFrame, features: pl.DataFrame) -> None:
    """Check that what makes a shard belongs together.

    :param counts: The matrix.
    :param obs: One row a cell.
    :param features: One row a column of the matrix.
    :raise ValueError: When they differ in length.
    """
    if obs.height != counts.cells or counts.features != features.height:
        raise ValueError("obs, features and matrix differ in length")


def shard_writer(features: pl.DataFrame, layout: list[ObsColumn], file_format: str, compression: str) -> ShardWriter:
    """Return the writer of a format.

    :param features: Columns ``feature_id``, ``feature_name``.
    :param layout: The obs columns in order.
    :param file_format: ``h5ad`` or ``zarr``.
    :param compression: One of the format's.
    :return: The writer.
    :raise ValueError: For another format.
    """
    if file_format == "zarr":
        from omics_datastore.curriculum.zarr_shard import ZarrShardWriter

        return ZarrShardWriter(features, layout, compression)
    if file_format != "h5ad":
        raise ValueError(f"no shard writer for {file_format}")
    return H5adShardWriter(features, layout, compression)


def var_frame(features: pl.DataFrame) -> "pd.DataFrame":
    """Make the var of every shard.

    :param features: Columns ``feature_id``, ``feature_name``.
    :return: A frame of both, the ids being its index too.
    """
    import pandas as pd

    ids = np.array(features["feature_id"].to_list(), dtype=object)
    names = np.array(features["feature_name"].to_list(), dtype=object)
    return pd.DataFrame({"feature_id": ids, "feature_name": names}, index=pd.Index(ids, dtype=object))


def obs_frame(obs: pl.DataFrame, layout: list[ObsColumn], first_position: int) -> "pd.DataFrame":
    """Put obs columns into the dtypes of the layout; the index is the place in the curriculum as text.

    :param obs: One column an obs column, by name; more are ignored.
    :param layout: The obs columns in order.
    :param first_position: Place of the first row.
    :return: A frame with the layout's columns, for anndata.
    :raise ValueError: When a value is not among the categories of its column.
    """
    import pandas as pd

    positions = np.arange(first_position, first_position + obs.height).astype(str).astype(object)
    columns = {column.name: _obs_values(obs[column.name], column) for column in layout}
    return pd.DataFrame(columns, index=pd.Index(positions, dtype=object))


def _obs_values(values: pl.Series, column: ObsColumn) -> Any:
    import pandas as pd

    if column.kind == "category":
        categories = column.categories or []
        known = dict(zip(categories, range(len(categories)), strict=True))
        codes = values.replace_strict(known, default=None, return_dtype=pl.Int32) if known else values.cast(pl.Int32)
        if codes.null_count() != values.null_count():
            raise ValueError(f"obs column {column.name} holds a value that is not among its categories")
        index = pd.Index(np.array(categories, dtype=object), dtype=object)
        return pd.Categorical.from_codes(codes.fill_null(-1).to_numpy(), categories=index)
    if column.kind == "string":
        return np.array(values.fill_null("").to_list(), dtype=object)
    if column.kind == "boolean":
        return pd.array(values.to_list(), dtype="boolean")
    if column.kind == "float64":
        return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if values.null_count():
        raise ValueError(f"obs column {column.name} of kind {column.kind} holds a null")
    return values.cast(pl.Int64 if column.kind == "int64" else pl.Boolean).to_numpy()
