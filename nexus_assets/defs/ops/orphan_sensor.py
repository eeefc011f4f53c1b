"""The sensor over the pipeline jobs: those that no run waits for any more, and what is kept of old ones."""

import json
import time
from dataclasses import dataclass

import dagster as dg

from nexus_assets.instance_id import instance_id
from nexus_assets.run_lookup import unfinished_runs
from nexus_resources.pipelines.errors import TransientServiceError
from nexus_resources.pipelines.labels import INSTANCE, ROOT_RUN
from nexus_resources.pipelines.resource import PipelinesResource
from nexus_resources.pipelines.runner import PipelineRunner
from nexus_resources.settings import read_settings


@dataclass(frozen=True)
class Orphan:
    """A job that no run waits for: its root run, and since when it was seen so (s since 1970)."""

    job_id: str
    root_run: str
    since: float


@dg.sensor(
    name="orphan_pipelines",
    minimum_interval_seconds=120,
    default_status=(
        dg.DefaultSensorStatus.RUNNING if read_settings().sensors == "on" else dg.DefaultSensorStatus.STOPPED
    ),
    description="Cancel pipeline jobs that no run waits for, after a grace period; remove what is kept of old jobs.",
)
def orphan_pipelines(context: dg.SensorEvaluationContext, pipelines: PipelinesResource) -> dg.SensorResult:
    """Look for orphans once."""
    runner = pipelines.runner()
    try:
        orphans = find_orphans(context.instance, runner, context.cursor)
    except TransientServiceError as error:
        reason = f"the pipeline service did not answer, which is not taken for having no jobs: {error}"
        return dg.SensorResult(skip_reason=reason, cursor=context.cursor)
    notes: list[str] = []
    left: dict[str, float] = {}
    for orphan in orphans:
        note, gone = _deal_with(orphan, runner, pipelines.orphan_grace_minutes * 60)
        notes.append(note)
        context.log.warning(note)
        if not gone:
            left[orphan.job_id] = orphan.since
    removed = runner.prune(keep_last=pipelines.keep_jobs, older_than_days=pipelines.keep_days)
    if removed:
        notes.append(f"removed what was kept of {len(removed)} old jobs")
    reason = "; ".join(notes) or "a run waits for every pipeline job that is active"
    return dg.SensorResult(skip_reason=reason, cursor=json.dumps(left))


def find_orphans(instance: dg.DagsterInstance, runner: PipelineRunner, cursor: str | None) -> list[Orphan]:
    """Return the active jobs of this instance whose root run, and every run that repeats it, ended or is gone.

    :param instance: Dagster instance.
    :param runner: The pipeline runner.
    :param cursor: When each was seen as an orphan before.
    :return: The orphans, the longest known first.
    :raise TransientServiceError: When the service did not answer.
    """
    seen: dict[str, float] = json.loads(cursor) if cursor else {}
    listed = runner.active_jobs({INSTANCE: instance_id(instance)})
    # Asked after the listing: a job that is submitted in between cannot be taken for an orphan.
    waiting = {run.root_run_id or run.run_id for run in unfinished_runs(instance)}
    now = time.time()
    orphans = [
        Orphan(job.job_id, job.labels[ROOT_RUN], seen.get(job.job_id, now))
        for job in listed
        if job.labels.get(ROOT_RUN) and job.labels[ROOT_RUN] not in waiting
    ]
    return sorted(orphans, key=lambda orphan: orphan.since)


def _deal_with(orphan: Orphan, runner: PipelineRunner, grace_seconds: float) -> tuple[str, bool]:
    """Cancel an orphan whose time is up.

    :return: What was done, and whether the job was cancelled.
    """
    what = f"no run waits for pipeline job {orphan.job_id} of run {orphan.root_run}"
    remaining = grace_seconds - (time.time() - orphan.since)
    if remaining > 0:
        return f"{what}; it is cancelled in {remaining / 60:.0f} minutes", False
    try:
        runner.request_cancel(orphan.job_id)
    except TransientServiceError as error:
        return f"{what}; cancelling it failed and is tried again: {error}", False
    return f"{what}; it was cancelled", True
