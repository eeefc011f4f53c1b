"""The resources of a deployment. The one place where the settings become resources.

The clients are the plain ones of ``omics_datastore``, not dagster-gcp's ``BigQueryResource`` and ``GCSResource``:
workers need them without Dagster, and importing dagster-gcp costs every process of the code location 2 s and 130 MB.
"""

from typing import Any

import dagster as dg

from nexus_resources.gcp_settings import warehouse_address
from nexus_resources.pipelines.resource import LocalPipelinesResource, PipelinesResource
from nexus_resources.settings import Settings
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.storage.layout import PIPELINES

_KEEP_JOB_DAYS = 14.0
"""Days for which the folders of pipeline jobs are kept, but never longer than runs."""

Resources = dict[str, dg.ConfigurableResource]  # type: ignore[type-arg]


def deployment_resources(settings: Settings) -> Resources:
    """Return the resources by the names that assets ask for: ``store``, ``warehouse``, ``pipelines``.

    :param settings: Settings of the deployment.
    :return: Resources.
    """
    return {
        "store": StoreResource(root=settings.store_root),
        "warehouse": WarehouseResource(uri=warehouse_uri(settings), root=settings.store_root),
        "pipelines": _pipelines(settings),
    }


def warehouse_uri(settings: Settings) -> str:
    """Return the address of the warehouse.

    :param settings: Settings of the deployment.
    :return: What :func:`omics_datastore.warehouse.open.open_warehouse` takes.
    """
    return warehouse_address(settings) if settings.is_gcp else settings.store_root


def _pipelines(settings: Settings) -> PipelinesResource:
    spread: dict[str, Any] = {
        "tasks": settings.tasks,
        "workers": settings.workers,
        "task_memory_bytes": settings.task_memory_mb * 2**20,
        "bins_per_group": settings.bins_per_group,
        "client_calls": settings.client_calls,
        "keep_days": min(_KEEP_JOB_DAYS, settings.keep_run_days or _KEEP_JOB_DAYS),
        "cellxgene_python": settings.cellxgene_python,
        "cellxgene_memory_mb": settings.cellxgene_memory_mb,
        "cellxgene_seconds": settings.cellxgene_seconds,
        "read_seconds": settings.read_seconds,
        "read_memory_mb": settings.read_memory_mb,
    }
    if not settings.is_gcp:
        return LocalPipelinesResource(folder=str(settings.root_path / PIPELINES), **spread)
    from nexus_resources.pipelines.vertex_resource import VertexPipelinesResource

    return VertexPipelinesResource(
        project=settings.project,
        region=settings.region,
        root=settings.store_root,
        worker_image=settings.worker_image,
        service_account=settings.service_account,
        network=settings.network,
        cmek_key=settings.cmek_key,
        spot=settings.spot == "on",
        spot_launcher_image=settings.spot_launcher_image,
        machines=settings.machines,
        labels=settings.label_map,
        failure_policy=settings.failure_policy,
        caching=settings.caching,
        endpoint=settings.vertex_endpoint,
        **spread,
    )
