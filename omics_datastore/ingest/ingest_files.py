"""The one writer of ingest files: three Parquet files with fixed row groups, so that equal data gives equal bytes."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse

from omics_datastore.ingest.manifest import IngestFile
from omics_datastore.schema.arrow import arrow_schema
from omics_datastore.schema.tables import CELL_INFO, DATA_TABLES, FEATURE_INFO, RAW_COUNTS, Table
from omics_datastore.storage.file_digest import file_sha256
from omics_datastore.storage.layout import ingest_folder
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.parquet_layout import ParquetLayout

_LIST = arrow_schema(RAW_COUNTS).field("feature_index").type


class IngestFileWriter:
    """Write the ingest files of one ingest into a local folder, then move them into the store.

    :param ingest_id: The ingest.
    :param layout: Row groups and encodings.
    :param folder: An existing local folder.
    """

    def __init__(self, ingest_id: str, layout: ParquetLayout, folder: Path) -> None:
        self._ingest_id = ingest_id
        self.layout = layout
        self._folder = folder
        self._rows = dict.fromkeys((table.name for table in DATA_TABLES), 0)
        self._writers = {table.name: self._writer(table) for table in DATA_TABLES}

    def _writer(self, table: Table) -> pq.ParquetWriter:
        options = self.layout.counts_writer_options() if table is RAW_COUNTS else self.layout.table_writer_options()
        return pq.ParquetWriter(self._path(table), arrow_schema(table), store_schema=False, **options)

    def _path(self, table: Table) -> Path:
        return self._folder / f"{table.name}.parquet"

    def write_counts(
        self, cell_index: NDArray[np.int64], shuffle_key: NDArray[np.int64], rows: sparse.csr_matrix
    ) -> None:
        """Write rows of ``raw_counts``: a multiple of the row group, but for the last call.

        :param cell_index: int64 (n,).
        :param shuffle_key: int64 (n,), ascending over all calls.
        :param rows: Canonical int32 CSR matrix of n rows.
        """
        offsets = _array(rows.indptr, np.int32)
        columns = [
            self._ingest_ids(len(cell_index)),
            _array(cell_index, np.int64),
            _array(shuffle_key, np.int64),
            pa.ListArray.from_arrays(offsets, _array(rows.indices, np.int32), type=_LIST),
            pa.ListArray.from_arrays(offsets, _array(rows.data, np.int32), type=_LIST),
        ]
        self._write(
            RAW_COUNTS, pa.Table.from_arrays(columns, schema=arrow_schema(RAW_COUNTS)), self.layout.counts_row_group
        )

    def write_cells(self, frame: pl.DataFrame) -> None:
        """Write rows of ``cell_info``: a multiple of the row group, but for the last call.

        :param frame: All columns but ``ingest_id``.
        """
        self._write_frame(CELL_INFO, frame, self.layout.cells_row_group)

    def write_features(self, frame: pl.DataFrame) -> None:
        """Write the rows of ``feature_info``, once.

        :param frame: All columns but ``ingest_id``.
        """
        self._write_frame(FEATURE_INFO, frame, max(1, frame.height))

    def finish(self, store: ObjectStore, dataset: str) -> list[IngestFile]:
        """Close the files and move them into the store.

        :param store: Object store.
        :param dataset: Dataset key.
        :return: The files, in load order.
        """
        self.close()
        files: list[IngestFile] = []
        for table in DATA_TABLES:
            path = self._path(table)
            key = f"{ingest_folder(dataset, self._ingest_id)}{path.name}"
            size, sha256 = path.stat().st_size, file_sha256(path)
            store.put(path, key)
            files.append(IngestFile(table=table.name, key=key, rows=self._rows[table.name], size=size, sha256=sha256))
        return files

    def close(self) -> None:
        """Close the files where they are."""
        for writer in self._writers.values():
            writer.close()

    def _write_frame(self, table: Table, frame: pl.DataFrame, row_group: int) -> None:
        schema = arrow_schema(table)
        arrow = frame.select([name for name in table.column_names if name != "ingest_id"]).to_arrow()
        arrow = arrow.add_column(0, schema.field("ingest_id"), self._ingest_ids(frame.height))
        self._write(table, arrow.cast(schema), row_group)

    def _write(self, table: Table, rows: pa.Table, row_group: int) -> None:
        if rows.num_rows:
            self._writers[table.name].write_table(rows, row_group_size=row_group)
            self._rows[table.name] += rows.num_rows

    def _ingest_ids(self, length: int) -> pa.Array:
        text = self._ingest_id.encode()
        offsets = np.arange(length + 1, dtype=np.int32) * len(text)
        return pa.Array.from_buffers(pa.string(), length, [None, pa.py_buffer(offsets), pa.py_buffer(text * length)])


def _array(values: NDArray[np.integer], dtype: type[np.int32 | np.int64]) -> pa.Array:
    """Return integers as Arrow without a copy; ``pa.array`` and ``pa.scalar`` import pandas, half a second."""
    values = np.ascontiguousarray(values, dtype)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])
