"""Read tables of BigQuery in Arrow by the Storage Read API, over several streams at once, with compressed buffers."""

import queue
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa

from omics_datastore.warehouse.bigquery_errors import explained
from omics_datastore.warehouse.bigquery_jobs import BigQueryJobs

_WAIT_SECONDS = 0.1


def read_table(
    reader: Any,
    jobs: BigQueryJobs,
    table: str,
    *,
    streams: int,
    columns: Sequence[str] = (),
    restriction: str = "",
    free: bool = False,
) -> Generator[pa.RecordBatch, None, None]:
    """Read a table or the result of a query.

    Memory holds a batch or two a stream; BigQuery makes batches of a few megabytes.

    :param reader: ``google.cloud.bigquery_storage.BigQueryReadClient``.
    :param jobs: The jobs of the warehouse.
    :param table: ``projects/<project>/datasets/<dataset>/tables/<table>``.
    :param streams: Streams to read side by side at most; one keeps the order of an ordered result.
    :param columns: Columns to read; all by default.
    :param restriction: Condition on the rows, in GoogleSQL.
    :param free: Whether reading costs nothing, as of a query's result.
    :return: Batches.
    :raise InputError: See :func:`omics_datastore.warehouse.bigquery_errors.explained`.
    """
    from google.cloud.bigquery_storage import ArrowSerializationOptions, DataFormat, ReadSession

    asked = ReadSession(
        table=table,
        data_format=DataFormat.ARROW,
        read_options=ReadSession.TableReadOptions(
            selected_fields=list(columns),
            row_restriction=restriction,
            arrow_serialization_options=ArrowSerializationOptions(
                buffer_compression=ArrowSerializationOptions.CompressionCodec.LZ4_FRAME
            ),
        ),
    )
    with explained(jobs.address):
        session = reader.create_read_session(
            parent=f"projects/{jobs.address.project}", read_session=asked, max_stream_count=streams
        )
    if not free:
        jobs.count_read(int(session.estimated_total_bytes_scanned))
    if not session.streams:
        return
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    names = [stream.name for stream in session.streams]
    with explained(jobs.address), closing(_Streams(reader, names, schema)) as opened:
        yield from opened


class _Streams:
    """Read streams side by side, each in a thread that decodes; give their batches as they come."""

    def __init__(self, reader: Any, names: Sequence[str], schema: pa.Schema) -> None:
        self._reader, self._schema = reader, schema
        self._queue: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(len(names))
        self._left = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(name,), name=f"counts-{number}", daemon=True)
            for number, name in enumerate(names)
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        ended = 0
        while ended < len(self._threads):
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                ended += 1
            else:
                yield item

    def close(self) -> None:
        """Stop reading and wait for the threads."""
        self._left.set()
        for thread in self._threads:
            thread.join()

    def _read(self, name: str) -> None:
        try:
            # The client takes a broken stream up again where it was.
            for answer in self._reader.read_rows(name):
                rows = answer.arrow_record_batch.serialized_record_batch
                if not self._put(pa.ipc.read_record_batch(pa.py_buffer(rows), self._schema)):
                    return
            self._put(None)
        except BaseException as error:  # noqa: BLE001
            self._put(error)

    def _put(self, item: pa.RecordBatch | BaseException | None) -> bool:
        while not self._left.is_set():
            try:
                self._queue.put(item, timeout=_WAIT_SECONDS)
            except queue.Full:
                continue
            return True
        return False
