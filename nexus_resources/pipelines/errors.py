"""How a pipeline can fail, by what the caller should do about it."""

from nexus_resources.pipelines.states import JobStatus, format_tasks
from omics_datastore.errors import InputError, NexusError


class JobExistsError(Exception):
    """Say that a job id is taken; between a runner's primitives and :class:`PipelineRunner` only."""


class TransientServiceError(Exception):
    """Say that the service did not answer this once (quota, 5xx); the base class asks again."""


class PipelineInputError(InputError):
    """Say with a task's own sentence what is wrong with an input; running again does not help.

    :param message: The sentence.
    :param status: The job that found it.
    """

    def __init__(self, message: str, status: JobStatus) -> None:
        super().__init__(message)
        self.status = status
        self.job_id = status.job_id


class PipelineFailedError(NexusError):
    """Say that a job ended without success: its id, its tasks, the last log lines of the task that failed.

    :param status: The job at its end.
    :param link: Console link, or path of the log.
    :param what: What happened, for the first line.
    :param log_tail: Last log lines of the failing task, or of the job.
    """

    retryable = False

    def __init__(self, status: JobStatus, link: str, what: str, log_tail: tuple[str, ...] = ()) -> None:
        self.status = status
        self.job_id = status.job_id
        self.link = link
        self.log_tail = log_tail
        parts = [f"Pipeline job {status.job_id} {what}: {status.error or 'no reason given'} ({link})"]
        if status.tasks:
            parts.append(format_tasks(status.tasks))
        if log_tail:
            task = status.failed_task()
            parts.append("\n".join([f"Last log lines of {task.name if task else 'the job'}:", *log_tail]))
        super().__init__("\n\n".join(parts))


class PipelineRetryableError(PipelineFailedError):
    """Say that a job was lost to something that may not happen again: quota, preemption, 5xx, a killed process."""

    retryable = True


class PipelineCancelledError(PipelineFailedError):
    """Say that somebody cancelled the job."""


class PipelineTimeoutError(PipelineFailedError):
    """Say that the job took longer than it may and was cancelled."""
