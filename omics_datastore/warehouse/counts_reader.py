"""Read the counts of chosen cells from one ``raw_counts`` file: whole row groups, then slices of lists.

Rows are stored in the order of their shuffle key, so the statistics of the row groups tell which to read. A
list column is CSR already: nothing here loops over cells or counts.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse

from omics_datastore.errors import CorruptionError
from omics_datastore.warehouse.warehouse import CountsBatch

_COLUMNS = ("cell_index", "shuffle_key", "feature_index", "raw_count")
_INT64 = np.iinfo(np.int64)


def read_cells(
    path: Path,
    ingest_id: str,
    cell_index: NDArray[np.int64],
    shuffle_key: NDArray[np.int64],
    rows: NDArray[np.int64],
    batch_bytes: int,
) -> Iterator[CountsBatch]:
    """Read the counts of some cells of one ingest.

    :param path: The ``raw_counts`` file.
    :param ingest_id: The ingest.
    :param cell_index: int64 (n,), the cells, none twice.
    :param shuffle_key: int64 (n,), their shuffle keys.
    :param rows: int64 (n,), what the batches call the cells.
    :param batch_bytes: Bytes of decoded lists to hold at once, about.
    :return: Batches in the order of the file.
    :raise CorruptionError: When the file lacks a cell, holds it twice, or under another shuffle key.
    """
    by_cell = np.argsort(cell_index)
    wanted, keys, names = cell_index[by_cell], shuffle_key[by_cell], rows[by_cell]
    found = np.zeros(len(wanted), np.int8)
    with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
        groups, batch_rows = _row_groups(file.metadata, np.sort(shuffle_key), batch_bytes)
        for batch in file.iter_batches(batch_rows, row_groups=groups, columns=list(_COLUMNS), use_threads=False):
            cells = batch.column("cell_index").to_numpy()
            place = np.searchsorted(wanted, cells)
            place[place == len(wanted)] = 0
            chosen = np.flatnonzero((wanted[place] == cells) & (keys[place] == batch.column("shuffle_key").to_numpy()))
            if len(chosen):
                place = place[chosen]
                np.add.at(found, place, 1)
                indptr, features, counts = _slice_lists(batch, chosen)
                yield CountsBatch(ingest_id, names[place], indptr, features, counts)
    if (found != 1).any():
        cell = wanted[np.argmax(found != 1)]
        problem = "has no" if found[np.argmax(found != 1)] == 0 else "has more than one"
        raise CorruptionError(f"raw_counts {problem} row of cell {cell} of ingest {ingest_id}; run the ingest again.")


def count_nonzeros(path: Path, batch_bytes: int) -> tuple[NDArray[np.int64], int]:
    """Count what a ``raw_counts`` file holds.

    :param path: The file.
    :param batch_bytes: Bytes of decoded lists to hold at once, about.
    :return: The cell indices in the order of the file, and the number of counts (cells may have none).
    """
    cells: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    nnz = 0
    with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
        batch_rows = _batch_rows(file.metadata, batch_bytes)
        for batch in file.iter_batches(batch_rows, columns=["cell_index", "feature_index"], use_threads=False):
            cells.append(batch.column("cell_index").to_numpy())
            nnz += pc.sum(pc.list_value_length(batch.column("feature_index"))).as_py() or 0
    return np.concatenate(cells), nnz


def _row_groups(metadata: Any, keys: NDArray[np.int64], batch_bytes: int) -> tuple[list[int], int]:
    least = np.full(metadata.num_row_groups, _INT64.min)
    most = np.full(metadata.num_row_groups, _INT64.max)
    column = _column(metadata, "shuffle_key")
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(column).statistics
        if statistics is not None and statistics.has_min_max:
            least[group], most[group] = statistics.min, statistics.max
    hit = np.searchsorted(keys, least, "left") < np.searchsorted(keys, most, "right")
    return np.flatnonzero(hit).tolist(), _batch_rows(metadata, batch_bytes)


def _batch_rows(metadata: Any, batch_bytes: int) -> int:
    # From the widest row group, since cells of neighbouring keys are a random sample of the file.
    column = _column(metadata, "feature_index")
    widest = max(
        (
            metadata.row_group(group).column(column).num_values / max(1, metadata.row_group(group).num_rows)
            for group in range(metadata.num_row_groups)
        ),
        default=0.0,
    )
    return max(1, int(batch_bytes / (8 * widest + 24)))


def _column(metadata: Any, name: str) -> int:
    for number in range(metadata.num_columns):
        if metadata.schema.column(number).path.partition(".")[0] == name:
            return number
    raise CorruptionError(f"a raw_counts file has no column {name}; run the ingest again.")


def _slice_lists(
    batch: pa.RecordBatch, chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    features, counts = batch.column("feature_index"), batch.column("raw_count")
    offsets = features.offsets.to_numpy().astype(np.int64)
    if not np.array_equal(offsets, counts.offsets.to_numpy()):
        raise CorruptionError("raw_counts holds lists of different lengths in one row; run the ingest again.")
    indices, data = features.values.to_numpy(), counts.values.to_numpy()
    first, last = int(chosen[0]), int(chosen[-1])
    if last - first + 1 == len(chosen):
        offsets = offsets[first : last + 2]
        span = slice(offsets[0], offsets[-1])
        return offsets - offsets[0], indices[span], data[span]
    span = slice(offsets[0], offsets[-1])
    shape = (len(offsets) - 1, int(_INT64.max >> 32))
    rows = sparse.csr_array((data[span], indices[span], (offsets - offsets[0]).astype(np.int32)), shape=shape)[chosen]
    return rows.indptr.astype(np.int64), rows.indices.astype(np.int32, copy=False), rows.data
