"""The files of the warehouse of a folder: how ingest files get in, and how a load is committed.

An ingest file is hard-linked under its table, aside and then renamed. The rows of ``ingest_info`` of a whole
load are one file (:mod:`omics_datastore.warehouse.folder_loads`), renamed into place last: until then nobody sees the
others. Nothing is ever locked. What is read of a file is checked first.
"""

import os
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from omics_datastore.errors import CorruptionError
from omics_datastore.ingest.manifest import IngestFile, IngestManifest
from omics_datastore.schema.tables import DATA_TABLES
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.layout import warehouse_file_key
from omics_datastore.warehouse.block_checksums import BlockCheck, BlockChecksums, measure
from omics_datastore.warehouse.folder_loads import FolderLoads
from omics_datastore.warehouse.ingest_rows import ingest_rows
from omics_datastore.warehouse.warehouse import HeldIngest

_PARTITION = "ingest_id="


class FolderTables:
    """Keep the files of the four tables in a folder store.

    :param store: The store, which also holds the ingest files.
    """

    def __init__(self, store: FolderStore) -> None:
        self._store = store
        self._loads = FolderLoads(store)
        self._added: dict[str, dict[str, BlockChecksums]] = {}
        self._checks: dict[Path, tuple[BlockChecksums, BlockCheck]] = {}

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
        :raise CorruptionError: When a file of them is not what was written.
        """
        return self._loads.rows()

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
            found = _check(partial, source, file)
            partial.replace(target)
        finally:
            # Renaming a file onto another name of itself does nothing and leaves both.
            partial.unlink(missing_ok=True)
        _flush(target.parent)
        self._added.setdefault(manifest.ingest_id, {})[table] = found
        return file.rows

    def holds(self, manifest: IngestManifest) -> bool:
        """Tell whether the files of an ingest are there, byte for byte.

        :param manifest: Manifest of the ingest.
        :return: Whether they are; else loading it again mends them.
        """
        for file in manifest.files:
            path = self.path(file.table, manifest.ingest_id)
            if not path.exists() or path.stat().st_size != file.size or measure(path)[0] != file.sha256:
                return False
        return True

    def check(self, table: str, ingest_id: str) -> BlockCheck | None:
        """Return what checks the bytes of an ingest's file of a table.

        :param table: One of the data tables.
        :param ingest_id: An ingest that :meth:`committed_rows` gave.
        :return: The check; ``None`` when the file is gone, or an older Nexus loaded the ingest.
        """
        path, expected = self.path(table, ingest_id), self._loads.checksums(ingest_id, table)
        if expected is None or not path.exists():
            return None
        known = self._checks.get(path)
        if known is None or known[0] != expected or not known[1].is_fresh:
            known = self._checks[path] = expected, BlockCheck(path, expected)
        return known[1]

    def check_whole(self, table: str, ingest_ids: Sequence[str]) -> None:
        """Check all bytes of files before somebody reads them who does not check.

        :param table: One of the data tables.
        :param ingest_ids: Ingests that :meth:`committed_rows` gave.
        :raise CorruptionError: When a file is not what was loaded.
        """
        for ingest_id in ingest_ids:
            check = self.check(table, ingest_id)
            if check is not None:
                with suppress(FileNotFoundError):  # whoever reads it says so
                    check.check()

    def held(self) -> list[HeldIngest]:
        """Return the ingests that have files under the data tables, committed or not."""
        found: dict[str, tuple[int, float]] = {}
        for table in DATA_TABLES:
            folder = self.path(table.name, "any").parents[1]
            # What may not be listed is an error, and not empty.
            for path in folder.iterdir() if folder.is_dir() else ():
                ingest_id = path.name.removeprefix(_PARTITION)
                if ingest_id == path.name:
                    continue
                with suppress(FileNotFoundError, NotADirectoryError):
                    status = self.path(table.name, ingest_id).stat()
                    size, changed = found.get(ingest_id, (0, 0.0))
                    # A link that a load put in place moments ago has an old mtime, but a new ctime.
                    found[ingest_id] = (size + status.st_size, max(changed, status.st_mtime, status.st_ctime))
        return [HeldIngest(ingest_id, *found[ingest_id]) for ingest_id in sorted(found)]

    def withdraw(self, ingest_ids: Collection[str]) -> None:
        """Take ingests out of ``ingest_info``.

        :param ingest_ids: Ingest ids.
        """
        self._loads.withdraw(ingest_ids)

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
        checksums = {manifest.ingest_id: self._added[manifest.ingest_id] for manifest in manifests}
        self._loads.append(ingest_rows(manifests, committed_at), committed_at, checksums)

    def append(self, rows: pa.Table, when: datetime) -> None:
        """Append rows of ``ingest_info``, as one file.

        :param rows: The rows; each takes the place of an older one of its ingest.
        :param when: Time of the change, with a time zone.
        """
        self._loads.append(rows, when, {})


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _check(path: Path, source: Path, file: IngestFile) -> BlockChecksums:
    size = path.stat().st_size
    if size != file.size:
        raise CorruptionError(
            f"the ingest file {source} has {size} bytes, not {file.size}; run the ingest again, which mends it."
        )
    sha256, checksums = measure(path)
    if sha256 != file.sha256:
        raise CorruptionError(
            f"the ingest file {source} does not match its SHA-256; run the ingest again, which mends it."
        )
    rows = pq.read_metadata(path).num_rows
    if rows != file.rows:
        raise CorruptionError(
            f"the ingest file {source} has {rows} rows, not {file.rows}; delete it and run the ingest again."
        )
    return checksums


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
