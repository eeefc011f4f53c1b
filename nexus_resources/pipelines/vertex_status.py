"""A job of Vertex AI as Nexus sees it: states by name, the tasks that run containers, why it failed."""

from collections.abc import Mapping
from typing import Any

from nexus_resources.pipelines.states import JobStatus, PipelineState, TaskState, TaskStatus
from nexus_resources.pipelines.vertex_errors import failure_class


def job_status(job: Any, tasks: Mapping[str, bool], project: str) -> JobStatus:
    """Read a job.

    :param job: A ``google.cloud.aiplatform_v1.PipelineJob``.
    :param tasks: Names of the tasks that run containers and whether each is in a loop (see ``container_tasks``).
    :param project: Project, for the links to logs.
    :return: What Nexus knows of it.
    """
    state = PipelineState.from_name(job.state.name)
    details = _numbered(job, tasks)
    failure = None
    if state is PipelineState.FAILED:
        failed = [detail for detail in job.job_detail.task_details if detail.error.code]
        failure = failure_class(
            [job.error.code, *(detail.error.code for detail in failed)],
            [job.error.message, *(detail.error.message for detail in failed)],
        )
    return JobStatus(
        job_id=job.name.rpartition("/")[2],
        state=state,
        created=_seconds(job.create_time),
        tasks=tuple(_task_status(name, detail, project) for name, detail in details),
        error=job.error.message or None,
        failure=failure,
    )


def messages_of(job: Any) -> list[str]:
    """Return everything that a job and its tasks say of errors.

    :param job: A ``PipelineJob``.
    :return: The messages.
    """
    said = [job.error.message, *(detail.error.message for detail in job.job_detail.task_details)]
    return [message for message in said if message]


def log_jobs(job: Any, tasks: Mapping[str, bool]) -> dict[str, str]:
    """Return under which id the log of each task is kept.

    :param job: A ``PipelineJob``.
    :param tasks: As for :func:`job_status`.
    :return: Number of the custom job by the task's name.
    """
    found = {name: _log_job(detail) for name, detail in _numbered(job, tasks)}
    return {name: number for name, number in found.items() if number}


def _numbered(job: Any, tasks: Mapping[str, bool]) -> list[tuple[str, Any]]:
    """Name the tasks that run containers; those of a loop by their number in the order in which they were made."""
    seen: dict[str, int] = {}
    named = []
    for detail in sorted(job.job_detail.task_details, key=lambda detail: detail.task_id):
        name = _name_in_spec(detail.task_name, tasks)
        if name is None:
            continue
        number = seen.get(name, 0)
        seen[name] = number + 1
        shown = name.replace("-", "_")
        named.append((f"{shown}[{number}]" if tasks[name] else f"{shown} #{number + 1}" if number else shown, detail))
    return named


def _name_in_spec(name: str, tasks: Mapping[str, bool]) -> str | None:
    if name in tasks:
        return name
    bare, _, number = name.rpartition("-")
    return bare if number.isdigit() and bare in tasks else None


def _task_status(name: str, detail: Any, project: str) -> TaskStatus:
    state = TaskState.from_name(detail.state.name)
    number = _log_job(detail)
    link = None
    if number:
        query = f"resource.type%3D%22ml_job%22%0Aresource.labels.job_id%3D%22{number}%22"
        link = f"https://console.cloud.google.com/logs/query;query={query}?project={project}"
    return TaskStatus(
        name=name,
        state=state,
        started=_seconds(detail.start_time or detail.create_time),
        ended=_seconds(detail.end_time),
        cache_hit=state is TaskState.SKIPPED,
        log=link,
        error=detail.error.message or None,
    )


def _log_job(detail: Any) -> str:
    executor = detail.executor_detail
    name = executor.container_detail.main_job or executor.custom_job_detail.job
    return str(name).rpartition("/")[2]


def _seconds(time: Any) -> float | None:
    return None if not time else float(time.timestamp())
