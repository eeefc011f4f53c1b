"""The contract of an object store, over the emulator, and over a real bucket when asked.

``NEXUS_TEST_GCP=1 NEXUS_TEST_BUCKET=<bucket>`` runs it with the credentials of the environment.
"""

import os
import uuid
from collections.abc import Iterator

import pytest

from omics_datastore.storage.cloud_storage import CloudStore
from tests.contracts.object_store_contract import ObjectStoreContract


class TestCloudStore(ObjectStoreContract):
    @pytest.fixture
    def store(self, cloud_root: str) -> CloudStore:
        return CloudStore(cloud_root)


if os.environ.get("NEXUS_TEST_GCP"):

    class TestRealBucket(ObjectStoreContract):
        @pytest.fixture
        def store(self) -> Iterator[CloudStore]:
            store = CloudStore(f"gs://{os.environ['NEXUS_TEST_BUCKET']}/contract/{uuid.uuid4().hex}")
            yield store
            for entry in store.entries(""):
                store.delete(entry.key)
