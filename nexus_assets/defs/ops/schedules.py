"""The schedules: a snapshot every night, the curricula that ask for it every week."""

from collections.abc import Iterator

import dagster as dg

from nexus_assets.defs.ops.jobs import build_curriculum, refresh_snapshot
from nexus_assets.partitions import CURRICULA, add_partition
from nexus_assets.policy import REQUESTED_BY
from nexus_assets.run_lookup import unfinished_run
from nexus_resources.settings import read_settings
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.errors import NexusError
from omics_datastore.keys import make_curriculum_partition

_STATUS = dg.DefaultScheduleStatus.RUNNING if read_settings().sensors == "on" else dg.DefaultScheduleStatus.STOPPED


@dg.schedule(
    job=refresh_snapshot,
    cron_schedule="0 3 * * *",
    execution_timezone="UTC",
    default_status=_STATUS,
    description="Sum up the warehouse every night.",
)
def nightly_snapshot(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the snapshot."""
    return dg.RunRequest(
        run_key=f"{context.scheduled_execution_time:%Y-%m-%d}", tags={REQUESTED_BY: "nightly_snapshot"}
    )


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
