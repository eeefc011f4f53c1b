"""The job that takes a specification from the launchpad, checks it, and keeps it as if it had been dropped."""

from typing import Any

import dagster as dg
from pydantic import Field

from nexus_assets.partitions import CURRICULA, add_partition
from nexus_assets.policy import input_failures
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.keys import make_curriculum_partition


class CurriculumRequest(dg.Config):
    """What to build."""

    specification: dict[str, Any] = Field(
        description="A curriculum's specification, as in a file under curricula/: name, filter, features, bin_size, …"
    )


@dg.op(description="Check a specification and keep it under curricula/; landing_sensor then builds it.")
def keep_specification(
    context: dg.OpExecutionContext, config: CurriculumRequest, store: StoreResource, warehouse: WarehouseResource
) -> None:
    """Keep the specification and make the partition of the version it becomes."""
    import yaml

    from omics_datastore.curriculum.versions import drop_specification, parse_specification, resolve_version

    objects = store.open()
    with input_failures():
        text = yaml.safe_dump(config.specification, sort_keys=False, allow_unicode=True)
        specification = parse_specification(text, "the launchpad's specification")
        version, state = resolve_version(specification, warehouse.open(), objects)
        partition = make_curriculum_partition(specification.name, version)
        add_partition(context.instance, CURRICULA, partition)
        if state != "complete":
            drop_specification(objects, specification)
    context.log.info(
        f"{partition} is this specification on this data already."
        if state == "complete"
        else f"{partition} is built by landing_sensor; where that is off, launch build_curriculum for {partition}."
    )
    context.add_output_metadata({"curriculum": partition, "state": state})


_EXAMPLE = {
    "name": "my-curriculum",
    "filter": [{"column": "total_mrna_umis", "op": "gte", "value": 500}],
    "features": "union",
    "obs_columns": ["cell_type", "tissue", "donor_id", "assay"],
    "bin_size": 10_000,
}


@dg.job(
    name="request_curriculum",
    executor_def=dg.in_process_executor,
    config={"ops": {"keep_specification": {"config": {"specification": _EXAMPLE}}}},
    description="Take a specification from the launchpad, check it, and have it built.",
)
def request_curriculum() -> None:
    """Request a curriculum."""
    keep_specification()
