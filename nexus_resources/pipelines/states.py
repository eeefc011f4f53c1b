"""States of pipelines and their tasks, and what a runner knows of a job at one moment.

The names are those of Vertex AI (``PipelineState`` and ``PipelineTaskDetail.State``); every runner maps onto them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self


class _NamedState(StrEnum):
    """A state that can be read from the name a service gives it; a name that is not known is UNSPECIFIED."""

    @classmethod
    def from_name(cls, name: str) -> Self:
        """Read a state.

        :param name: Name of the state, with or without the prefix of Vertex AI.
        :return: The state.
        """
        bare = name.upper().removeprefix("PIPELINE_").removeprefix("STATE_")
        return cls[bare] if bare in cls.__members__ else cls["UNSPECIFIED"]


class PipelineState(_NamedState):
    """State of a pipeline job."""

    UNSPECIFIED = "unspecified"
    QUEUED = "queued"
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    PAUSED = "paused"

    @property
    def is_final(self) -> bool:
        """Tell whether the state never changes again. A paused job can be resumed."""
        return self in (PipelineState.SUCCEEDED, PipelineState.FAILED, PipelineState.CANCELLED)


class TaskState(_NamedState):
    """State of a task."""

    UNSPECIFIED = "unspecified"
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CANCEL_PENDING = "cancel pending"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_TRIGGERED = "not triggered"


@dataclass(frozen=True)
class TaskStatus:
    """A task at one moment. Times are seconds since 1970; ``log`` is a path or a link."""

    name: str
    state: TaskState
    started: float | None = None
    ended: float | None = None
    cache_hit: bool = False
    log: str | None = None
    error: str | None = None

    @property
    def minutes(self) -> float | None:
        """Return how long a finished task took."""
        return None if self.started is None or self.ended is None else (self.ended - self.started) / 60


@dataclass(frozen=True)
class JobStatus:
    """A job at one moment.

    ``created`` is in seconds since 1970. ``failure`` tells of a failed job whether running the same again
    may succeed (quota, preemption, a server's error, a killed process) or not.
    """

    job_id: str
    state: PipelineState
    created: float | None = None
    tasks: tuple[TaskStatus, ...] = ()
    error: str | None = None
    failure: Literal["retryable", "permanent"] | None = None

    def failed_task(self) -> TaskStatus | None:
        """Return the task that failed first, if any did."""
        failed = [task for task in self.tasks if task.state is TaskState.FAILED]
        return min(failed, key=lambda task: task.ended or float("inf"), default=None)


@dataclass(frozen=True)
class ListedJob:
    """A job as a listing shows it; ``created`` is in seconds since 1970."""

    job_id: str
    state: PipelineState
    created: float | None
    labels: Mapping[str, str]


def format_tasks(tasks: tuple[TaskStatus, ...]) -> str:
    """Write tasks as a table for a log or a message.

    :param tasks: The tasks.
    :return: One line a task: name, state, minutes, whether it came from the cache, error, log.
    """
    rows = [("task", "state", "minutes", "cached", "error", "log")]
    rows += [
        (
            task.name,
            task.state.value,
            "" if task.minutes is None else f"{task.minutes:.2f}",
            "yes" if task.cache_hit else "",
            task.error or "",
            task.log or "",
        )
        for task in tasks
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
