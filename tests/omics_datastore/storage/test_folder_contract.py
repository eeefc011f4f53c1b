from pathlib import Path

import pytest

from omics_datastore.storage.folder import FolderStore
from tests.contracts.object_store_contract import ObjectStoreContract


class TestFolderStore(ObjectStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FolderStore:
        return FolderStore(tmp_path / "root")
