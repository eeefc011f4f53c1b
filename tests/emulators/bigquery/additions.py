"""What Nexus asks of BigQuery and ``local-bigquery`` does not do: everything of ours in the emulator is here.

Runs in the emulator's own environment. Loads read gs:// objects from a Cloud Storage emulator over HTTP; queries
report and limit bytes (an estimate: eight bytes a value of the columns named); Storage Read streams are small, so
that there are several, and their Arrow buffers are compressed when asked for.
"""

import functools
import shutil
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LEAST_BILLED = 10 * 2**20
_MEGABYTE = 2**20


def install(storage_hosts: Path, gcs_root: Path | None, stream_rows: int) -> None:
    """Add it all; before ``local_bigquery.grpc.server`` is imported.

    :param storage_hosts: Folder of files, one a bucket, that hold the address of its Cloud Storage emulator, read at
        every load; ``default`` is for other buckets.
    :param gcs_root: Folder whose sub-folders are buckets; asked before the Cloud Storage emulator.
    :param stream_rows: Rows of a Storage Read stream.
    """
    _install_plain_storage()
    _install_whole_submissions()
    _install_loading(storage_hosts, gcs_root)
    _install_bytes()
    _install_reading(stream_rows)


def _install_plain_storage() -> None:
    """Keep a project in a plain DuckDB file: DuckLake reads its whole catalog again after every statement."""
    from local_bigquery.engine import database
    from local_bigquery.settings import settings

    def attach(connection: Any, project_id: str) -> None:
        path = str(settings.data_dir / f"{project_id}.duckdb").replace("'", "''")
        connection.execute(f"ATTACH IF NOT EXISTS '{path}' AS {database.quote(project_id)}")
        database._attached.add(project_id)

    database._attach = attach


def _install_whole_submissions() -> None:
    """Answer 409 to the second of two submissions of one job id even when they come together."""
    from local_bigquery.jobs import runner

    submit, alone = runner.submit, threading.Lock()

    def submit_alone(*arguments: Any, **options: Any) -> Any:
        with alone:
            return submit(*arguments, **options)

    runner.submit = submit_alone


def _install_loading(storage_hosts: Path, gcs_root: Path | None) -> None:
    from local_bigquery.errors import BigQueryError
    from local_bigquery.jobs import load, runner

    def paths(_cursor: Any, uri: str) -> list[str]:
        bucket, _, name = uri.removeprefix("gs://").partition("/")
        if not uri.startswith("gs://") or "*" in uri:
            raise BigQueryError("invalid", f"the emulator loads single gs:// objects, not {uri}")
        if gcs_root is not None and (gcs_root / bucket).is_dir():
            local = gcs_root / bucket / name
            if not local.is_file():
                raise BigQueryError("notFound", f"Not found: URI {uri}")
            return [str(local)]
        known = storage_hosts / bucket
        host = (known if known.exists() else storage_hosts / "default").read_text().strip()
        return [str(_download(host, bucket, name))]

    def _download(host: str, bucket: str, name: str) -> Path:
        where = f"{host.rstrip('/')}/download/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media"
        try:
            with urllib.request.urlopen(where) as answer, tempfile.NamedTemporaryFile(delete=False) as file:  # noqa: S310
                shutil.copyfileobj(answer, file)
        except urllib.error.HTTPError as error:
            raise BigQueryError("notFound", f"Not found: URI gs://{bucket}/{name} (HTTP {error.code})") from error
        return Path(file.name)

    downloads = threading.local()

    def noted_paths(cursor: Any, uri: str) -> list[str]:
        found = paths(cursor, uri)
        downloads.made += [path for path in found if gcs_root is None or not path.startswith(str(gcs_root))]
        return found

    def run(cursor: Any, config: Any, upload: str | None) -> Any:
        downloads.made = []
        try:
            return load.run(cursor, config, upload)
        finally:
            for path in downloads.made:
                Path(path).unlink(missing_ok=True)

    load.paths = noted_paths
    runner.HANDLERS["load"] = run


def _install_bytes() -> None:
    from local_bigquery import errors
    from local_bigquery.catalog import tables
    from local_bigquery.engine import database
    from local_bigquery.errors import BigQueryError
    from local_bigquery.jobs import query
    from sqlglot import exp

    errors.STATUSES["bytesBilledLimitExceeded"] = (400, "INVALID_ARGUMENT")
    statement = query._statement

    def counted(cursor: Any, tree: Any, context: Any, destination: Any, config: Any, dry_run: bool, *more: Any) -> Any:
        limit = config.maximumBytesBilled
        if limit is not None and not dry_run:
            scanned = _scanned(statement(cursor, tree.copy(), context, destination, config, True, *more), tree)
            billed = max(_LEAST_BILLED, -(-scanned // _MEGABYTE) * _MEGABYTE)
            if billed > int(limit):
                raise BigQueryError(
                    "bytesBilledLimitExceeded",
                    f"Query exceeded limit for bytes billed: {limit}. {billed} or higher required.",
                )
        named = tree.copy()
        statistics = statement(cursor, tree, context, destination, config, dry_run, *more)
        scanned = _scanned(statistics, named)
        billed = 0 if dry_run else max(_LEAST_BILLED, -(-scanned // _MEGABYTE) * _MEGABYTE)
        return statistics.replace(totalBytesProcessed=str(scanned), totalBytesBilled=str(billed))

    @functools.cache
    def columns(*reference: str) -> tuple[str, ...]:
        return tuple(field.name.casefold() for field in tables.columns(*reference))

    def _scanned(statistics: Any, tree: Any) -> int:
        names = {column.name.casefold() for column in tree.find_all(exp.Column)}
        everything = any(True for _ in tree.find_all(exp.Star))
        total = 0
        for item in statistics.referencedTables or []:
            reference = (item.projectId, item.datasetId, item.tableId)
            ((rows,),) = database.fetch(f"SELECT count(*) FROM {tables.name(*reference)}")  # noqa: S608
            fields = columns(*reference)
            total += rows * 8 * (len(fields) if everything else len(names.intersection(fields)))
        return total

    query._statement = counted


def _install_reading(stream_rows: int) -> None:
    import pyarrow as pa
    from google.cloud.bigquery_storage_v1 import types
    from local_bigquery.grpc import read

    read.STREAM_ROWS = stream_rows
    codecs = types.ArrowSerializationOptions.CompressionCodec
    names = {codecs.LZ4_FRAME: "lz4", codecs.ZSTD: "zstd"}
    asked: dict[str, str] = {}
    create_session, read_rows = read.create_session, read.read_rows

    def create(request: Any) -> Any:
        session = create_session(request)
        codec = names.get(request.read_session.read_options.arrow_serialization_options.buffer_compression)
        if codec is not None:
            asked.update({stream.name: codec for stream in session.streams})
        return session

    def compressed(request: Any) -> Iterator[Any]:
        codec = asked.get(request.read_stream)
        for answer in read_rows(request):
            if codec is not None:
                schema = pa.ipc.read_schema(pa.py_buffer(answer.arrow_schema.serialized_schema))
                batch = pa.ipc.read_record_batch(
                    pa.py_buffer(answer.arrow_record_batch.serialized_record_batch), schema
                )
                with pa.BufferOutputStream() as sink:
                    options = pa.ipc.IpcWriteOptions(compression=codec)
                    with pa.ipc.new_stream(sink, schema, options=options) as writer:
                        writer.write_batch(batch)
                    messages = list(pa.ipc.MessageReader.open_stream(pa.BufferReader(sink.getvalue())))
                answer.arrow_record_batch.serialized_record_batch = messages[1].serialize().to_pybytes()
            yield answer

    read.create_session, read.read_rows = create, compressed
