"""The job that keeps the history bounded: old runs with their events and logs, old records of pipeline tasks."""

import dagster as dg
from pydantic import Field

from nexus_assets.run_history import forget_old_runs, gone_versions
from nexus_resources.settings import read_settings
from nexus_resources.stores import StoreResource


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
        records = delete_old_task_records(objects, objects.now().timestamp() - config.keep_days * 86_400)
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
