"""Make small ``.h5ad`` source files of every kind that people drop, with anndata's own writer or by hand with h5py.

A matrix is given as a dense array of counts; the :class:`Layout` says how the file holds it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

Kind = Literal["csr", "csc", "dense"]
KINDS: tuple[Kind, ...] = ("csr", "csc", "dense")


@dataclass(frozen=True)
class Layout:
    """How a matrix is stored.

    ``disordered`` shuffles the entries of every row or column, ``split`` stores counts above one as two entries,
    ``zeros`` stores some zeros. ``chunks`` is the number of values, or the shape of a dense matrix's chunks.
    """

    kind: Kind = "csr"
    dtype: str = "float32"
    compression: Literal["gzip", "lzf"] | None = "gzip"
    shuffle: bool = False
    chunks: int | tuple[int, int] | None = None
    index_dtype: str = "int32"
    disordered: bool = False
    split: bool = False
    zeros: bool = False

    def options(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return the h5py options of a dataset of this shape."""
        if self.compression is None and self.chunks is None:
            return {}
        chunks: Any = self.chunks
        if isinstance(chunks, int):
            chunks = (chunks,) * len(shape)
        if chunks is not None:
            chunks = tuple(max(1, min(size, limit)) for size, limit in zip(chunks, shape, strict=False))
        options: dict[str, Any] = {"chunks": chunks if chunks and len(chunks) == len(shape) and all(shape) else None}
        if self.compression is not None and all(shape):
            options |= {"compression": self.compression, "shuffle": self.shuffle}
        return options


def ensembl_ids(number: int, first: int = 0) -> list[str]:
    """Return made-up human gene ids."""
    return [f"ENSG{first + place:011d}" for place in range(number)]


def cell_names(number: int) -> list[str]:
    return [f"cell{place}" for place in range(number)]


def make_source(
    path: Path,
    counts: NDArray[Any],
    layout: Layout | None = None,
    *,
    where: str = "X",
    x: NDArray[Any] | None = None,
    obs: pd.DataFrame | None = None,
    var: pd.DataFrame | None = None,
    x_var: pd.DataFrame | None = None,
    uns: Mapping[str, Any] | None = None,
) -> Path:
    """Write a source file.

    :param path: Where to.
    :param counts: Counts (cells, features), dense; any dtype, stored as the layout says.
    :param layout: How they are stored.
    :param where: ``X``, ``raw.X`` or ``layers/<name>``.
    :param x: What X holds when the counts are elsewhere; nothing by default.
    :param obs: The cells; without columns by default.
    :param var: The features of the counts; made-up Ensembl ids by default.
    :param x_var: The features of X when the counts are in raw.X; those of the counts by default.
    :param uns: Entries of uns.
    """
    from anndata.io import write_elem

    layout = layout or Layout()
    cells, features = counts.shape
    obs = pd.DataFrame(index=pd.Index(cell_names(cells), dtype=object)) if obs is None else obs
    var = pd.DataFrame(index=pd.Index(ensembl_ids(features), dtype=object)) if var is None else var
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", obs)
        write_elem(file, "uns", dict(uns or {}))
        write_elem(file, "var", var if where != "raw.X" or x_var is None else x_var)
        if where == "raw.X":
            raw = file.create_group("raw")
            raw.attrs.update({"encoding-type": "raw", "encoding-version": "0.1.0"})
            write_elem(raw, "var", var)
        write_matrix(file, where.replace("raw.X", "raw/X"), counts, layout)
        if x is not None:
            write_matrix(file, "X", x, Layout("dense", str(x.dtype)))
    return path


def write_matrix(parent: h5py.Group, name: str, dense: NDArray[Any], layout: Layout) -> None:
    """Write a matrix into a file or group."""
    dtype = np.dtype(layout.dtype)
    if layout.kind == "dense":
        node = parent.create_dataset(name, data=dense.astype(dtype), **layout.options(dense.shape))
        node.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        return
    group = parent.create_group(name)
    group.attrs.update({"encoding-type": f"{layout.kind}_matrix", "encoding-version": "0.1.0", "shape": dense.shape})
    for part, values in sparse_parts(dense, layout).items():
        group.create_dataset(part, data=values, **layout.options(values.shape))


def sparse_parts(dense: NDArray[Any], layout: Layout) -> dict[str, NDArray[Any]]:
    """Return ``data``, ``indices`` and ``indptr`` of a matrix."""
    random = np.random.default_rng(7)
    majors = dense if layout.kind == "csr" else dense.T
    data: list[Any] = []
    indices: list[int] = []
    pointers = [0]
    for line in majors:
        entries: list[tuple[int, Any]] = []
        for place, value in enumerate(line.tolist()):
            if layout.split and not isinstance(value, bool) and value > 1:
                entries += [(place, 1), (place, value - 1)]
            elif value or (layout.zeros and place % 3 == 0):
                entries.append((place, value))
        if layout.disordered:
            entries = [entries[position] for position in random.permutation(len(entries))]
        indices += [place for place, _ in entries]
        data += [value for _, value in entries]
        pointers.append(len(data))
    index = np.dtype(layout.index_dtype)
    return {
        "data": np.array(data, np.dtype(layout.dtype)),
        "indices": np.array(indices, index),
        "indptr": np.array(pointers, index),
    }


def make_0_7_source(path: Path, counts: NDArray[Any], cell_type: list[str | None], ids: list[str]) -> Path:
    """Write the layout of anndata 0.7: dataframe 0.1.0, codes that refer to ``__categories``."""
    text = h5py.string_dtype()
    categories = sorted({name for name in cell_type if name is not None})
    with h5py.File(path, "w") as file:
        write_matrix(file, "X", counts, Layout("csr", compression=None))
        for name, index in (("obs", cell_names(len(counts))), ("var", ids)):
            group = file.create_group(name)
            group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.1.0", "_index": "index"})
            group.create_dataset("index", data=index, dtype=text)
            group.attrs["column-order"] = np.array(["cell_type"] if name == "obs" else [], dtype=text)
        obs = file["obs"]
        stored = obs.create_dataset("__categories/cell_type", data=categories, dtype=text)
        codes = [categories.index(name) if name is not None else -1 for name in cell_type]
        obs.create_dataset("cell_type", data=np.array(codes, np.int8)).attrs["categories"] = stored.ref
    return path


def make_0_5_source(path: Path, counts: NDArray[Any], cell_type: list[str], ids: list[str]) -> Path:
    """Write the layout of before 0.7: obs and var as tables, categories in uns, a matrix with ``h5sparse`` names."""
    categories = sorted(set(cell_type))
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        group.attrs.update({"h5sparse_format": b"csr", "h5sparse_shape": counts.shape})
        for part, values in sparse_parts(counts, Layout("csr")).items():
            group.create_dataset(part, data=values)
        obs = np.empty(len(counts), dtype=[("index", "S16"), ("cell_type", np.int8), ("depth", np.float32)])
        obs["index"] = cell_names(len(counts))
        obs["cell_type"] = [categories.index(name) for name in cell_type]
        obs["depth"] = np.arange(len(counts)) / 2
        file["obs"] = obs
        file["var"] = np.array([(name,) for name in ids], dtype=[("index", "S32")])
        file["uns/cell_type_categories"] = np.array(categories, dtype="S")
    return path


def sha256_tree(folder: Path) -> dict[str, str]:
    """Return the digest of every file below a folder that is not hidden, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder): path for path in files}
    return {
        str(name): hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in names.items()
        if not any(part.startswith(".") for part in name.parts)
    }
