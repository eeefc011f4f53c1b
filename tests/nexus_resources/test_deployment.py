"""The resources of a deployment, made from its settings."""

import dagster as dg
import pytest

from nexus_resources.deployment import deployment_resources
from nexus_resources.pipelines.local import LocalPipelines
from nexus_resources.pipelines.resource import LocalPipelinesResource, PipelinesResource
from nexus_resources.pipelines.vertex import VertexPipelines
from nexus_resources.pipelines.vertex_resource import VertexPipelinesResource
from nexus_resources.settings import read_settings
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.ingest.cellxgene_gate import CellxgeneEnvironment
from omics_datastore.storage.cloud_storage import CloudStore
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.folder import FolderWarehouse
from tests.nexus_resources.gcp_environment import GCP

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
    validator = pipelines.cellxgene()
    assert validator is not None
    assert validator.python.endswith("/.venv-cellxgene/bin/python")


def test_google_cloud_has_a_bucket_bigquery_and_vertex(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    told = {
        "NEXUS_LABELS": "team=atlas",
        "NEXUS_MAXIMUM_BYTES_BILLED": "1000",
        "NEXUS_MACHINES": "default: {cpu: 8}",
        "NEXUS_SPOT": "on",
        "NEXUS_SPOT_LAUNCHER_IMAGE": "launcher",
        "NEXUS_CACHING": "off",
        "NEXUS_VERTEX_ENDPOINT": "http://127.0.0.1:1",
    }
    resources = deployment_resources(read_settings({**GCP, **told}))
    store, warehouse, pipelines = resources["store"], resources["warehouse"], resources["pipelines"]
    assert isinstance(store, StoreResource)
    assert isinstance(store.open(), CloudStore)
    assert store.root == "gs://my-bucket/nexus"
    assert isinstance(warehouse, WarehouseResource)
    options = "location=EU&maximum_bytes_billed=1000&labels=team%3Datlas"
    assert warehouse.uri == f"bigquery://my-project/atlas?{options}"
    assert isinstance(pipelines, VertexPipelinesResource)
    assert (pipelines.project, pipelines.region, pipelines.root) == ("my-project", "europe-west4", store.root)
    assert (pipelines.spot, pipelines.caching, pipelines.labels) == (True, "off", {"team": "atlas"})
    assert isinstance(pipelines.runner(), VertexPipelines)
    assert pipelines.cellxgene() == CellxgeneEnvironment(python="/opt/cellxgene/bin/python")


def test_an_asset_gets_them_by_name() -> None:
    seen: dict[str, object] = {}

    @dg.asset
    def asks(store: StoreResource, warehouse: WarehouseResource, pipelines: PipelinesResource) -> None:
        seen.update(store=store.root, warehouse=warehouse.uri, tasks=pipelines.tasks)

    assert dg.materialize([asks], resources=deployment_resources(read_settings(SETTINGS))).success
    assert seen == {"store": "/data/nexus", "warehouse": "/data/nexus", "tasks": 3}
