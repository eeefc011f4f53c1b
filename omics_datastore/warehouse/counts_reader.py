"""Read the counts of chosen cells from one ``raw_counts`` file: whole row groups, then slices of lists.

Rows are stored in the order of their shuffle key, so the statistics of the row groups tell which to read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from omics_datastore.errors import CorruptionError
from omics_datastore.warehouse.block_checksums import BlockCheck
from omics_datastore.warehouse.cell_request import COUNTS_COLUMNS, CellRequest
from omics_datastore.warehouse.warehouse import CountsBatch

_INT64 = np.iinfo(np.int64)


def read_cells(
    path: Path,
    ingest_id: str,
    cell_index: NDArray[np.int64],
    shuffle_key: NDArray[np.int64],
    rows: NDArray[np.int64],
    batch_bytes: int,
    check: BlockCheck | None = None,
) -> Iterator[CountsBatch]:
    """Read the counts of some cells of one ingest.

    :param path: The ``raw_counts`` file.
    :param ingest_id: The ingest.
    :param cell_index: int64 (n,), the cells, none twice.
    :param shuffle_key: int64 (n,), their shuffle keys.
    :param rows: int64 (n,), what the batches call the cells.
    :param batch_bytes: Bytes of decoded lists to hold at once, about.
    :param check: Checks the bytes that are read.
    :return: Batches in the order of the file.
    :raise CorruptionError: When the file lacks a cell, holds it twice, or under another shuffle key, or what is read of
        it is not what was written.
    """
    request = CellRequest([ingest_id], np.zeros(len(cell_index), np.int64), cell_index, shuffle_key, rows)
    if check is not None:
        check.check_parquet_footer()
    with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
        groups, batch_rows = _row_groups(file.metadata, request.keys, batch_bytes)
        if check is not None:
            for start, stop in _spans(file.metadata, groups):
                check.check(start, stop)
        for batch in file.iter_batches(batch_rows, row_groups=groups, columns=list(COUNTS_COLUMNS), use_threads=False):
            yield from request.take(np.zeros(batch.num_rows, np.int64), batch)
    request.check_complete()


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


def _spans(metadata: Any, groups: list[int]) -> Iterator[tuple[int, int | None]]:
    """Give the bytes that row groups take; they lie one after the other, and before the footer."""
    last = metadata.num_row_groups - 1
    for group in groups:
        yield _start(metadata, group), _start(metadata, group + 1) if group < last else None


def _start(metadata: Any, group: int) -> int:
    first = metadata.row_group(group).column(0)
    return int(first.dictionary_page_offset or first.data_page_offset)


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
