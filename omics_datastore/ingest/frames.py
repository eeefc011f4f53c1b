"""obs and var of an ``.h5ad`` file as Polars frames, read in ranges of rows.

Knows the encodings AnnData has written: dataframe 0.1.0 and 0.2.0 (groups with ``column-order``; categoricals as
groups or by reference into ``__categories``; nullable arrays) and the compound datasets of before 0.7, whose
category names are in ``uns`` (``<column>_categories``).
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray

from omics_datastore.ingest.declared_size import check_column, check_rows, held_dataset
from omics_datastore.ingest.frame_values import UnknownCodeError, gather, is_readable, text, to_series
from omics_datastore.ingest.manifest import Finding
from omics_datastore.ingest.refusal import RefusedSourceError
from omics_datastore.ingest.source_file import refuse_damage

_PARTS = ("codes", "values", "mask")
"""What a column that is a group has a value of for each row."""


class FrameReader:
    """Read a dataframe of an open file in ranges of rows.

    ``columns`` are those that can be read, ``unreadable`` says of each other why not; the index is in neither.
    ``row_bytes`` is what a row takes at least, ``stored_bytes`` the size of the file.

    :param file: The open file.
    :param path: Path of the dataframe in the file, for example ``obs``.
    :raise RefusedSourceError: When there is no dataframe at the path, or it contradicts itself.
    """

    def __init__(self, file: h5py.File, path: str) -> None:
        node = file.get(path)
        if node is None:
            raise RefusedSourceError("readable", f"the file has no {path}; write it with anndata.")
        self.path = path.replace("/", ".")
        self.columns: list[str] = []
        self.unreadable: dict[str, str] = {}
        self.row_bytes = 0
        self.stored_bytes = int(file.id.get_filesize())
        self._node = node
        self._categories: dict[str, pl.Series] = {}
        self._compound = isinstance(node, h5py.Dataset)
        with refuse_damage(self.path):
            names = self._open_compound(file) if self._compound else self._open_group(file)
        self.columns = [name for name in names if name not in self.unreadable]
        check_rows(self.path, self.length, self.stored_bytes)

    def index(self, start: int, stop: int) -> pl.Series:
        """Return the index of a range of rows as text.

        :param start: First row.
        :param stop: Row after the last.
        :return: Text series without nulls.
        :raise RefusedSourceError: When the file is damaged there.
        """
        return self._series(self._index, start, stop).cast(pl.String).fill_null("")

    def read(self, start: int, stop: int) -> pl.DataFrame:
        """Return the columns of a range of rows; the index is not among them.

        :param start: First row.
        :param stop: Row after the last.
        :return: Text, integer, float and boolean columns; NaN and missing categories are null.
        :raise RefusedSourceError: When the file is damaged there.
        """
        return pl.DataFrame([self._series(name, start, stop).alias(name) for name in self.columns])

    def require(self, names: Iterable[str]) -> None:
        """Refuse the file when one of these columns cannot be read; a missing one is no error.

        :param names: Columns that something depends on.
        :raise RefusedSourceError: For the first that cannot be read.
        """
        for name in names:
            if name in self.unreadable:
                raise RefusedSourceError(
                    "readable",
                    f"{self.path}[{name!r}] {self.unreadable[name]}, which Nexus cannot read; "
                    "convert the column to text, numbers or categories.",
                )

    def findings(self) -> list[Finding]:
        """Return a warning for each column that is left out because it cannot be read."""
        return [
            Finding(
                rule="unreadable_columns",
                severity="warning",
                message=f"{self.path}[{name!r}] {reason}, which Nexus cannot read, and was left out.",
            )
            for name, reason in self.unreadable.items()
        ]

    def _open_group(self, file: h5py.File) -> list[str]:
        node = self._node
        index = node.attrs.get("_index")
        if index is None or text(index) not in node:
            raise RefusedSourceError("readable", f"{self.path} has no index; write the file with anndata.")
        self._index = text(index)
        names = [text(name) for name in node.attrs.get("column-order", [])]
        duplicated = sorted(name for name, times in Counter(names).items() if times > 1)
        if duplicated:  # looked at first: opening a column takes a millisecond
            raise RefusedSourceError(
                "readable", f"{self.path} has two columns named {', '.join(duplicated[:5])}; rename one."
            )
        self.length = _length(node[self._index])
        if self.length < 0:
            self.unreadable[self._index] = _why_unreadable(node[self._index]) or "has parts of different lengths"
            self._require_index()
        for name in (self._index, *names):
            if name not in node:
                raise RefusedSourceError("readable", f"{self.path} lacks its column {name!r}; write the file again.")
            reason = _why_unreadable(node[name])
            if reason is not None:
                self.unreadable[name] = reason
                continue
            self._measure(name, node[name])
            length = _length(node[name])
            if length != self.length:
                raise RefusedSourceError(
                    "readable",
                    f"{self.path}[{name!r}] has {length} values for {self.length} rows; write the file again.",
                )
            categories = _categories(file, node[name], f"the categories of {self.path}[{name!r}]")
            if categories is not None:
                self._categories[name] = categories
        self._require_index()
        return names

    def _open_compound(self, file: h5py.File) -> list[str]:
        names = self._node.dtype.names
        if not names or self._node.ndim != 1:
            raise RefusedSourceError("readable", f"{self.path} is not a table; write the file with anndata.")
        self._measure(names[0], self._node)
        self._index = "index" if "index" in names else names[0]
        self.length = int(self._node.shape[0])
        uns = file.get("uns")
        for name in names:
            dtype = self._node.dtype[name]
            if not is_readable(dtype):
                self.unreadable[name] = f"has the type {dtype}"
            stored = uns.get(f"{name}_categories") if isinstance(uns, h5py.Group) else None
            if isinstance(stored, h5py.Dataset) and dtype.kind in "iu":
                what = f"the categories of {self.path}[{name!r}]"
                self._categories[name] = to_series(np.atleast_1d(held_dataset(what, stored)[()]))
        self._require_index()
        return [name for name in names if name != self._index]

    def _measure(self, name: str, node: Any) -> None:
        parts = [node] if isinstance(node, h5py.Dataset) else [node[part] for part in _PARTS if part in node]
        for part in parts:
            check_column(f"{self.path}[{name!r}]", part)
            self.row_bytes += int(part.dtype.itemsize)

    def _require_index(self) -> None:
        if self._index in self.unreadable:
            raise RefusedSourceError(
                "readable",
                f"the index of {self.path} {self.unreadable[self._index]}, which Nexus cannot read; make it text.",
            )

    def _series(self, name: str, start: int, stop: int) -> pl.Series:
        try:
            with refuse_damage(f"{self.path}[{name!r}] in rows {start} to {stop - 1}"):
                return self._read(name, start, stop)
        except UnknownCodeError as error:
            raise RefusedSourceError(
                "readable",
                f"{self.path}[{name!r}] has the code {error} for {len(self._categories[name])} categories; "
                "write the file again.",
            ) from error

    def _read(self, name: str, start: int, stop: int) -> pl.Series:
        node = self._node if self._compound else self._node[name]
        mask: NDArray[np.bool_] | None = None
        if self._compound:
            values = node.fields([name])[start:stop][name]
        elif isinstance(node, h5py.Dataset):
            values = node[start:stop]
        elif "codes" in node:
            values = node["codes"][start:stop]
        else:
            values = node["values"][start:stop]
            mask = np.asarray(node["mask"][start:stop], bool) if "mask" in node else None
        if name in self._categories:
            return gather(values, self._categories[name])
        series = to_series(values)
        if mask is None:
            return series
        return series.to_frame("v").select(pl.when(pl.Series(~mask)).then(pl.col("v"))).to_series()


def _why_unreadable(node: Any) -> str | None:
    """Return the predicate of a sentence about a column, or ``None`` when it can be read."""
    if isinstance(node, h5py.Group):
        parts = ("codes", "categories") if "codes" in node else ("values",)
        if any(part not in node for part in parts):
            return f"has the encoding {text(node.attrs.get('encoding-type', 'unknown'))}"
        for part in parts:
            reason = _why_unreadable(node[part])
            if reason is not None:
                return reason
        return None
    if node.shape is None or node.ndim != 1:
        return f"has the shape {node.shape}"
    return None if is_readable(node.dtype) else f"has the type {node.dtype}"


def _length(node: Any) -> int:
    """Return the number of values of a column; -1 when its parts differ."""
    if isinstance(node, h5py.Dataset):
        return int(node.shape[0]) if node.shape is not None and node.ndim == 1 else -1
    lengths = {int(node[part].shape[0]) for part in _PARTS if part in node}
    return lengths.pop() if len(lengths) == 1 else -1


def _categories(file: h5py.File, node: Any, what: str) -> pl.Series | None:
    if isinstance(node, h5py.Group):
        if "codes" not in node:
            return None
        inner = node["categories"]
        return to_series(held_dataset(what, inner["values"] if isinstance(inner, h5py.Group) else inner)[()])
    reference = node.attrs.get("categories")
    return None if reference is None else to_series(held_dataset(what, file[reference])[()])
