"""The contract on BigQuery: with the emulators always, and with ``NEXUS_TEST_GCP=1`` and credentials on a real project.

The latter needs ``NEXUS_PROJECT``, ``NEXUS_LOCATION`` and ``NEXUS_ROOT`` (a bucket of that location); it makes datasets
of its own and removes them.
"""

import os
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omics_datastore.storage.open import open_store
from tests.contracts.warehouse_contract import WarehouseContract, World, counts_equal_the_source
from tests.contracts.warehouse_lifecycle_contract import WarehouseLifecycleContract
from tests.emulators.bigquery.process import BigQueryEmulator
from tests.emulators.storage.client import StorageEmulator
from tests.omics_datastore.warehouse.bigquery_world import bigquery_world, emulated_world


class _Slower(WarehouseContract, WarehouseLifecycleContract):
    # Fewer examples: a load takes a second here.
    @settings(
        max_examples=4,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(data=st.data())
    def test_counts_equal_the_source(self, world: World, data: st.DataObject) -> None:
        counts_equal_the_source(world, data)

    @pytest.mark.parametrize(
        ("table", "damage"),
        [("raw_counts", "bit"), ("feature_info", "short"), ("cell_info", "gone"), ("raw_counts", "rows")],
    )
    def test_a_damaged_ingest_file_is_refused_and_nothing_is_visible(
        self, world: World, table: str, damage: str
    ) -> None:
        super().test_a_damaged_ingest_file_is_refused_and_nothing_is_visible(world, table, damage)


class TestBigQueryWarehouse(_Slower):
    @pytest.fixture
    def world(
        self, bigquery_emulator: BigQueryEmulator, storage_emulator: StorageEmulator, cloud_root: str
    ) -> Iterator[World]:
        store = open_store(cloud_root)
        bigquery_emulator.load_from(storage_emulator.address, cloud_root.split("/")[2])
        with emulated_world(bigquery_emulator, store) as world:
            yield world


if os.environ.get("NEXUS_TEST_GCP") == "1":

    class TestRealBigQueryWarehouse(_Slower):
        @pytest.fixture
        def world(self) -> Iterator[World]:
            from google.cloud import bigquery

            project, location = os.environ["NEXUS_PROJECT"], os.environ["NEXUS_LOCATION"]
            name = f"nexus_test_{uuid.uuid4().hex[:12]}"
            store = open_store(f"{os.environ['NEXUS_ROOT'].rstrip('/')}/tests/{name}")
            yield bigquery_world(f"bigquery://{project}/{name}?location={location}", store)
            bigquery.Client(project).delete_dataset(f"{project}.{name}", delete_contents=True, not_found_ok=True)
            for entry in list(store.entries("")):
                store.delete(entry.key)
