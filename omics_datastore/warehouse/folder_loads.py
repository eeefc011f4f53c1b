"""The rows of ``ingest_info`` in the warehouse of a folder: one file a load, whose appearance commits it.

A load's file also holds the checksums of the files that it commits, and its name ends in a digest of its own content:
whoever reads a file of the warehouse can check what it reads.
"""

import hashlib
import io
import json
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from omics_datastore.errors import CorruptionError
from omics_datastore.keys import digest
from omics_datastore.schema.arrow import arrow_schema
from omics_datastore.schema.tables import INGEST_INFO
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.layout import warehouse_load_key
from omics_datastore.warehouse.block_checksums import BlockChecksums
from omics_datastore.warehouse.ingest_rows import empty_frame

_READS = 20
_CHECKSUMS = b"nexus.checksums"
"""The entry of a file's metadata with the checksums of the files that it commits, as JSON."""
_NAME = re.compile(r"(?P<time>[^-]+)-(?P<ids>[0-9a-f]{12})-(?P<digest>[0-9a-f]{16})")
"""The name of a load's file; one of an older Nexus has no digest."""

Checksums = Mapping[str, Mapping[str, BlockChecksums]]
"""Checksums of files by ingest id and table."""


class FolderLoads:
    """Keep the rows of ``ingest_info`` in a folder store.

    :param store: The store.
    """

    def __init__(self, store: FolderStore) -> None:
        self._store = store
        self._checksums: Checksums = {}

    def rows(self) -> pl.DataFrame:
        """Return the rows of all loads, older rows of an ingest included.

        :return: The rows.
        :raise CorruptionError: When a file is not what was written.
        """
        empty = empty_frame(INGEST_INFO)
        for _ in range(_READS):
            files = self._files()
            if not files:
                return empty
            with suppress(FileNotFoundError):  # purged since it was listed
                loads = [_read(path) for path in files]
                self._checksums = {name: of for _, checksums in loads for name, of in checksums.items()}
                return pl.concat([empty, *(rows for rows, _ in loads)])
        raise CorruptionError(f"the files of {files[0].parent} change faster than they can be read; run again.")

    def checksums(self, ingest_id: str, table: str) -> BlockChecksums | None:
        """Return the checksums of a file, by the latest load when :meth:`rows` was called last.

        :param ingest_id: The ingest.
        :param table: Name of a data table.
        :return: The checksums; ``None`` when the ingest is not committed, or an older Nexus loaded it.
        """
        return self._checksums.get(ingest_id, {}).get(table)

    def append(self, rows: pa.Table, when: datetime, checksums: Checksums) -> None:
        """Append rows, as one file.

        :param rows: The rows; each takes the place of an older one of its ingest.
        :param when: Time of the change, with a time zone.
        :param checksums: Checksums of the files that are committed.
        """
        self._write(rows, f"{when.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}", checksums)

    def withdraw(self, ingest_ids: Collection[str]) -> None:
        """Take ingests out: a file without them is put beside each file that names one, which is then deleted.

        :param ingest_ids: Ingest ids.
        """
        for path in self._files():
            rows, checksums = _read(path)
            kept = rows.filter(~pl.col("ingest_id").is_in(list(ingest_ids)))
            if kept.height == rows.height:
                continue
            if kept.height:
                left = {name: checksums.get(name, {}) for name in kept["ingest_id"].to_list()}
                self._write(kept.to_arrow().cast(arrow_schema(INGEST_INFO)), path.stem.partition("-")[0], left)
            path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        """Return the files, by time; a folder that may not be listed is an error, and not empty."""
        folder = self._store.path(warehouse_load_key("load")).parent
        try:
            return sorted(path for path in folder.iterdir() if path.suffix == ".parquet")
        except FileNotFoundError:
            return []

    def _write(self, rows: pa.Table, time: str, checksums: Checksums) -> None:
        content = io.BytesIO()
        told = {name: {table: of.text() for table, of in files.items()} for name, files in checksums.items() if files}
        with pq.ParquetWriter(content, rows.schema, store_schema=False) as writer:
            writer.write_table(rows)
            if told:
                writer.add_key_value_metadata({_CHECKSUMS: json.dumps(told, sort_keys=True)})
        ids = digest(sorted(rows["ingest_id"].to_pylist()))[:12]
        name = f"{time}-{ids}-{_digest(content.getvalue())}"
        self._store.write(warehouse_load_key(name), content.getvalue())


def _read(path: Path) -> tuple[pl.DataFrame, Checksums]:
    """Read a load's file; one of an older Nexus lacks columns, which are null then, and checksums."""
    content = path.read_bytes()
    name = _NAME.fullmatch(path.stem)
    if name and name["digest"] != _digest(content):
        raise CorruptionError(
            f"{path} is damaged (it does not match the digest in its name), and what it committed is not known; put "
            "a good copy in its place, or delete it and run the ingests again."
        )
    schema = arrow_schema(INGEST_INFO)
    with pq.ParquetFile(io.BytesIO(content)) as file:
        rows = file.read()
        told = json.loads((file.metadata.metadata or {}).get(_CHECKSUMS, b"{}"))
    for field in schema:
        if field.name not in rows.schema.names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    frame = pl.from_arrow(rows.select(schema.names).cast(schema))
    assert isinstance(frame, pl.DataFrame)  # noqa: S101
    checksums = {name: {table: BlockChecksums.parse(of) for table, of in files.items()} for name, files in told.items()}
    return frame, checksums


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
