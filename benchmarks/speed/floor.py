"""The floor: h5py, NumPy, ISA-L and Parquet, as simple as it can be. No check, no obs column, no commit, no resume.

What it does not do is the point: what Nexus does more slowly than this is what its checks and contracts cost. A cell
keeps its key, and its place (file, row), by which the benchmark verifies the shards.
"""

import hashlib
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from isal import isal_zlib
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.speed.stages import Stages, run_contestant

PROCESSES = 2
BIN_SIZE = 10_000
_KEY, _CELL = "shuffle_key", "cell"
_CHUNK = 1 << 18
_ROW_GROUP = 512


def ingest(asked: tuple[Path, Path, int]) -> int:
    """Write the cells of one file as Parquet lists in the order of random keys."""
    source, target, number = asked
    pointers = _read(source, "X/indptr").astype(np.int32)
    matrix = (_read(source, "X/data").astype(np.int32), _read(source, "X/indices"), pointers)
    cells = len(pointers) - 1
    keys = np.random.default_rng(number).integers(0, 2**63, cells)
    order = np.argsort(keys)
    counts = sparse.csr_matrix(matrix, shape=(cells, 2**31 - 1))
    names = {"feature_index.list.element": "DELTA_BINARY_PACKED", "raw_count.list.element": "BYTE_STREAM_SPLIT"}
    options: dict[str, Any] = {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": False,
        "write_statistics": [_KEY],
        "column_encoding": {_KEY: "PLAIN", _CELL: "PLAIN", **names},
    }
    lists = pa.list_(pa.field("element", pa.int32(), nullable=False))
    types = {_KEY: pa.int64(), _CELL: pa.int64(), "feature_index": lists, "raw_count": lists}
    schema = pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()])
    with pq.ParquetWriter(target / f"{number}.parquet", schema, **options) as writer:
        for start in range(0, cells, _ROW_GROUP):
            chosen = order[start : start + _ROW_GROUP]
            rows = counts[chosen]
            offsets = pa.array(rows.indptr)
            columns = [pa.ListArray.from_arrays(offsets, pa.array(part), lists) for part in (rows.indices, rows.data)]
            places = pa.array(number * 2**32 + chosen)
            writer.write_table(pa.Table.from_arrays([pa.array(keys[chosen]), places, *columns], schema=schema))
    return cells


def extract(asked: tuple[Path, Path, int, int, int]) -> int:
    """Write one shard: the cells with keys from ``low`` up to, not including, ``high``."""
    store, target, number, low, high = asked
    keys, places, lengths, features, counts = [], [], [], [], []
    for path in sorted(store.glob("*.parquet")):
        with pq.ParquetFile(path, memory_map=True) as file:
            groups = [
                group
                for group in range(file.metadata.num_row_groups)
                for statistics in [file.metadata.row_group(group).column(0).statistics]
                if statistics.max >= low and statistics.min < high
            ]
            for batch in file.iter_batches(1 << 16, row_groups=groups, use_threads=False):
                found = batch.column(0).to_numpy()
                first, last = np.searchsorted(found, [low, high])
                offsets = batch.column(2).offsets.to_numpy()[first : last + 1]
                keys.append(found[first:last])
                places.append(batch.column(1).to_numpy()[first:last])
                lengths.append(np.diff(offsets))
                features.append(batch.column(2).values.to_numpy()[offsets[0] : offsets[-1]])
                counts.append(batch.column(3).values.to_numpy()[offsets[0] : offsets[-1]])
    pointers = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int32)
    matrix = (np.concatenate(counts).astype(np.float32), np.concatenate(features), pointers)
    order = np.argsort(np.concatenate(keys))
    rows = sparse.csr_matrix(matrix, shape=(len(order), 2**31 - 1))[order]
    path = target / f"extract_{number:06d}.h5ad"
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        for name, values in (("data", rows.data), ("indices", rows.indices)):
            _write(file, f"X/{name}", values)
        file["X/indptr"] = rows.indptr
        file["cell"] = np.concatenate(places)[order]
    with path.open("rb") as written:
        hashlib.file_digest(written, "sha256").hexdigest()
    return len(order)


def _read(path: Path, name: str) -> NDArray[Any]:
    with h5py.File(path) as file:
        data = file[name]
        length, size, dtype = data.shape[0], data.chunks[0], data.dtype
        places: list[tuple[int, int, int]] = []
        data.id.chunk_iter(lambda stored: places.append((stored.chunk_offset[0], stored.byte_offset, stored.size)))
    values = np.empty(-(-length // size) * size, dtype)
    plain = values.view(np.uint8)
    descriptor = os.open(path, os.O_RDONLY)
    for first, place, stored in places:
        chunk = isal_zlib.decompress(os.pread(descriptor, stored, place), 15, size * dtype.itemsize)
        plain[first * dtype.itemsize :][: len(chunk)] = np.frombuffer(chunk, np.uint8)
    os.close(descriptor)
    return values[:length]


def _write(file: h5py.File, name: str, values: NDArray[Any]) -> None:
    data = file.create_dataset(
        name, values.shape, values.dtype, chunks=(_CHUNK,), shuffle=True, compression="gzip", compression_opts=1
    )
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        chunk = np.concatenate([chunk, np.zeros(_CHUNK - len(chunk), chunk.dtype)])
        planes = np.ascontiguousarray(chunk.view(np.uint8).reshape(_CHUNK, -1).T)
        data.id.write_direct_chunk((start,), isal_zlib.compress(planes, 1))


def main(sources: list[Path], folder: Path) -> dict[str, float]:
    """Run both halves.

    :param sources: The source files.
    :param folder: An empty folder.
    :return: ``cells``, seconds of ``ingest`` and ``extract`` and of their CPU, ``store_bytes`` and ``shard_bytes``.
    """
    store, shards = folder / "store", folder / "shards"
    store.mkdir()
    shards.mkdir()
    stages = Stages()
    with stages.measure("ingest"), ProcessPoolExecutor(PROCESSES) as pool:
        cells = sum(pool.map(ingest, [(source, store, number) for number, source in enumerate(sources)]))
    with stages.measure("extract"):
        tables = [pq.read_table(path, columns=[_KEY])[_KEY] for path in store.glob("*.parquet")]
        keys = np.sort(np.concatenate(tables))
        edges = [*(int(key) for key in keys[::BIN_SIZE]), 2**63 - 1]
        bins = [(store, shards, number, edges[number], edges[number + 1]) for number in range(len(edges) - 1)]
        with ProcessPoolExecutor(PROCESSES) as pool:
            extracted = sum(pool.map(extract, bins))
    if extracted != cells:
        raise RuntimeError(f"the floor lost cells: {extracted} of {cells}")
    return {
        "cells": cells,
        **stages.seconds,
        "store_bytes": sum(path.stat().st_size for path in store.iterdir()),
        "shard_bytes": sum(path.stat().st_size for path in shards.iterdir()),
    }


if __name__ == "__main__":
    run_contestant(main, sys.argv[1:])
