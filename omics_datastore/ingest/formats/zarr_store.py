"""AnnData ``.zarr`` stores (zarr 2 and 3, a folder or a zip) copied to ``.h5ad`` piece by piece.

Only what an ingest reads is copied: obs, var, raw, the matrix, and the kept entries of uns. The encodings of AnnData
are the same in both, so groups, arrays and attributes are copied as they are.
"""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.declared_size import check_rows, check_streamed
from omics_datastore.ingest.formats.unpack import unpacked_limit
from omics_datastore.ingest.refusal import RefusedSourceError
from omics_datastore.ingest.source_file import refuse_damage, refuse_nul

_LEAST_CHUNK_BYTES = 16 * 2**20
_SHARE = 32
"""Which part of the limit is read at once: zarr holds chunks packed and unpacked beside the values asked for."""
_TEXTS_AT_ONCE = 2**14
_TEXT_KINDS = "OSTU"
_ALWAYS_KEPT = ("schema_version", "organism_ontology_term_id")
_ROOT_DOCUMENTS = (".zgroup", "zarr.json")


def convert_zarr(path: Path, target: Path, config: DatasetConfig, memory_limit_bytes: int) -> None:
    """Write what an ingest reads of a store as ``.h5ad``.

    :param path: The store: a folder, or a zip file.
    :param target: The file to write.
    :param config: Configuration of the dataset; says which matrix and which entries of uns are read.
    :param memory_limit_bytes: Bytes of cell data to hold at once.
    :raise RefusedSourceError: When it is no zarr store of AnnData, or cannot be read.
    """
    with _open(path, config) as store, h5py.File(target, "w") as file:
        copy = _Copy(memory_limit_bytes, _stored_bytes(path))
        for name in _wanted(config):
            with refuse_damage(name):
                node = store.get(name)
            if node is not None:
                copy.node(node, file, name)
        for layer in _layers(store):  # known by name, for the message that lists them
            file.require_group(f"layers/{layer}")


def _wanted(config: DatasetConfig) -> list[str]:
    chosen = config.counts_from
    matrices = {"auto": ["raw/X", "X"], "raw.X": ["raw/X"]}.get(chosen, [chosen])
    frames = ["obs", "var", *(["raw/var"] if "raw/X" in matrices else [])]
    return [*frames, *matrices, *(f"uns/{entry}" for entry in dict.fromkeys((*config.uns_keep, *_ALWAYS_KEPT)))]


def _layers(store: Any) -> list[str]:
    import zarr

    with refuse_damage("layers"):
        layers = store.get("layers")
        return sorted(name for name, _ in layers.members()) if isinstance(layers, zarr.Group) else []


class _Copy:
    """Copy nodes of a store into a file.

    :param limit: Bytes of cell data to hold at once.
    :param stored_bytes: Bytes of the store.
    """

    def __init__(self, limit: int, stored_bytes: int) -> None:
        self._limit = limit
        self._stored_bytes = stored_bytes

    def node(self, node: Any, file: h5py.File, name: str) -> None:
        """Copy a group with all below it, or an array."""
        import zarr

        if isinstance(node, zarr.Array):
            self._array(node, file, name)
        else:
            group = file.require_group(name)
            with refuse_damage(name):
                children = sorted(node.members())
            self._refuse_missing_chunks(dict(children), name)
            for child, below in children:
                self.node(below, file, f"{name}/{child}")
            _copy_attributes(node, group, name)
            return
        _copy_attributes(node, file[name], name)

    def _array(self, array: Any, file: h5py.File, name: str) -> None:
        dtype = array.dtype
        text = dtype.kind in _TEXT_KINDS
        if dtype.kind not in "biufc" and not text:
            raise RefusedSourceError("readable", f"{name} has the type {dtype}, which Nexus cannot read; convert it.")
        if array.ndim and name.partition("/")[0] in ("obs", "var"):
            check_rows(name, int(array.shape[0]), self._stored_bytes)
        check_streamed(name, math.prod(map(int, array.shape)), max(1, int(dtype.itemsize)), self._stored_bytes)
        if array.ndim == 0:
            with refuse_damage(name):
                value = np.asarray(array[()])
            file.create_dataset(name, data=str(value) if text else value, dtype=h5py.string_dtype() if text else None)
            return
        self._check_chunks(array, name)
        chunks = None if text or array.ndim == 1 or 0 in array.shape else tuple(map(min, array.chunks, array.shape))
        node = file.create_dataset(
            name,
            array.shape,
            h5py.string_dtype() if text else dtype,
            chunks=chunks,
            compression=None if chunks is None else "lzf",
        )
        for place in _places(array, self._rows(array, text=text), self._limit // _SHARE):
            with refuse_damage(name):
                values = np.asarray(array[place])
                if text:
                    values = values.astype(object)
            with refuse_nul(name):
                node[place] = values

    def _rows(self, array: Any, *, text: bool) -> int:
        """Return how many rows of an array are read at once: whole chunks."""
        height = int(array.chunks[0])
        if text:
            return max(height, _TEXTS_AT_ONCE // height * height)
        row = int(array.dtype.itemsize * np.prod(array.shape[1:], dtype=np.int64))
        return int(max(height, self._limit // _SHARE // max(1, row) // height * height))

    def _check_chunks(self, array: Any, name: str) -> None:
        size = int(np.prod(array.chunks, dtype=np.int64)) * array.dtype.itemsize
        limit = max(_LEAST_CHUNK_BYTES, self._limit // 2)
        if size > limit:
            raise RefusedSourceError(
                "matrix_structure",
                f"{name} has chunks of {' x '.join(map(str, array.chunks))} values, more than the {limit} bytes that "
                "may be read at once; rewrite the store with smaller chunks or raise the memory limit.",
            )

    def _refuse_missing_chunks(self, children: dict[str, Any], name: str) -> None:
        """Refuse a sparse matrix that lacks chunks: zarr reads zeros there, and a matrix holds no chunk of zeros."""
        if not {"data", "indices", "indptr"} <= children.keys():
            return
        for part in ("data", "indices"):
            with refuse_damage(f"{name}/{part}"):
                array = children[part]
                check_streamed(f"{name}/{part}", int(array.size), int(array.dtype.itemsize), self._stored_bytes)
                missing = 0 if array.size < 2 else array.nchunks - array.nchunks_initialized
            if missing > 0:
                raise RefusedSourceError(
                    "readable", f"{name}/{part} lacks {missing} of its {array.nchunks} chunks; copy the store again."
                )


def _places(array: Any, rows: int, limit: int) -> Iterator[Any]:
    """Return slices that cover an array: strips of rows, cut into tiles where a strip of a matrix is too large."""
    width = int(array.shape[1]) if array.ndim == 2 else 1
    step = width
    if array.ndim == 2 and rows * width * array.dtype.itemsize > limit:
        column = int(array.chunks[1])
        step = max(column, limit // max(1, rows * array.dtype.itemsize) // column * column)
    for top in range(0, array.shape[0], rows):
        strip = slice(top, min(array.shape[0], top + rows))
        if array.ndim == 2:
            for left in range(0, width, step):
                yield strip, slice(left, min(width, left + step))
        else:
            yield strip


def _copy_attributes(source: Any, target: Any, name: str) -> None:
    with refuse_damage(name):
        attributes = dict(source.attrs)
    for key, value in attributes.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            target.attrs[key] = np.array(value, dtype=h5py.string_dtype())
        elif isinstance(value, str | bool | int | float) or (
            isinstance(value, list) and all(isinstance(item, int | float) for item in value)
        ):
            target.attrs[key] = value


def _stored_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


@contextmanager
def _open(path: Path, config: DatasetConfig) -> Iterator[Any]:
    import zarr
    from zarr.storage import LocalStore, ZipStore

    folder = ""
    if path.is_file():
        folder = _zip_root(path, config)
    store = ZipStore(path, mode="r") if path.is_file() else LocalStore(path, read_only=True)
    try:
        try:
            group = zarr.open_group(store, mode="r", path=folder or None)
        except Exception as error:  # zarr has no error of its own for each kind of damage
            raise RefusedSourceError(
                "readable", f"it is not a zarr store that can be opened ({error}); write it with anndata's write_zarr."
            ) from error
        yield group
    finally:
        with suppress(AttributeError):  # of a zip file that was never opened
            store.close()


def _zip_root(path: Path, config: DatasetConfig) -> str:
    """Return the folder in the zip file that is the store."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = archive.infolist()
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise RefusedSourceError(
            "readable", f"it is no zip file, damaged or cut off ({error}); copy the file again."
        ) from error
    limit = unpacked_limit(path.stat().st_size, config.validation.max_file_bytes)
    if sum(file.file_size for file in files) > limit:
        raise RefusedSourceError(
            "size_limit",
            f"the file unpacks to more than {limit} bytes; set validation.max_file_bytes to allow more.",
        )
    roots = [file.filename for file in files if file.filename.rpartition("/")[2] in _ROOT_DOCUMENTS]
    shortest = min(roots, key=lambda name: (name.count("/"), name), default="")
    return shortest.rpartition("/")[0]
