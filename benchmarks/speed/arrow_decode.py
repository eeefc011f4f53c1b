"""How fast counts that BigQuery's Storage Read API sends become CSR, on recorded batches.

What is recorded is what the API sends for ``raw_counts``: Arrow record batches of a few megabytes with INT64 lists,
buffers compressed by LZ4, which we ask for, or not. What is measured is all that ``bigquery_counts`` does with them,
network and client apart.
"""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from omics_datastore.warehouse.cell_request import COUNTS_COLUMNS, CellRequest

_ROWS = 256
"""Rows of a batch: 6 MB of lists at 1,500 counts a cell."""
_REPEATS = 3


def record(path: Path, compression: str | None) -> tuple[pa.Schema, list[bytes]]:
    """Write the rows of a ``raw_counts`` file as the messages of a stream.

    :param path: The file.
    :param compression: ``lz4`` as we ask for, or ``None``.
    :return: The schema and the serialized record batches.
    """
    table = pq.read_table(path, columns=["ingest_id", *COUNTS_COLUMNS], partitioning=None)
    lists = pa.list_(pa.field("item", pa.int64()))
    kinds = {"ingest_id": pa.string(), "cell_index": pa.int64(), "shuffle_key": pa.int64()}
    table = table.cast(pa.schema([(name, kinds.get(name, lists)) for name in table.column_names]))
    options = pa.ipc.IpcWriteOptions(compression=compression)
    batches = []
    for batch in table.to_batches(_ROWS):
        # A slice is written whole with its offset cut off, as a server sends it.
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
            writer.write_batch(batch)
        reader = pa.ipc.MessageReader.open_stream(sink.getvalue())
        reader.read_next_message()  # the schema
        batches.append(reader.read_next_message().serialize().to_pybytes())
    return table.schema, batches


def decode_rate(path: Path, compression: str | None) -> float:
    """Decode the recorded batches of a ``raw_counts`` file into CSR.

    :param path: The file, of one ingest.
    :param compression: Of the buffers.
    :return: Cells a CPU second, all threads of Arrow counted; the best of a few runs.
    """
    schema, batches = record(path, compression)
    rows = pq.read_table(path, columns=["ingest_id", "cell_index", "shuffle_key"], partitioning=None)
    name = rows["ingest_id"][0].as_py()
    cells, keys = (rows[column].to_numpy() for column in ("cell_index", "shuffle_key"))
    counted, best = 0, float("inf")
    for _ in range(_REPEATS):
        request = CellRequest([name], np.zeros(len(cells), np.int64), cells, keys, np.arange(len(cells)))
        ids = pa.array(request.ingest_ids, pa.string())
        started = time.process_time()
        counted = 0
        for content in batches:
            batch = pa.ipc.read_record_batch(pa.py_buffer(content), schema)
            ingest = pc.index_in(batch.column("ingest_id"), value_set=ids).fill_null(-1)
            taken = request.take(ingest.to_numpy(zero_copy_only=False).astype(np.int64), batch)
            counted += sum(len(part.rows) for part in taken)
        request.check_complete()
        best = min(best, time.process_time() - started)
    if counted != len(cells):
        raise RuntimeError(f"decoded {counted} of {len(cells)} cells")
    return counted / best
