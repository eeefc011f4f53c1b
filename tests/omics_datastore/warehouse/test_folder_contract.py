from pathlib import Path

import pytest

from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.open import open_warehouse
from tests.contracts.warehouse_contract import WarehouseContract, World
from tests.contracts.warehouse_lifecycle_contract import WarehouseLifecycleContract


class TestFolderWarehouse(WarehouseContract, WarehouseLifecycleContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        store = FolderStore(tmp_path)
        return World(store, lambda: open_warehouse("folder", store))
