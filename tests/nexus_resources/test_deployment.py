"""The resources of a deployment, made from its settings."""

import dagster as dg

from nexus_resources.deployment import deployment_resources
from nexus_resources.pipelines.local import LocalPipelines
from nexus_resources.pipelines.resource import LocalPipelinesResource, PipelinesResource
from nexus_resources.settings import read_settings
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.folder import FolderWarehouse

SETTINGS = {
    "NEXUS_ROOT": "/data/nexus",
    "NEXUS_TASKS": "3",
    "NEXUS_WORKERS": "4",
    "NEXUS_TASK_MEMORY_MB": "100",
    "NEXUS_BINS_PER_GROUP": "7",
    "NEXUS_CLIENT_CALLS": "pipeline",
}


def test_a_laptop_has_folders_and_child_processes() -> None:
    resources = deployment_resources(read_settings(SETTINGS))
    assert set(resources) == {"store", "warehouse", "pipelines"}
    store, warehouse, pipelines = resources["store"], resources["warehouse"], resources["pipelines"]
    assert isinstance(store, StoreResource)
    assert isinstance(warehouse, WarehouseResource)
    assert isinstance(pipelines, LocalPipelinesResource)
    assert isinstance(store.open(), FolderStore)
    assert isinstance(warehouse.open(), FolderWarehouse)
    assert isinstance(pipelines.runner(), LocalPipelines)
    assert store.open().root == warehouse.open().uri == "/data/nexus"
    assert pipelines.folder == "/data/nexus/pipelines"
    assert (pipelines.tasks, pipelines.workers, pipelines.bins_per_group) == (3, 4, 7)
    assert (pipelines.task_memory_bytes, pipelines.client_calls) == (100 * 2**20, "pipeline")
    assert list(pipelines.observers()) == []


def test_an_asset_gets_them_by_name() -> None:
    seen: dict[str, object] = {}

    @dg.asset
    def asks(store: StoreResource, warehouse: WarehouseResource, pipelines: PipelinesResource) -> None:
        seen.update(store=store.root, warehouse=warehouse.uri, tasks=pipelines.tasks)

    assert dg.materialize([asks], resources=deployment_resources(read_settings(SETTINGS))).success
    assert seen == {"store": "/data/nexus", "warehouse": "/data/nexus", "tasks": 3}
