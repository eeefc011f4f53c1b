"""An ``.h5ad`` file in the making: features at once, cells and rows of counts piece by piece.

Nothing is compressed: the file lives as long as one ingest.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from omics_datastore.ingest.source_file import refuse_nul

_INDEX = "_index"
_CHUNK = 2**16


class H5adDraft:
    """Write an ``.h5ad`` file with CSR counts in ``X``; used in a ``with`` block, whole after its end.

    :param path: The file to write.
    :param dtype: Dtype of the counts.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._file = h5py.File(path, "w")
        self._file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        self._matrix = self._file.create_group("X")
        self._columns = self._vector(self._matrix, "indices", np.dtype(np.int32))
        self._values = self._vector(self._matrix, "data", dtype)
        self._cells = self._vector(self._frame("obs", ()), _INDEX, h5py.string_dtype())
        self._lengths: list[NDArray[np.int64]] = []
        self._features = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                pointers = np.cumsum(np.concatenate([np.zeros(1, np.int64), *self._lengths]))
                self._matrix.create_dataset("indptr", data=pointers)
                shape = (len(pointers) - 1, self._features)
                self._matrix.attrs.update(
                    {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": np.array(shape)}
                )
        finally:
            self._file.close()

    def write_features(self, ids: Sequence[str], columns: Mapping[str, Sequence[str]]) -> None:
        """Write the features.

        :param ids: Their index.
        :param columns: Text columns, each as long as the index.
        """
        frame = self._frame("var", tuple(columns))
        for name, values in {_INDEX: ids, **columns}.items():
            with refuse_nul("the text of the features"):
                frame.create_dataset(name, data=list(values), dtype=h5py.string_dtype())
            _describe(frame[name], "string-array")
        self._features = len(ids)

    def add_cells(self, names: Sequence[str]) -> None:
        """Append cells.

        :param names: Their index.
        """
        with refuse_nul("the names of the cells"):
            _append(self._cells, np.array(names, object))

    def add_rows(self, lengths: NDArray[np.int64], columns: NDArray[np.int32], values: NDArray[Any]) -> None:
        """Append rows of counts.

        :param lengths: int64 (rows,), how many entries each row has.
        :param columns: int32 (n,), features.
        :param values: (n,) in the dtype of the counts.
        """
        self._lengths.append(lengths.astype(np.int64, copy=False))
        _append(self._columns, columns)
        _append(self._values, values)

    def _frame(self, name: str, columns: tuple[str, ...]) -> h5py.Group:
        group = self._file.create_group(name)
        group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": _INDEX})
        group.attrs["column-order"] = np.array(columns, dtype=h5py.string_dtype())
        return group

    def _vector(self, group: h5py.Group, name: str, dtype: Any) -> h5py.Dataset:
        node = group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(_CHUNK,))
        _describe(node, "string-array" if h5py.check_string_dtype(node.dtype) else "array")
        return node


def _describe(node: h5py.Dataset, kind: str) -> None:
    node.attrs.update({"encoding-type": kind, "encoding-version": "0.2.0"})


def _append(node: h5py.Dataset, values: NDArray[Any]) -> None:
    if len(values):
        start = node.shape[0]
        node.resize((start + len(values),))
        node[start:] = values
