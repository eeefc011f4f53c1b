"""Who is told what while a job runs, and the memory that tells each thing once."""

from typing import Literal

from kfp_components.progress import Progress
from nexus_resources.pipelines.job import PipelineJob
from nexus_resources.pipelines.messages import SessionReader
from nexus_resources.pipelines.states import JobStatus, PipelineState, TaskState, TaskStatus

How = Literal["submitted", "attached", "adopted"]
"""How a job came to this caller: made now, found running, found finished."""


class PipelineObserver:
    """Hear of a job; every method may be left out. What a method raises reaches the caller of ``run``."""

    def submitted(self, job_id: str, link: str, how: How) -> None:
        """Hear of the job before it is looked at for the first time.

        :param job_id: Id of the job.
        :param link: Console link, or path of the log.
        :param how: How the job came to this caller.
        """

    def state_changed(self, status: JobStatus) -> None:
        """Hear that the job is in another state than before.

        :param status: The job.
        """

    def task_changed(self, task: TaskStatus) -> None:
        """Hear that a task is in another state than before.

        :param task: The task.
        """

    def progress(self, progress: Progress) -> None:
        """Hear how far the tasks of a job are, summed over the tasks that count in the same unit.

        :param progress: The sum.
        """

    def task_said(self, text: str) -> None:
        """Hear what a task says of its end before the job says so.

        :param text: A line.
        """


class Reporter:
    """Compare a job with how it was seen last and tell an observer what changed."""

    def __init__(self, observer: PipelineObserver, job: PipelineJob) -> None:
        self._observer = observer
        self._state: PipelineState | None = None
        self._tasks: dict[str, TaskState] = {}
        self._reader = (
            None if job.store is None or job.messages_prefix is None else SessionReader(job.store, job.messages_prefix)
        )

    def report(self, status: JobStatus) -> None:
        """Tell what changed.

        :param status: The job as it is now.
        """
        if status.state is not self._state:
            self._state = status.state
            self._observer.state_changed(status)
        for task in status.tasks:
            if self._tasks.get(task.name) is not task.state:
                self._tasks[task.name] = task.state
                self._observer.task_changed(task)
        if self._reader is not None:
            said = self._reader.look(status.created)
            for progress in said.progress:
                self._observer.progress(progress)
            for failure in said.failures:
                self._observer.task_said(failure)
