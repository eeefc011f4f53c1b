"""obs and var of an ``.h5ad`` file as Polars frames, read in ranges of rows.

Knows the encodings AnnData has written: dataframe 0.1.0 and 0.2.0 (groups with ``column-order``; categoricals as
groups or by reference into ``__categories``; nullable arrays) and the compound datasets of before 0.7, whose
category names are in ``uns`` (``<column>_categories``).
"""

from typing import Any

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray

from omics_datastore.ingest.refusal import RefusedSourceError


class FrameReader:
    """Read a dataframe of an open file in ranges of rows.

    :param file: The open file.
    :param path: Path of the dataframe in the file, for example ``obs``.
    :raise RefusedSourceError: When there is no dataframe at the path.
    """

    def __init__(self, file: h5py.File, path: str) -> None:
        node = file.get(path)
        if node is None:
            raise RefusedSourceError("readable", f"the file has no {path}; write it with anndata.")
        self._path = path
        self._node = node
        self._compound = isinstance(node, h5py.Dataset)
        if self._compound:
            self._open_compound(file)
        else:
            self._open_group(file)
        duplicated = sorted({name for name in self.columns if self.columns.count(name) > 1})
        if duplicated:
            raise RefusedSourceError("readable", f"{path} has two columns named {', '.join(duplicated)}; rename one.")

    def _open_group(self, file: h5py.File) -> None:
        node = self._node
        index = node.attrs.get("_index")
        if index is None or _text(index) not in node:
            raise RefusedSourceError("readable", f"{self._path} has no index; write the file with anndata.")
        self._index = _text(index)
        self.columns = [_text(name) for name in node.attrs.get("column-order", [])]
        missing = [name for name in self.columns if name not in node]
        if missing:
            raise RefusedSourceError("readable", f"{self._path} lacks its column {missing[0]!r}; write the file again.")
        self.length = _length(node[self._index])
        self._categories = {name: _group_categories(file, node[name]) for name in self.columns}
        for name in self.columns:
            length = _length(node[name])
            if length != self.length:
                raise RefusedSourceError(
                    "readable",
                    f"{self._path}[{name!r}] has {length} values for {self.length} rows; write the file again.",
                )

    def _open_compound(self, file: h5py.File) -> None:
        names = self._node.dtype.names
        if not names:
            raise RefusedSourceError("readable", f"{self._path} is not a table; write the file with anndata.")
        self._index = "index" if "index" in names else names[0]
        self.columns = [name for name in names if name != self._index]
        self.length = int(self._node.shape[0])
        uns = file.get("uns")
        self._categories = {
            name: _decode(np.atleast_1d(uns[f"{name}_categories"][()]))
            if isinstance(uns, h5py.Group) and isinstance(uns.get(f"{name}_categories"), h5py.Dataset)
            else None
            for name in self.columns
        }

    def index(self, start: int, stop: int) -> pl.Series:
        """Return the index of a range of rows as text.

        :param start: First row.
        :param stop: Row after the last.
        :return: Text series without nulls.
        """
        return self._series(self._index, None, start, stop).cast(pl.String).fill_null("")

    def read(self, start: int, stop: int) -> pl.DataFrame:
        """Return the columns of a range of rows; the index is not among them.

        :param start: First row.
        :param stop: Row after the last.
        :return: Text, integer, float and boolean columns; NaN and missing categories are null.
        """
        return pl.DataFrame(
            [self._series(name, self._categories[name], start, stop).alias(name) for name in self.columns]
        )

    def _series(self, name: str, categories: pl.Series | None, start: int, stop: int) -> pl.Series:
        if self._compound:
            return _to_series(self._node.fields([name])[start:stop][name], categories)
        node = self._node[name]
        if isinstance(node, h5py.Dataset):
            return _to_series(node[start:stop], categories)
        if "codes" in node:
            return _to_series(node["codes"][start:stop], categories)
        if "values" in node:
            values = _to_series(node["values"][start:stop], None)
            if "mask" not in node:
                return values
            masked = pl.Series(np.asarray(node["mask"][start:stop], dtype=bool))
            return values.to_frame("v").with_columns(v=pl.when(~masked).then(pl.col("v"))).to_series()
        raise RefusedSourceError(
            "readable",
            f"{self._path}[{name!r}] has the encoding {_text(node.attrs.get('encoding-type', 'unknown'))}, "
            "which Nexus cannot read; convert the column to text, numbers or categories.",
        )


def _length(node: Any) -> int:
    if isinstance(node, h5py.Group):
        inner = node.get("codes", node.get("values"))
        return int(inner.shape[0]) if inner is not None else -1
    return int(node.shape[0]) if node.ndim == 1 else -1


def _group_categories(file: h5py.File, node: Any) -> pl.Series | None:
    if isinstance(node, h5py.Group):
        if "categories" not in node:
            return None
        inner = node["categories"]
        return _decode(inner["values"][()] if isinstance(inner, h5py.Group) else inner[()])
    reference = node.attrs.get("categories")
    return None if reference is None else _decode(file[reference][()])


def _decode(values: NDArray[Any]) -> pl.Series:
    return _to_series(values, None).cast(pl.String)


def _to_series(values: NDArray[Any], categories: pl.Series | None) -> pl.Series:
    if categories is not None:
        codes = pl.Series(np.asarray(values).astype(np.int64))
        known = codes.to_frame("c").select(
            pl.when((pl.col("c") >= 0) & (pl.col("c") < len(categories))).then(pl.col("c"))
        )
        return categories.gather(known.to_series())
    if values.dtype.kind in "OS":
        return pl.Series([_text(value) for value in values.tolist()], dtype=pl.String)
    if values.dtype.kind == "U":
        return pl.Series(values.tolist(), dtype=pl.String)
    series = pl.Series(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("=")))
    return series.fill_nan(None) if series.dtype.is_float() else series


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
