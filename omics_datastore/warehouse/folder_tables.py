"""The files of the warehouse of a folder: how ingest files get in, and how a load is committed.

An ingest file is hard-linked under its table, aside and then renamed. The rows of ``ingest_info`` of a whole
load are one file, renamed into place last: until then nobody sees the others. Nothing is ever locked.
"""

import os
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from omics_datastore.errors import CorruptionError
from omics_datastore.ingest.manifest import IngestFile, IngestManifest
from omics_datastore.keys import digest
from omics_datastore.schema.arrow import arrow_schema
from omics_datastore.schema.tables import DATA_TABLES, INGEST_INFO
from omics_datastore.storage.file_digest import file_sha256
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.layout import warehouse_file_key, warehouse_load_key
from omics_datastore.warehouse.ingest_rows import empty_frame, ingest_rows
from omics_datastore.warehouse.warehouse import HeldIngest

_READS = 20
_PARTITION = "ingest_id="


class FolderTables:
    """Keep the files of the four tables in a folder store.

    :param store: The store, which also holds the ingest files.
    """

    def __init__(self, store: FolderStore) -> None:
        self._store = store

    def path(self, table: str, ingest_id: str) -> Path:
        """Return where an ingest's rows of a table are.

        :param table: One of the data tables.
        :param ingest_id: The ingest.
        :return: The file; it need not exist.
        """
        return self._store.path(warehouse_file_key(table, ingest_id))

    def committed_rows(self) -> pl.DataFrame:
        """Return the rows of ``ingest_info`` of all loads, older rows of an ingest included.

        :return: The rows.
        """
        empty = empty_frame(INGEST_INFO)
        for _ in range(_READS):
            files = self.load_files()
            if not files:
                return empty
            with suppress(FileNotFoundError):  # purged since it was listed
                return pl.concat([empty, *(self.read_load(path) for path in files)])
        raise CorruptionError(f"the files of {files[0].parent} change faster than they can be read; run again.")

    def load_files(self) -> list[Path]:
        """Return the files of rows of ``ingest_info``, one a load or retirement, by time."""
        return sorted(self._store.path(warehouse_load_key("load")).parent.glob("*.parquet"))

    def read_load(self, path: Path) -> pl.DataFrame:
        """Read one file of rows of ``ingest_info``.

        :param path: One of :meth:`load_files`; one of an older Nexus lacks columns, which are null then.
        :return: Its rows.
        """
        schema = arrow_schema(INGEST_INFO)
        rows = pq.read_table(path, partitioning=None)
        for field in schema:
            if field.name not in rows.schema.names:
                rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
        frame = pl.from_arrow(rows.select(schema.names).cast(schema))
        assert isinstance(frame, pl.DataFrame)  # noqa: S101
        return frame

    def add(self, manifest: IngestManifest, table: str) -> int:
        """Put an ingest file under its table, replacing what an interrupted load left there.

        :param manifest: Manifest of the ingest.
        :param table: One of the data tables.
        :return: Its number of rows.
        :raise CorruptionError: When the file is not what the manifest says; nothing is put then.
        """
        file = manifest.file(table)
        source, target = self._store.path(file.key), self.path(table, manifest.ingest_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = self._store.scratch_path(table)
        try:
            try:
                _link(source, partial)
            except FileNotFoundError:
                raise CorruptionError(f"the ingest file {source} is gone; run the ingest again.") from None
            _check(partial, source, file)
            partial.replace(target)
        finally:
            # Renaming a file onto another name of itself does nothing and leaves both.
            partial.unlink(missing_ok=True)
        _flush(target.parent)
        return file.rows

    def held(self) -> list[HeldIngest]:
        """Return the ingests that have files under the data tables, committed or not."""
        found: dict[str, tuple[int, float]] = {}
        for table in DATA_TABLES:
            for path in sorted(self.path(table.name, "any").parents[1].glob(f"{_PARTITION}*/{table.name}.parquet")):
                with suppress(FileNotFoundError):
                    status = path.stat()
                    ingest_id = path.parent.name.removeprefix(_PARTITION)
                    size, changed = found.get(ingest_id, (0, 0.0))
                    # A link that a load put in place moments ago has an old mtime, but a new ctime.
                    found[ingest_id] = (size + status.st_size, max(changed, status.st_mtime, status.st_ctime))
        return [HeldIngest(ingest_id, *found[ingest_id]) for ingest_id in sorted(found)]

    def withdraw(self, ingest_ids: Collection[str]) -> None:
        """Take ingests out of ``ingest_info``: each file that names one is replaced by one without, or deleted.

        :param ingest_ids: Ingest ids.
        """
        for path in self.load_files():
            rows = self.read_load(path)
            kept = rows.filter(~pl.col("ingest_id").is_in(list(ingest_ids)))
            if kept.height == rows.height:
                continue
            if kept.height:
                partial = self._store.scratch_path(INGEST_INFO.name)
                pq.write_table(kept.to_arrow().cast(arrow_schema(INGEST_INFO)), partial, store_schema=False)
                self._store.put(partial, warehouse_load_key(path.stem))
            else:
                path.unlink(missing_ok=True)

    def remove(self, table: str, ingest_id: str) -> None:
        """Delete an ingest's file of a table, and its folder.

        :param table: One of the data tables.
        :param ingest_id: The ingest.
        """
        path = self.path(table, ingest_id)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # there is none, or somebody put something of his own into it
            path.parent.rmdir()

    def commit(self, manifests: Sequence[IngestManifest], committed_at: datetime) -> None:
        """Make ingests visible, all at once.

        :param manifests: Manifests of the ingests, whose files were added.
        :param committed_at: Time of the commit, with a time zone.
        """
        self.append(ingest_rows(manifests, committed_at), committed_at)

    def append(self, rows: pa.Table, when: datetime) -> None:
        """Append rows of ``ingest_info``, as one file.

        :param rows: The rows; each takes the place of an older one of its ingest.
        :param when: Time of the change, with a time zone.
        """
        partial = self._store.scratch_path(INGEST_INFO.name)
        pq.write_table(rows, partial, store_schema=False)
        ids = digest(sorted(rows["ingest_id"].to_pylist()))[:12]
        self._store.put(partial, warehouse_load_key(f"{when.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{ids}"))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _check(path: Path, source: Path, file: IngestFile) -> None:
    size = path.stat().st_size
    if size != file.size:
        raise CorruptionError(
            f"the ingest file {source} has {size} bytes, not {file.size}; delete it and run the ingest again."
        )
    if file_sha256(path) != file.sha256:
        raise CorruptionError(
            f"the ingest file {source} does not match its SHA-256; delete it and run the ingest again."
        )
    rows = pq.read_metadata(path).num_rows
    if rows != file.rows:
        raise CorruptionError(
            f"the ingest file {source} has {rows} rows, not {file.rows}; delete it and run the ingest again."
        )


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
