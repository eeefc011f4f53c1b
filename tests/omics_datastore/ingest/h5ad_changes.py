"""Ways to change a sound ``.h5ad`` file into one that somebody may have made on purpose."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Change = Callable[[h5py.File], object]
TEXT = h5py.string_dtype()


def put(name: str, values: Any, dtype: Any = None, **options: Any) -> Change:
    """Put a dataset in the place of what is there."""

    def change(file: h5py.File) -> None:
        attributes = dict(file[name].attrs) if name in file else {}
        if name in file:
            del file[name]
        file.create_dataset(name, data=values, dtype=dtype, **options).attrs.update(attributes)

    return change


def declare(name: str, shape: tuple[int, ...], dtype: Any, chunks: tuple[int, ...]) -> Change:
    """Put a dataset in place that says it is large and holds nothing."""

    def change(file: h5py.File) -> None:
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, shape, dtype, chunks=chunks, maxshape=(None,) * len(shape)).attrs.update(attributes)

    return change


def mark(name: str, attribute: str, value: Any) -> Change:
    def change(file: h5py.File) -> None:
        file[name].attrs[attribute] = value

    return change


def link(name: str, target: Any) -> Change:
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = target

    return change


def both(*changes: Change) -> Change:
    def change(file: h5py.File) -> None:
        for one in changes:
            one(file)

    return change


def chunk(name: str, stored: bytes, dtype: str = "i4", **options: Any) -> Change:
    """Store bytes as the one chunk of a gzip'd vector, whatever they are."""

    def change(file: h5py.File) -> None:
        length = file[name].shape[0]
        del file[name]
        made = file.create_dataset(name, (length,), dtype, chunks=(length,), compression="gzip", **options)
        made.id.write_direct_chunk((0,), stored)

    return change


def unknown_filter(name: str) -> Change:
    def change(file: h5py.File) -> None:
        values = file[name][()]
        del file[name]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(values.shape)
        plist.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (2, 2))
        space, kind = h5py.h5s.create_simple(values.shape), h5py.h5t.py_create(values.dtype)
        made = h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space, plist))
        made.id.write_direct_chunk((0,) * values.ndim, b"packed")

    return change


def column(name: str, values: Any, dtype: Any = None) -> Change:
    """Add a column to obs."""

    def change(file: h5py.File) -> None:
        file["obs"].create_dataset(name, data=values, dtype=dtype)
        order = [*file["obs"].attrs["column-order"], name]
        file["obs"].attrs["column-order"] = np.array(order, dtype=TEXT)

    return change


def lists(number: int) -> Any:
    values = np.empty(number, object)
    values[:] = [np.arange(place + 1) for place in range(number)]
    return values


def raw_name(parent: str, name: bytes, values: Any) -> Change:
    """Make a dataset whose name is no UTF-8."""

    def change(file: h5py.File) -> None:
        array = np.asarray(values)
        space = h5py.h5s.create_simple(array.shape) if array.ndim else h5py.h5s.create(h5py.h5s.SCALAR)
        made = h5py.h5d.create(file[parent].id, name, h5py.h5t.py_create(array.dtype), space)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, array)

    return change


def virtual(name: str, source: str) -> Change:
    def change(file: h5py.File) -> None:
        shape, dtype = file[name].shape, file[name].dtype
        del file[name]
        layout = h5py.VirtualLayout(shape, dtype)
        layout[:] = h5py.VirtualSource(source, "values", shape=shape)
        file.create_virtual_dataset(name, layout)

    return change


def outside(name: str) -> Change:
    """Keep the values of a column in the file with the secret."""

    def change(file: h5py.File) -> None:
        other = Path(file.filename).with_name("secret")
        del file[name]
        file.create_dataset(name, (4,), "S6", external=[(str(other), 0, 24)])

    return change


def tangle(file: h5py.File) -> None:
    for number in range(12):
        file[f"uns/title/{number}"] = h5py.SoftLink("/uns/title")


def deep(file: h5py.File) -> None:
    group = file["uns/title"]
    for _ in range(100):
        group = group.create_group("b")


def many_columns(file: h5py.File) -> None:
    file["obs"].attrs.create("column-order", np.array(["n"] * 20_000, dtype="S1"))
