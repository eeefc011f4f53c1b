"""Find runs in the instance: the newest of a job, or those that have not ended."""

from functools import cache

import dagster as dg
from dagster._core.storage.tags import RESUME_RETRY_TAG, ROOT_RUN_ID_TAG

from nexus_assets.batches import partitions_of
from nexus_assets.policy import PARTITION

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


_VERSION = "dagster/data_version"
READING_JOBS = ("ingest_dataset", "validate_dataset")
"""Jobs that read source files."""


def latest_run(instance: dg.DagsterInstance, job: str, partition: str) -> dg.DagsterRun | None:
    """Return the newest run of a job for a partition.

    :param instance: Dagster instance.
    :param job: Name of the job.
    :param partition: Partition key.
    :return: The run, whatever its state, or ``None``.
    """
    return _first(instance, dg.RunsFilter(job_name=job, tags={PARTITION: partition}))


def unfinished_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Return the runs that have not ended.

    :param instance: Dagster instance.
    :return: The runs of all jobs, the newest first.
    """
    return list(instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)))


def unfinished_run(instance: dg.DagsterInstance, job: str, partition: str | None = None) -> dg.DagsterRun | None:
    """Return a run of a job that has not ended.

    :param instance: Dagster instance.
    :param job: Name of the job.
    :param partition: Partition key; any by default.
    :return: The newest such run, or ``None``.
    """
    tags = {} if partition is None else {PARTITION: partition}
    return _first(instance, dg.RunsFilter(job_name=job, tags=tags, statuses=_UNFINISHED))


def runs_by_dataset(instance: dg.DagsterInstance) -> dict[str, dg.DagsterRun]:
    """Return the unfinished runs that read source files, of one dataset or many.

    :param instance: Dagster instance.
    :return: The newest such run by dataset key.
    """
    runs = [run for run in unfinished_runs(instance) if run.job_name in READING_JOBS or _is_of_datasets(run)]
    known = cache(lambda: instance.get_dynamic_partitions("datasets"))
    return {key: run for run in reversed(runs) for key in partitions_of(run, known)}


def committed_versions(instance: dg.DagsterInstance) -> dict[str, str]:
    """Return the version of each dataset's drop that was loaded last.

    :param instance: Dagster instance.
    :return: The first 16 characters of the drop's digest, by dataset key.
    """
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        dg.AssetKey(["warehouse", "ingest_info"]), dg.DagsterEventType.ASSET_MATERIALIZATION, [_VERSION]
    )
    return {key: found[_VERSION] for key, found in tags.items() if _VERSION in found}


def _is_of_datasets(run: dg.DagsterRun) -> bool:
    # What somebody materializes in the web UI is not of a job.
    return any(key.path[0] in ("ingest", "warehouse") for key in run.asset_selection or ())


def made_in_this_run(context: dg.AssetExecutionContext, asset: list[str]) -> dict[str, str]:
    """Return what a run made of an asset before it failed and was executed again from there.

    :param context: Context of a step.
    :param asset: Key of an asset that the step makes.
    :return: Version of what was made, by partition; empty when the run is not such a repetition.
    """
    run = context.run
    if run.tags.get(RESUME_RETRY_TAG) != "true" and not context.retry_number:
        return {}
    root = run.get_root_run_id() or run.run_id
    group = {root, *(one.run_id for one in context.instance.get_runs(dg.RunsFilter(tags={ROOT_RUN_ID_TAG: root})))}
    keys = list(context.partition_keys)
    records = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=keys), limit=4 * len(keys)
    ).records
    return {
        str(record.partition_key): str((record.asset_materialization.tags or {}).get(_VERSION))
        for record in reversed(records)
        if record.run_id in group and record.asset_materialization is not None
    }


def _first(instance: dg.DagsterInstance, runs: dg.RunsFilter) -> dg.DagsterRun | None:
    return next(iter(instance.get_runs(runs, limit=1)), None)
