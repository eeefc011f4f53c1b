"""A code location for the tests that kill Dagster: this machine's store and warehouse, pipelines on the emulator."""

import os

import dagster as dg

from nexus_assets.definitions import build_defs
from nexus_resources.pipelines.vertex_resource import VertexPipelinesResource
from nexus_resources.stores import StoreResource, WarehouseResource


@dg.definitions
def defs() -> dg.Definitions:
    root = os.environ["NEXUS_ROOT"]
    pipelines = VertexPipelinesResource(
        project="nexus-test",
        region="europe-west4",
        root="gs://nexus-test/nexus",
        worker_image="worker:1",
        endpoint=os.environ["TEST_VERTEX_ENDPOINT"],
    )
    return build_defs(
        {
            "store": StoreResource(root=root),
            "warehouse": WarehouseResource(uri=root, root=root),
            "pipelines": pipelines,
        }
    )
