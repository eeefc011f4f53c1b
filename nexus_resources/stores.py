"""The object store and the warehouse as Dagster resources: thin wrappers of the plain classes."""

from typing import TYPE_CHECKING

import dagster as dg

from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.storage.open import open_store

if TYPE_CHECKING:
    from omics_datastore.warehouse.warehouse import Warehouse


class StoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Open the object store."""

    root: str

    def open(self) -> ObjectStore:
        """Return the store.

        :raise InputError: When the root cannot be opened.
        """
        return open_store(self.root)


class WarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Open the warehouse over the object store with the root ``root``.

    The store is not a resource in a resource: Dagster warns of its own code when it opens one.
    """

    uri: str
    root: str

    def open(self) -> "Warehouse":
        """Return the warehouse."""
        # Ibis and DuckDB are imported when a query is asked, not when the code location loads.
        from omics_datastore.warehouse.open import open_warehouse

        return open_warehouse(self.uri, open_store(self.root))
