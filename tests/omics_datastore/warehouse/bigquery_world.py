"""Warehouses in the BigQuery emulator over buckets that are folders, or in a real project."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.bigquery_address import parse_address
from omics_datastore.warehouse.open import open_warehouse
from omics_datastore.warehouse.warehouse import Warehouse
from tests.contracts.warehouse_contract import World
from tests.emulators.bigquery.process import BigQueryEmulator

PROJECT = "nexus-tests"
LOCATION = "EU"


class FolderBucket(FolderStore):
    """A bucket that is a folder below the emulator's ``gcs_root``."""

    def uri(self, key: str) -> str:
        return f"gs://{Path(self.root).name}/{key}"


def new_bucket(emulator: BigQueryEmulator) -> FolderBucket:
    """Make an empty bucket that load jobs of the emulator can read."""
    folder = emulator.gcs_root / f"bucket-{uuid.uuid4().hex}"
    folder.mkdir()
    return FolderBucket(folder)


def new_address() -> str:
    """Return the address of a dataset that does not exist yet."""
    return f"bigquery://{PROJECT}/nexus_{uuid.uuid4().hex[:12]}?location={LOCATION}"


def bigquery_world(address: str, store: ObjectStore) -> World:
    """Return a world that opens one warehouse once: what a new process would look up again is tested elsewhere."""
    opened: list[Warehouse] = []

    def open_once() -> Warehouse:
        if not opened:
            opened.append(open_warehouse(address, store))
        return opened[0]

    open_it: Callable[[], Warehouse] = open_once
    return World(store, open_it, "bulk_load")


@contextmanager
def emulated_world(emulator: BigQueryEmulator, store: ObjectStore | None = None) -> Iterator[World]:
    """Give a world of its own in the emulator, and drop it: the emulator is slower the more tables it has.

    :param store: Store that its load jobs can read; by default a new bucket that is a folder.
    """
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    address = new_address()
    yield bigquery_world(address, store or new_bucket(emulator))
    # A test may have led the clients elsewhere.
    options = {"api_endpoint": emulator.rest}
    with bigquery.Client(PROJECT, credentials=AnonymousCredentials(), client_options=options) as client:
        client.delete_dataset(parse_address(address).dataset, delete_contents=True, not_found_ok=True)
