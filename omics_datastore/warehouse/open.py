"""Open a warehouse from its address, in any process. The one place that knows the kinds of warehouse."""

from omics_datastore.errors import InputError
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.bigquery_address import SCHEME, parse_address
from omics_datastore.warehouse.folder import FolderWarehouse
from omics_datastore.warehouse.warehouse import Warehouse

FOLDER = "folder"
"""The address of the warehouse that lies in the store's own folder."""


def open_warehouse(uri: str, store: ObjectStore) -> Warehouse:
    """Open a warehouse.

    :param uri: ``folder``, ``bigquery://<project>/<dataset>?location=EU``, or what :attr:`Warehouse.uri` said.
    :param store: Object store of the ingest files.
    :return: The warehouse.
    :raise InputError: When the address is of no known kind, or not in reach of this store.
    """
    if isinstance(store, FolderStore) and uri in (FOLDER, store.root):
        return FolderWarehouse(store)
    if uri.startswith(f"{SCHEME}:"):
        from omics_datastore.warehouse.bigquery import BigQueryWarehouse

        return BigQueryWarehouse(parse_address(uri), store)
    raise InputError(
        f"{uri!r} is not a warehouse that Nexus can open over {store.root}: use {FOLDER!r} or 'bigquery://<project>/<dataset>'."
    )
