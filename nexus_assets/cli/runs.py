"""Run a job in this process, recorded in the instance that the web UI shows, with a bar on a terminal."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nexus_assets.cli.output import say
from nexus_assets.cli.session import Session
from omics_datastore.errors import InputError, NexusError

if TYPE_CHECKING:
    import dagster as dg
    from dagster_shared.error import SerializableErrorInfo


class RunFailedError(NexusError):
    """Say that a run failed for a reason that is not an input: its id and the reason."""


def partition_failures(error: NexusError, partitions: Sequence[str]) -> dict[str, str]:
    """Return what is wrong with each partition of a run that failed.

    :param error: What :func:`run_job` raised.
    :param partitions: Partitions of the run.
    :return: The sentence by partition; all of them when the whole run failed.
    """
    return getattr(error, "partitions", None) or dict.fromkeys(partitions, str(error))


def load_job(session: Session, job: str) -> "dg.JobDefinition":
    """Load a job, which takes a second: load it before anything is done that others could see.

    :param session: The session.
    :param job: Name of the job.
    :return: The job.
    """
    from nexus_assets.definitions import build_defs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dagster's notes on its own future are not for the user of a command
        return build_defs(_resources(session)).resolve_job_def(job)


def run_job(
    session: Session,
    job: "dg.JobDefinition",
    partition: str | None,
    tags: Mapping[str, str],
    config: Mapping[str, Any] | None = None,
) -> "dg.ExecuteInProcessResult":
    """Run a job, for one partition if it has any, and wait for it.

    :param session: The session.
    :param job: The job.
    :param partition: Partition key; it must be known to the instance.
    :param tags: Tags of the run.
    :param config: Configuration of the run, but for its loggers.
    :return: The result, of a run that succeeded.
    :raise InputError: When an input is at fault; the message is the step's own sentence.
    :raise RunFailedError: When anything else is.
    """
    from nexus_assets.lost_runs import PROCESS, running_process
    from nexus_assets.policy import REQUESTED_BY, os_user

    with running_process(session.instance) as process:
        result = job.execute_in_process(
            instance=session.instance,
            partition_key=partition,
            tags={REQUESTED_BY: os_user(), PROCESS: process, **tags},
            run_config={**(config or {}), "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
    if not result.success:
        raise _error(result)
    return result


def materialization_metadata(result: "dg.ExecuteInProcessResult", asset: list[str]) -> dict[str, Any]:
    """Return the metadata of what a run made.

    :param result: The run.
    :param asset: Key of an asset.
    :return: Plain values by name; empty when the run did not make it.
    """
    for event in result.get_asset_materialization_events():
        if event.asset_key is not None and list(event.asset_key.path) == asset:
            metadata = event.step_materialization_data.materialization.metadata
            return {name: value.value for name, value in metadata.items()}
    return {}


def _sentence(cause: "SerializableErrorInfo | None") -> str:
    """Return the message of an exception without its class, which Dagster puts before it."""
    if cause is None:
        return ""
    before, _, message = cause.message.partition(": ")
    return (message if before.endswith(str(cause.cls_name)) else cause.message).strip()


def _resources(session: Session) -> "Mapping[str, object]":
    from nexus_assets.cli.progress_bar import with_bar
    from nexus_resources.deployment import deployment_resources

    resources: dict[str, Any] = dict(deployment_resources(session.settings))
    if sys.stderr.isatty():
        resources["pipelines"] = with_bar(resources["pipelines"])
    return resources


def _of_partitions(error: NexusError, said: Any) -> NexusError:
    """Keep with an error what is wrong with each partition, where the run is over several."""
    if isinstance(said, dict):
        vars(error)["partitions"] = said
    return error


def _error(result: "dg.ExecuteInProcessResult") -> NexusError:
    from nexus_assets.partition_results import FAILED
    from nexus_assets.policy import is_input_failure

    for event in result.all_events:
        if not event.is_step_failure:
            continue
        data = event.step_failure_data
        failure = data.user_failure_data
        said = failure.metadata[FAILED].value if failure is not None and FAILED in failure.metadata else None
        if failure is not None and is_input_failure(failure):
            return _of_partitions(InputError(*(failure.description or "the run failed").splitlines()), said)
        error = data.error
        cause = error.cause if error is not None and error.cause is not None else error
        if cause is not None and cause.cls_name == "DagsterExecutionInterruptedError":
            raise KeyboardInterrupt
        reason = (failure.description if failure is not None else None) or _sentence(cause)
        say(f"nexus: run {result.run_id} failed in step {event.step_key}; see it with nexus up.")
        return _of_partitions(RunFailedError(reason or "the run failed without saying why"), said)
    return RunFailedError(f"run {result.run_id} did not succeed")
