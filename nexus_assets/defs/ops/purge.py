"""The job that deletes what nothing needs any more."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from nexus_assets.policy import input_failures
from nexus_assets.report_metadata import table
from nexus_assets.run_lookup import runs_by_dataset
from nexus_resources.pipelines.resource import PipelinesResource
from nexus_resources.stores import StoreResource, WarehouseResource

if TYPE_CHECKING:
    from omics_datastore.purge import Leftover


class PurgeConfig(dg.Config):
    """How to purge."""

    dry_run: bool = Field(False, description="List only, delete nothing.")
    grace_hours: float = Field(1.0, ge=0, description="Leave alone what changed within so many hours.")


@dg.op(description="List what no curriculum and no dataset needs, and delete it unless dry_run.")
def delete_leftovers(
    context: dg.OpExecutionContext,
    config: PurgeConfig,
    store: StoreResource,
    warehouse: WarehouseResource,
    pipelines: PipelinesResource,
) -> None:
    """Purge once."""
    from omics_datastore.purge import find_leftovers, purge

    busy = busy_datasets(context.instance)
    seconds = config.grace_hours * 3600
    with input_failures():
        objects, opened = store.open(), warehouse.open()
        found = find_leftovers(objects, opened, grace_seconds=seconds, busy_datasets=busy)
        context.log.info(f"{len(found)} leftovers of {sum(item.size for item in found):,} bytes were found.")
        if not config.dry_run:
            # Asked again: a run may have started meanwhile.
            busy = busy_datasets(context.instance)
            found = purge(found, objects, opened, grace_seconds=seconds, busy_datasets=busy)
            pipelines.runner().prune(keep_last=pipelines.keep_jobs, older_than_days=pipelines.keep_days)
    context.add_output_metadata(_metadata(found, dry_run=config.dry_run))


def busy_datasets(instance: dg.DagsterInstance) -> set[str]:
    """Return the datasets that a run is ingesting or about to ingest.

    :param instance: Dagster instance.
    :return: Dataset keys.
    """
    return set(runs_by_dataset(instance))


def _metadata(found: Sequence["Leftover"], *, dry_run: bool) -> dict[str, dg.MetadataValue | int | bool]:
    from omics_datastore.purge import by_reason

    return {
        "dry_run": dry_run,
        "items": len(found),
        "bytes": sum(item.size for item in found),
        "by_reason": table(by_reason(found)),
        "first_items": table([{"reason": item.reason, "name": item.name, "bytes": item.size} for item in found]),
    }


@dg.job(
    name="purge",
    executor_def=dg.in_process_executor,
    config={"ops": {"delete_leftovers": {"config": {"dry_run": True, "grace_hours": 1.0}}}},
    description="Delete ingests that were superseded or retired and that no curriculum pins, and orphans.",
)
def purge_job() -> None:
    """Purge."""
    delete_leftovers()
