"""Run a pipeline job from an asset: progress in the log, the job on the run, cancelled only when the run is."""

import time
from collections.abc import Sequence
from dataclasses import replace

import dagster as dg
from dagster import DagsterExecutionInterruptedError, DagsterRunStatus

from kfp_components.progress import Progress
from nexus_assets.batches import batch_name
from nexus_assets.instance_id import instance_id
from nexus_assets.policy import DRY_RUN, PIPELINE_JOB, PIPELINE_LINK, input_failure, input_failures
from nexus_assets.run_metadata import METADATA_JOB
from nexus_resources.pipelines.errors import PipelineFailedError, TransientServiceError
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.labels import INSTANCE, PARTITION, ROOT_RUN, RUN, STEP
from nexus_resources.pipelines.observer import How, PipelineObserver
from nexus_resources.pipelines.requests import RequestWriter, Spread
from nexus_resources.pipelines.resource import PipelinesResource
from nexus_resources.pipelines.runner import PipelineResult
from nexus_resources.pipelines.states import JobStatus, TaskStatus, format_tasks
from omics_datastore.errors import InputError
from omics_datastore.shown_text import masked
from omics_datastore.storage.object_store import ObjectStore

_LOG_SECONDS = 15.0
_LONGEST_WAIT = 900.0
_LOGGED_TASKS = 50


def request_writer(
    context: dg.AssetExecutionContext, store: ObjectStore, pipelines: PipelinesResource, step: str
) -> RequestWriter:
    """Return a writer of requests in the name of a run, step and partition.

    :param context: Context of the asset.
    :param store: Object store.
    :param pipelines: Pipelines resource.
    :param step: What the request is for; part of the job's identity.
    :return: The writer.
    """
    run = context.run
    partition = batch_name(context.partition_keys)
    identity = JobIdentity(run.root_run_id or run.run_id, step, partition)
    memory = pipelines.task_memory_bytes
    spread = Spread(pipelines.tasks, pipelines.workers, memory, tasks_share_cores=pipelines.tasks_share_cores)
    labels = {
        INSTANCE: instance_id(context.instance),
        PARTITION: partition,
        ROOT_RUN: identity.root_run,
        RUN: run.run_id,
        STEP: step,
    }
    return RequestWriter(store, identity, spread, labels)


def run_pipeline(
    context: dg.AssetExecutionContext, pipelines: PipelinesResource, job: PipelineJob, asset: list[str]
) -> PipelineResult:
    """Run a pipeline job and wait for it.

    :param context: Context of the asset.
    :param pipelines: Pipelines resource.
    :param job: The job.
    :param asset: Asset that is made; a job its latest materialization names already is not adopted again.
    :return: The result.
    :raise dagster.RetryRequested: When the job was lost and the pipelines say how often to submit it again.
    :raise dagster.Failure: When the job fails; retries are allowed where running again may help.
    """
    with input_failures():
        runner = pipelines.runner()
    job = replace(job, timeout_seconds=job.timeout_seconds or pipelines.timeout_seconds or None)
    if DRY_RUN in context.run.tags:
        raise dg.Failure(
            f"Dry run: {job.job_id(1)} was not submitted; the request is in the metadata.",
            metadata={"request": dg.MetadataValue.json(runner.describe(job))},
            allow_retries=False,
        )
    observer = _Announcer([_LogObserver(context), *pipelines.observers()])
    try:
        result = runner.run(job, observer, consumed_ids=_consumed_ids(context, asset))
        context.log.info(f"Tasks of pipeline job {result.job_id}:\n{format_tasks(result.tasks[:_LOGGED_TASKS])}")
        return result
    except DagsterExecutionInterruptedError:
        # A worker that is merely killed leaves the job to the retry, which attaches to it.
        run = context.instance.get_run_by_id(context.run.run_id)
        if observer.job_id is not None and run is not None and run.status is DagsterRunStatus.CANCELING:
            runner.cancel(observer.job_id)
        raise
    except InputError as error:
        raise input_failure(str(error)) from error
    except PipelineFailedError as error:
        if error.retryable:
            _retry(context, pipelines, error)
        raise dg.Failure(str(error), allow_retries=error.retryable) from error
    except TransientServiceError as error:
        # The job may well be running; whoever asks next attaches to it.
        _retry(context, pipelines, error)
        raise dg.Failure(f"The pipeline service does not answer: {error}", allow_retries=True) from error


def _retry(context: dg.AssetExecutionContext, pipelines: PipelinesResource, error: Exception) -> None:
    """Ask for the step to be tried again, unless that was done often enough."""
    if context.retry_number < pipelines.lost_job_retries:
        seconds = min(pipelines.retry_seconds * 2.0**context.retry_number, _LONGEST_WAIT)
        context.log.warning(f"Tried again in {seconds:.0f} seconds: {error}")
        raise dg.RetryRequested(pipelines.lost_job_retries, seconds) from error


def _consumed_ids(context: dg.AssetExecutionContext, asset: list[str]) -> set[str]:
    keys = list(context.partition_keys)
    records = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=keys), limit=len(keys)
    ).records
    found: set[str] = set()
    for record in records:
        event = record.asset_materialization
        value = event.metadata.get(METADATA_JOB) if event is not None else None
        if value is not None:
            found.add(str(value.value))
    return found


class _Announcer(PipelineObserver):
    """Tell several observers, and remember the job."""

    def __init__(self, observers: Sequence[PipelineObserver]) -> None:
        self._observers = observers
        self.job_id: str | None = None

    def submitted(self, job_id: str, link: str, how: How) -> None:
        self.job_id = job_id
        for observer in self._observers:
            observer.submitted(job_id, link, how)

    def state_changed(self, status: JobStatus) -> None:
        for observer in self._observers:
            observer.state_changed(status)

    def task_changed(self, task: TaskStatus) -> None:
        for observer in self._observers:
            observer.task_changed(task)

    def progress(self, progress: Progress) -> None:
        for observer in self._observers:
            observer.progress(progress)

    def task_said(self, text: str) -> None:
        for observer in self._observers:
            observer.task_said(text)


class _LogObserver(PipelineObserver):
    """Write a job's course into the log of the run."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._logged = 0.0

    def submitted(self, job_id: str, link: str, how: How) -> None:
        self._context.instance.add_run_tags(
            self._context.run.run_id, {PIPELINE_JOB: job_id, PIPELINE_LINK: masked(link)}
        )
        self._context.log.info(f"Pipeline job {job_id} {how}: {masked(link)}")

    def state_changed(self, status: JobStatus) -> None:
        self._context.log.info(f"Pipeline job is {status.state.value}.")

    def task_changed(self, task: TaskStatus) -> None:
        self._context.log.info(f"Task {task.name} is {task.state.value}.")

    def progress(self, progress: Progress) -> None:
        if time.monotonic() - self._logged >= _LOG_SECONDS:
            self._logged = time.monotonic()
            share = progress.done / progress.total if progress.total else 1.0
            self._context.log.info(f"{progress.done:,} of {progress.total:,} {progress.unit} ({share:.0%}).")

    def task_said(self, text: str) -> None:
        self._context.log.warning(masked(text))
