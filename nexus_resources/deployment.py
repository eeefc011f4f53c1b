"""The resources of a deployment. The one place where the settings become resources."""

import dagster as dg

from nexus_resources.pipelines.resource import LocalPipelinesResource
from nexus_resources.settings import Settings
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.storage.layout import PIPELINES

Resources = dict[str, dg.ConfigurableResource]  # type: ignore[type-arg]


def deployment_resources(settings: Settings) -> Resources:
    """Return the resources by the names that assets ask for: ``store``, ``warehouse``, ``pipelines``.

    :param settings: Settings of the deployment.
    :return: Resources.
    """
    root = str(settings.root_path)
    return {
        "store": StoreResource(root=root),
        "warehouse": WarehouseResource(uri=root, root=root),
        "pipelines": LocalPipelinesResource(
            folder=str(settings.root_path / PIPELINES),
            tasks=settings.tasks,
            workers=settings.workers,
            task_memory_bytes=settings.task_memory_mb * 2**20,
            bins_per_group=settings.bins_per_group,
            client_calls=settings.client_calls,
        ),
    }
