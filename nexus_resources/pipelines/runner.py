"""The pipeline runner: submit or find again, wait, report, judge. What differs between places is five primitives.

A job's id follows from the request alone, so whoever asks again (a retry, a re-execution, another process) finds
the job: an active one is attached to, one that succeeded is adopted, one that failed is followed by the next
attempt. Nothing here cancels a job because its caller stops; the caller says so with :meth:`PipelineRunner.cancel`.
"""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

from kfp_components.results import clear_failure, read_failure
from nexus_resources.pipelines.errors import (
    JobExistsError,
    PipelineCancelledError,
    PipelineFailedError,
    PipelineInputError,
    PipelineRetryableError,
    PipelineTimeoutError,
    TransientServiceError,
)
from nexus_resources.pipelines.job import PipelineJob
from nexus_resources.pipelines.observer import How, PipelineObserver, Reporter
from nexus_resources.pipelines.states import JobStatus, ListedJob, PipelineState, TaskStatus

_T = TypeVar("_T")
LOG_TAIL_LINES = 40
MAX_ATTEMPTS = 100


@dataclass(frozen=True)
class Polling:
    """How often a job is looked at, in seconds: from ``first``, 1.5 times longer each time, up to ``last``, ±20 %.

    A call that the service does not answer is made ``patience`` times more before it is given up.
    """

    first: float
    last: float
    patience: int = 8

    def delay(self, looks: int) -> float:
        """Return how long to wait after a look.

        :param looks: Looks before this one.
        :return: Seconds.
        """
        return float(min(self.last, self.first * 1.5 ** min(looks, 60)) * random.uniform(0.8, 1.2))  # noqa: S311


@dataclass(frozen=True)
class PipelineResult:
    """A job that succeeded, and how it came to the caller."""

    job_id: str
    link: str
    how: How
    tasks: tuple[TaskStatus, ...]


class PipelineRunner(ABC):
    """Run compiled pipelines somewhere.

    :param polling: How often to look; the class's own when left out.
    :param sleep: Waits some seconds; replaced by tests.
    """

    polling: ClassVar[Polling] = Polling(5.0, 60.0)

    def __init__(self, *, polling: Polling | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self._polling = polling or self.polling
        self._sleep = sleep

    # What a place must do.

    @abstractmethod
    def _create(self, job_id: str, job: PipelineJob) -> None:
        """Submit a job under an id.

        :param job_id: The id.
        :param job: The job.
        :raise JobExistsError: When the id is taken, by whomever and in whatever state.
        :raise TransientServiceError: When trying again may work.
        """

    @abstractmethod
    def _get(self, job_id: str) -> JobStatus | None:
        """Look at a job.

        :param job_id: The id.
        :return: The job with its tasks, or ``None`` when there is no such job.
        :raise TransientServiceError: When trying again may work.
        """

    @abstractmethod
    def _cancel(self, job_id: str) -> None:
        """Ask for a job to end; a job that ended already is left as it is.

        :param job_id: The id.
        :raise TransientServiceError: When trying again may work.
        """

    @abstractmethod
    def _log_tail(self, job_id: str, task: TaskStatus | None, lines: int) -> tuple[str, ...]:
        """Return the last log lines of a task, or of the whole job; nothing when they cannot be had.

        :param job_id: The id.
        :param task: The task.
        :param lines: How many lines at most.
        :return: The lines.
        """

    @abstractmethod
    def link(self, job_id: str) -> str:
        """Return where a person looks at a job: a console link, or the path of its log.

        :param job_id: The id; the job need not exist.
        :return: The link.
        """

    @abstractmethod
    def active_jobs(self, labels: Mapping[str, str]) -> list[ListedJob]:
        """List the jobs that have not ended and carry some labels; the service is asked once.

        :param labels: Labels that each must have.
        :return: The jobs in any order.
        :raise TransientServiceError: When trying again may work.
        """

    # What all places have in common.

    def describe(self, job: PipelineJob, attempt: int = 1) -> dict[str, Any]:
        """Return what would be submitted, without submitting it.

        :param job: The job.
        :param attempt: Number of the attempt.
        :return: A JSON document in the form of the place.
        """
        return {
            "job_id": job.job_id(attempt),
            "pipeline": job.pipeline,
            "parameters": dict(job.parameters),
            "labels": dict(job.labels),
        }

    def prune(self, *, keep_last: int = 50, older_than_days: float = 14.0) -> list[str]:  # noqa: ARG002
        """Remove what is kept of old jobs that ended; a place that keeps its own history removes nothing.

        :param keep_last: How many of the newest jobs stay in any case.
        :param older_than_days: How long ago a job must have been submitted to be removed.
        :return: Ids of the removed jobs.
        """
        return []

    def run(
        self, job: PipelineJob, observer: PipelineObserver | None = None, *, consumed_ids: Collection[str] = ()
    ) -> PipelineResult:
        """Run a job to its end, or find the one that runs or ran for the same request.

        :param job: The job.
        :param observer: Who is told what happens.
        :param consumed_ids: Ids of succeeded jobs that were used already; they are not adopted again.
        :return: The job, which succeeded.
        :raise PipelineInputError: When a task refused its input; the message is the task's sentence.
        :raise PipelineRetryableError: When the job was lost to something that may not happen again.
        :raise PipelineCancelledError: When somebody cancelled it.
        :raise PipelineTimeoutError: When it took longer than it may; it is cancelled.
        :raise PipelineFailedError: When it failed for another reason, or is paused.
        """
        observer = observer or PipelineObserver()
        job_id, how = self._start(job, consumed_ids)
        observer.submitted(job_id, self.link(job_id), how)
        reporter = Reporter(observer, job)
        status = self._wait(job, job_id, reporter, time.monotonic() if how == "submitted" else None)
        if status.state is PipelineState.SUCCEEDED:
            return PipelineResult(job_id, self.link(job_id), how, status.tasks)
        raise self._failure(job, status)

    def cancel(self, job_id: str, *, wait_seconds: float = 60.0) -> PipelineState:
        """Cancel a job and wait until it ended.

        :param job_id: The id; a job that ended already is left as it is.
        :param wait_seconds: How long to wait at most.
        :return: The state it is in then.
        :raise KeyError: When there is no such job.
        """
        self._patiently(lambda: self._cancel(job_id))
        deadline = time.monotonic() + wait_seconds
        looks = 0
        while True:
            status = self._look(job_id)
            if status is None:
                raise KeyError(job_id)
            if status.state.is_final or time.monotonic() > deadline:
                return status.state
            self._sleep(self._polling.delay(looks))
            looks += 1

    def request_cancel(self, job_id: str) -> None:
        """Ask once for a job to end, and do not wait for it.

        :param job_id: The id; a job that ended already is left as it is.
        :raise TransientServiceError: When trying again may work.
        """
        self._cancel(job_id)

    def _start(self, job: PipelineJob, consumed_ids: Collection[str]) -> tuple[str, How]:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            job_id = job.job_id(attempt)
            status = self._look(job_id)
            if status is None:
                self._forget_failures(job)
                if self._submit(job_id, job):
                    return job_id, "submitted"
                status = self._look(job_id)  # another caller was faster
            status = self._after_cancelling(status)
            if status is None:  # deleted since
                continue
            if not status.state.is_final:
                return job_id, "attached"
            if status.state is PipelineState.SUCCEEDED and job_id not in consumed_ids:
                return job_id, "adopted"
        raise RuntimeError(f"{job.pipeline} was attempted {MAX_ATTEMPTS} times for {job.identity}; giving up")

    def _submit(self, job_id: str, job: PipelineJob) -> bool:
        try:
            self._patiently(lambda: self._create(job_id, job))
        except JobExistsError:
            return False
        return True

    def _after_cancelling(self, status: JobStatus | None) -> JobStatus | None:
        looks = 0
        while status is not None and status.state is PipelineState.CANCELLING:
            self._sleep(self._polling.delay(looks))
            status = self._look(status.job_id)
            looks += 1
        return status

    def _wait(self, job: PipelineJob, job_id: str, reporter: Reporter, submitted: float | None) -> JobStatus:
        attached = time.time()
        looks = 0
        while True:
            status = self._look(job_id)
            if status is None:
                return JobStatus(job_id, PipelineState.FAILED, error="the job was deleted", failure="retryable")
            reporter.report(status)
            if status.state.is_final or status.state is PipelineState.PAUSED:
                return status
            # The place's clock and ours may disagree: its word is taken only of a job that somebody else submitted.
            age = time.time() - (status.created or attached) if submitted is None else time.monotonic() - submitted
            if job.timeout_seconds is not None and age > job.timeout_seconds:
                self._time_out(job, job_id, reporter)
            self._sleep(self._polling.delay(looks))
            looks += 1

    def _time_out(self, job: PipelineJob, job_id: str, reporter: Reporter) -> None:
        state = self.cancel(job_id)
        status = self._look(job_id) or JobStatus(job_id, state)
        reporter.report(status)
        if state is not PipelineState.SUCCEEDED:
            status = replace(status, error=f"not done after {job.timeout_seconds:g} seconds")
            raise PipelineTimeoutError(status, self.link(job_id), "timed out and was cancelled", self._tail(status))

    def _failure(self, job: PipelineJob, status: JobStatus) -> Exception:
        link = self.link(status.job_id)
        if status.state is PipelineState.CANCELLED:
            return PipelineCancelledError(status, link, "was cancelled")
        if status.state is PipelineState.PAUSED:
            return PipelineFailedError(replace(status, error="resume or cancel it, then run again"), link, "is paused")
        if job.store is not None:
            for key in job.result_keys:
                failure = read_failure(job.store, key)
                if failure is not None:
                    return PipelineInputError(failure.message, status)
        kind = PipelineRetryableError if status.failure == "retryable" else PipelineFailedError
        return kind(status, link, "failed", self._tail(status))

    def _tail(self, status: JobStatus) -> tuple[str, ...]:
        return self._log_tail(status.job_id, status.failed_task(), LOG_TAIL_LINES)

    def _forget_failures(self, job: PipelineJob) -> None:
        """Remove what the tasks of an ended attempt said, so that it is not taken for the next attempt's word."""
        if job.store is not None:
            for key in job.result_keys:
                clear_failure(job.store, key)

    def _look(self, job_id: str) -> JobStatus | None:
        return self._patiently(lambda: self._get(job_id))

    def _patiently(self, ask: Callable[[], _T]) -> _T:
        for looks in range(self._polling.patience):
            try:
                return ask()
            except TransientServiceError:
                self._sleep(self._polling.delay(looks))
        return ask()
