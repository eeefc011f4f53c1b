"""The schedules: a snapshot and old runs forgotten every night, the curricula that ask for it every week."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from nexus_assets.defs.ops.jobs import build_curriculum, refresh_snapshot
from nexus_assets.defs.ops.retention import retention_job
from nexus_assets.partitions import CURRICULA, add_partition
from nexus_assets.policy import REQUESTED_BY
from nexus_assets.run_lookup import unfinished_run
from nexus_resources.settings import read_settings
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.errors import NexusError
from omics_datastore.keys import make_curriculum_partition

_STATUS = dg.DefaultScheduleStatus.RUNNING if read_settings().sensors == "on" else dg.DefaultScheduleStatus.STOPPED


def _nightly(name: str, job: Any, hour: int, says: str) -> dg.ScheduleDefinition:
    """Return a schedule that starts a job every night, once."""

    @dg.schedule(
        name=name,
        job=job,
        cron_schedule=f"0 {hour} * * *",
        execution_timezone="UTC",
        default_status=_STATUS,
        description=says,
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d}", tags={REQUESTED_BY: name})

    return nightly


nightly_snapshot = _nightly("nightly_snapshot", refresh_snapshot, 3, "Sum up the warehouse every night.")
nightly_retention = _nightly("nightly_retention", retention_job, 4, "Forget old runs every night.")


@dg.schedule(
    job=build_curriculum,
    cron_schedule="0 6 * * 1",
    execution_timezone="UTC",
    default_status=_STATUS,
    description="Build a new version of every curriculum whose specification says refresh: weekly, where data changed.",
)
def weekly_curricula(
    context: dg.ScheduleEvaluationContext, store: StoreResource, warehouse: WarehouseResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for the curricula whose newest version is not what the warehouse would give now."""
    from omics_datastore.curriculum.versions import dropped_specifications, resolve_version

    objects = store.open()
    asked = 0
    for specification in dropped_specifications(objects):
        if specification.refresh != "weekly":
            continue
        try:
            version, state = resolve_version(specification, warehouse.open(), objects)
        except NexusError as error:  # one that cannot be built must not keep the others waiting
            context.log.warning(str(error))
            continue
        partition = make_curriculum_partition(specification.name, version)
        if state == "complete" or unfinished_run(context.instance, build_curriculum.name, partition) is not None:
            continue
        asked += 1
        add_partition(context.instance, CURRICULA, partition)
        run_key = f"{context.scheduled_execution_time:%Y-%m-%d}:{partition}"
        yield dg.RunRequest(run_key=run_key, partition_key=partition, tags={REQUESTED_BY: "weekly_curricula"})
    if not asked:
        yield dg.SkipReason("no specification with refresh: weekly has anything new")
