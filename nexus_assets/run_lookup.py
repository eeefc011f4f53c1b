"""Find runs in the instance: the newest of a job, or those that have not ended."""

import dagster as dg

from nexus_assets.policy import PARTITION

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


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


def _first(instance: dg.DagsterInstance, runs: dg.RunsFilter) -> dg.DagsterRun | None:
    return next(iter(instance.get_runs(runs, limit=1)), None)
