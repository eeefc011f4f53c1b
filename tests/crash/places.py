"""Where a story happens, a folder or an emulated cloud: its stores, its state kept and put back, everything in it."""

import fcntl
import gc
import hashlib
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from omics_datastore.schema.tables import TABLES
from omics_datastore.storage.cloud_storage import CloudStore
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.storage.scratch import SCRATCH
from omics_datastore.warehouse.folder import FolderWarehouse
from omics_datastore.warehouse.open import open_warehouse
from omics_datastore.warehouse.warehouse import Warehouse

PROJECT = "nexus-crash"
LOCATION = "EU"


class Place(ABC):
    """A root and a warehouse.

    :param folder: A folder of this place's own.
    """

    name: str

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder

    @property
    @abstractmethod
    def watched(self) -> str:
        """Return the folder whose changes are steps."""

    @abstractmethod
    def store(self) -> ObjectStore:
        """Open the store, as a new process would."""

    @abstractmethod
    def warehouse(self) -> Warehouse:
        """Open the warehouse, as a new process would."""

    @abstractmethod
    def save(self, label: str, *, apart: bool) -> None:
        """Keep the state, in place of the one that was kept under this label.

        :param label: What to call it.
        :param apart: Whether the warehouse may be changed before it is put back.
        """

    @abstractmethod
    def restore(self, label: str, *, apart: bool) -> None:
        """Put a kept state back; see :meth:`save`."""

    @abstractmethod
    def tree(self) -> dict[str, str]:
        """Return the SHA-256 of everything that is stored by its name, and what dead processes left aside."""

    def let_leases_end(self) -> None:  # noqa: B027 - the kernel ends most locks with their holder
        """Do what time does to the locks of a process that was killed."""

    def close(self) -> None:  # noqa: B027 - most have nothing to free
        """Free what lies elsewhere."""


class FolderPlace(Place):
    """A folder of this machine."""

    name = "folder"

    @property
    def root(self) -> Path:
        return self.folder / "nexus"

    @property
    def watched(self) -> str:
        return str(self.root)

    def store(self) -> FolderStore:
        return FolderStore(self.root)

    def warehouse(self) -> Warehouse:
        return FolderWarehouse(self.store(), threads=1)

    def save(self, label: str, *, apart: bool) -> None:  # noqa: ARG002 - the warehouse is part of the folder
        shutil.rmtree(self.folder / label, ignore_errors=True)
        shutil.copytree(self.root, self.folder / label)

    def restore(self, label: str, *, apart: bool) -> None:  # noqa: ARG002
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.folder / label, self.root)

    def tree(self) -> dict[str, str]:
        gc.collect()  # what this process had aside goes
        return {
            path.relative_to(self.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and ".scratch" not in path.parts
        } | left_aside(self.root)


class CloudPlace(Place):
    """A bucket and datasets of the emulators, to which the environment leads.

    :param folder: A folder of this place's own, for what its processes keep aside.
    :param bucket: A bucket that is there.
    """

    name = "cloud"

    def __init__(self, folder: Path, bucket: str) -> None:
        super().__init__(folder)
        os.environ["TMPDIR"] = str(folder)
        self._root = f"gs://{bucket}/nexus"
        self._kept: dict[str, tuple[dict[str, bytes], str]] = {}
        self._made: set[str] = set()
        self._dataset = self._new_dataset()
        self._client: Any = None

    @property
    def watched(self) -> str:
        return str(self.folder / "nothing")

    def store(self) -> CloudStore:
        return CloudStore(self._root)

    def warehouse(self) -> Warehouse:
        return open_warehouse(_address(self._dataset), self.store())

    def save(self, label: str, *, apart: bool) -> None:
        store = self.store()
        objects = {entry.key: store.read(entry.key) for entry in store.entries("", hidden=True)}
        self._kept[label] = objects, self._dataset
        if apart:
            self._dataset = self._copy_of(self._dataset)
        self._drop_forgotten()

    def restore(self, label: str, *, apart: bool) -> None:
        objects, dataset = self._kept[label]
        store = self.store()
        # A source that is written again is another generation of itself, which ingests remember.
        for entry in list(store.entries("", hidden=True)):
            if not entry.key.startswith("inbox/"):
                store.delete(entry.key)
        for key, content in objects.items():
            if not key.startswith("inbox/"):
                store.write(key, content)
        self._dataset = self._copy_of(dataset) if apart else dataset
        self._drop_forgotten()

    def tree(self) -> dict[str, str]:
        gc.collect()
        store = self.store()
        keys = [entry.key for entry in store.entries("", hidden=True)]
        stored = {key: hashlib.sha256(store.read(key)).hexdigest() for key in keys}
        return stored | left_aside(self.folder / f"nexus-{os.getuid()}")

    def let_leases_end(self) -> None:
        self.store().delete_folder(f"{SCRATCH}/locks/")  # five minutes later whoever waits deletes them

    def close(self) -> None:
        self._kept.clear()
        self._drop_forgotten()

    @property
    def _bigquery(self) -> Any:
        if self._client is None:
            from google.auth.credentials import AnonymousCredentials
            from google.cloud import bigquery

            options = {"api_endpoint": os.environ["BIGQUERY_EMULATOR_HOST"]}
            self._client = bigquery.Client(PROJECT, credentials=AnonymousCredentials(), client_options=options)
        return self._client

    def _drop_forgotten(self) -> None:
        """Drop datasets that no state needs: the emulator is slower the more tables it has."""
        needed = {self._dataset, *(dataset for _, dataset in self._kept.values())}
        for dataset in self._made - needed:
            self._bigquery.delete_dataset(dataset, delete_contents=True, not_found_ok=True)
        self._made &= needed

    def _new_dataset(self) -> str:
        made = f"crash_{uuid.uuid4().hex[:12]}"
        self._made.add(made)
        return made

    def _copy_of(self, kept: str) -> str:
        """Make a dataset that holds what another one does; where that was never made, nor is this."""
        from google.api_core.exceptions import NotFound

        from omics_datastore.warehouse.bigquery_address import parse_address
        from omics_datastore.warehouse.bigquery_tables import prepare_tables

        made = self._new_dataset()
        try:
            self._bigquery.get_dataset(kept)
        except NotFound:
            return made
        prepare_tables(self._bigquery, parse_address(_address(made)))
        for table in TABLES:
            statement = f"INSERT INTO {made}.{table.name} SELECT * FROM {kept}.{table.name}"  # noqa: S608
            self._bigquery.query(statement, location=LOCATION).result()
        return made


def left_aside(root: Path) -> dict[str, str]:
    """Return what lies in scratch folders below a root whose processes are gone."""
    found = {}
    for lock in (root / ".scratch").glob("*.lock"):
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            found[f".scratch/{lock.name}"] = "left by a dead process"
    return found


def _address(dataset: str) -> str:
    return f"bigquery://{PROJECT}/{dataset}?location={LOCATION}"
