"""The job that keeps the history bounded: old runs with their events and logs, old records of pipeline tasks."""

import time

import dagster as dg
from pydantic import Field

from nexus_assets.policy import REQUESTED_BY
from nexus_assets.run_history import forget_old_runs, gone_versions
from nexus_resources.settings import read_settings
from nexus_resources.stores import StoreResource

_STATUS = dg.DefaultScheduleStatus.RUNNING if read_settings().sensors == "on" else dg.DefaultScheduleStatus.STOPPED


class RetentionConfig(dg.Config):
    """What to keep."""

    keep_days: float = Field(
        default_factory=lambda: read_settings().keep_run_days,
        ge=0,
        description="Keep runs and records of tasks that changed within so many days; 0 keeps all.",
    )


@dg.op(description="Forget runs that ended long ago and made nothing that is there, and old records of tasks.")
def forget_old_history(context: dg.OpExecutionContext, config: RetentionConfig, store: StoreResource) -> None:
    """Forget once."""
    from omics_datastore.purge import delete_old_task_records

    runs, records = [], []
    if config.keep_days:
        objects = store.open()
        runs = forget_old_runs(context.instance, config.keep_days, gone=gone_versions(context.instance, objects))
        records = delete_old_task_records(objects, time.time() - config.keep_days * 86_400)
    context.log.info(f"{len(runs)} old runs and the records of {len(records)} were forgotten.")
    context.add_output_metadata({"runs": len(runs), "task_records": len(records), "keep_days": config.keep_days})


@dg.job(
    name="retention",
    executor_def=dg.in_process_executor,
    description="Forget old runs and their logs; what made the latest state of anything stays.",
)
def retention_job() -> None:
    """Keep the history bounded."""
    forget_old_history()


@dg.schedule(
    job=retention_job,
    cron_schedule="0 4 * * *",
    execution_timezone="UTC",
    default_status=_STATUS,
    description="Forget old runs every night.",
)
def nightly_retention(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for it."""
    return dg.RunRequest(
        run_key=f"{context.scheduled_execution_time:%Y-%m-%d}", tags={REQUESTED_BY: "nightly_retention"}
    )
