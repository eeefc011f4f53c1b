"""What PipelineService does, without a network: names, checks and states of jobs. Any runner of ours runs them.

With :class:`LocalPipelines` the submitted specification is executed with kfp.local in a child process of the server;
with :class:`ScriptedPipelines` states follow a script. Messages are the real ones of ``google.cloud.aiplatform_v1``.
"""

import hashlib
import re
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import yaml
from google.cloud import aiplatform_v1 as v1
from google.protobuf import field_mask_pb2, json_format

from nexus_resources.pipelines.errors import JobExistsError, TransientServiceError
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.runner import PipelineRunner
from nexus_resources.pipelines.spec import Spec, container_tasks, take_spot_away
from nexus_resources.pipelines.states import JobStatus, PipelineState, TaskState, TaskStatus
from tests.emulators.vertex.filters import matches

_PARENT = re.compile(r"projects/[a-z0-9.:-]+/locations/[a-z]+-[a-z]+[0-9]+")
_JOB_ID = re.compile(r"[a-z][a-z0-9-]{0,127}")
_KEY = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_VALUE = re.compile(r"[a-z0-9_-]{0,64}")
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")
_CODES = {"retryable": 14, "permanent": 9}


class ServiceError(Exception):
    """An answer that is an error: its canonical name and HTTP status."""

    HTTP = {  # noqa: RUF012 - a table
        "INVALID_ARGUMENT": 400,
        "PERMISSION_DENIED": 403,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "FAILED_PRECONDITION": 400,
        "RESOURCE_EXHAUSTED": 429,
        "INTERNAL": 500,
        "UNAVAILABLE": 503,
    }

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.http = self.HTTP[status]


@dataclass
class Kept:
    """A job of the service: the message as it was asked for, and under which number each task's log lies."""

    message: Any
    job_id: str
    tasks: dict[str, bool]
    changed: dict[str, tuple[str, float, float | None]] = field(default_factory=dict)
    last: JobStatus | None = None


class PipelineServiceEmulator:
    """Serve jobs.

    :param runner: Runs them.
    """

    def __init__(self, runner: PipelineRunner) -> None:
        self._runner = runner
        self._jobs: dict[str, Kept] = {}
        self._lock = threading.RLock()
        self.calls: Counter[str] = Counter()
        self.faults: dict[str, deque[str]] = {}
        """For a method the errors that its next calls answer, before anything is done, one each."""
        self.lost_answers: deque[str] = deque()
        """Methods whose next call is done and then answered with UNAVAILABLE."""

    def create(self, parent: str, job_id: str, message: Any) -> Any:
        with self._call("CreatePipelineJob"):
            self._check(parent, job_id, message)
            name = f"{parent}/pipelineJobs/{job_id}"
            if name in self._jobs:
                raise ServiceError("ALREADY_EXISTS", f"PipelineJob {name} already exists.")
            spec = _spec(message)
            message.name = name
            message.create_time = datetime.now(UTC)
            kept = Kept(message, job_id, container_tasks(spec))
            try:
                self._runner._create(job_id, _executable(message, spec))
            except JobExistsError as error:  # of an emulator that ran before over the same folder
                raise ServiceError("ALREADY_EXISTS", f"PipelineJob {name} already exists.") from error
            self._jobs[name] = kept
            return self._shown(kept, refresh=False)

    def get(self, name: str) -> Any:
        with self._call("GetPipelineJob"):
            return self._shown(self._find(name))

    def listing(self, parent: str, filter_: str, page_size: int, page_token: str, mask: list[str]) -> Any:
        with self._call("ListPipelineJobs"):
            shown = [self._shown(kept) for name, kept in self._jobs.items() if name.startswith(f"{parent}/")]
            try:
                found = [job for job in reversed(shown) if matches(job, filter_)]
            except ValueError as error:
                raise ServiceError("INVALID_ARGUMENT", f"Invalid filter: {error}") from error
            first = int(page_token or 0)
            size = min(page_size or 50, 100)
            answer = v1.ListPipelineJobsResponse()
            for job in found[first : first + size]:
                job.job_detail = None  # not part of a listing
                answer.pipeline_jobs.append(_masked(job, mask))
            answer.next_page_token = str(first + size) if len(found) > first + size else ""
            return answer

    def cancel(self, name: str) -> None:
        with self._call("CancelPipelineJob"):
            kept = self._find(name)
            if self._shown(kept).state.name.removeprefix("PIPELINE_STATE_") not in _ENDED:
                self._runner._cancel(kept.job_id)

    def delete(self, name: str) -> None:
        with self._call("DeletePipelineJob"):
            if self._shown(self._find(name)).state.name.removeprefix("PIPELINE_STATE_") not in _ENDED:
                raise ServiceError("FAILED_PRECONDITION", f"{name} has not ended.")
            del self._jobs[name]

    def lose(self, name: str) -> None:
        """Forget a job in whatever state it is, as if somebody had deleted it."""
        with self._lock:
            del self._jobs[name]

    def log_lines(self, number: str, lines: int) -> list[str]:
        """Return the last log lines of the task with a number."""
        with self._lock:
            for kept in self._jobs.values():
                for task in kept.last.tasks if kept.last else ():
                    if _number(kept.job_id, task.name) == number:
                        return list(self._runner._log_tail(kept.job_id, task, lines))
            return []

    def _call(self, method: str) -> "_Call":
        return _Call(self, method)

    def _find(self, name: str) -> Kept:
        if name not in self._jobs:
            raise ServiceError("NOT_FOUND", f"PipelineJob {name} is not found.")
        return self._jobs[name]

    def _check(self, parent: str, job_id: str, message: Any) -> None:
        wrong = [
            (not _PARENT.fullmatch(parent), f"parent {parent!r}"),
            (not _JOB_ID.fullmatch(job_id), f"pipeline_job_id {job_id!r} must match [a-z][-a-z0-9]{{0,127}}"),
            (len(message.display_name) > 128, "display_name is too long"),
            (len(message.labels) > 64, "there are more than 64 labels"),
            (not type(message).pb(message).pipeline_spec.fields, "pipeline_spec is missing"),
            (not message.runtime_config.gcs_output_directory.startswith("gs://"), "gcs_output_directory"),
        ]
        wrong += [
            (not _KEY.fullmatch(key) or not _VALUE.fullmatch(value), f"label {key}={value}")
            for key, value in message.labels.items()
        ]
        for is_wrong, what in wrong:
            if is_wrong:
                raise ServiceError("INVALID_ARGUMENT", f"Invalid argument: {what}.")

    def _shown(self, kept: Kept, *, refresh: bool = True) -> Any:
        """Return a job as it is now."""
        status = JobStatus(kept.job_id, PipelineState.PENDING)
        if refresh:
            try:
                status = self._runner._get(kept.job_id) or status
            except TransientServiceError as error:
                raise ServiceError("UNAVAILABLE", "The service is currently unavailable.") from error
        kept.last = status
        shown = v1.PipelineJob(kept.message)
        shown.state = v1.PipelineState[f"PIPELINE_STATE_{status.state.name}"]
        shown.update_time = datetime.now(UTC)
        if status.state.is_final:
            shown.end_time = datetime.now(UTC)
        if status.state is PipelineState.FAILED:
            shown.error = {"code": _CODES[status.failure or "permanent"], "message": status.error or "failed"}
        shown.job_detail.task_details = self._details(kept, status)
        return shown

    def _details(self, kept: Kept, status: JobStatus) -> list[Any]:
        details = [{"task_id": 1, "task_name": kept.message.display_name, "state": "RUNNING"}]
        project = kept.message.name.split("/")[1]
        for task in _with_gaps(status.tasks):
            name, _, index = task.name.removesuffix("]").partition("[")
            started, ended = self._times(kept, task)
            number = _number(kept.job_id, task.name)
            details.append(
                {
                    "task_id": 1000 * (1 + list(kept.tasks).index(name.replace("_", "-"))) + int(index or 0),
                    "parent_task_id": 1,
                    "task_name": name.replace("_", "-"),
                    "state": "STATE_UNSPECIFIED" if task.state is TaskState.UNSPECIFIED else task.state.name,
                    "start_time": started,
                    "end_time": ended,
                    "executor_detail": {
                        "container_detail": {"main_job": f"projects/{project}/locations/-/customJobs/{number}"}
                    },
                    "error": {"code": 9, "message": _replica(task.error)} if task.state is TaskState.FAILED else None,
                }
            )
        return details

    def _times(self, kept: Kept, task: TaskStatus) -> tuple[datetime | None, datetime | None]:
        """Return when a task started and ended; a script does not say, so it is when it was first seen so."""
        if task.started is not None:
            return _time(task.started), _time(task.ended)
        if task.state is TaskState.PENDING:
            return None, None
        _, started, ended = kept.changed.get(task.name, ("", time.time(), None))
        if ended is None and task.state is not TaskState.RUNNING:
            ended = time.time()
        kept.changed[task.name] = (task.state.name, started, ended)
        return _time(started), _time(ended)


class _Call:
    """One call: counted, alone, and perhaps made to fail."""

    def __init__(self, service: PipelineServiceEmulator, method: str) -> None:
        self._service = service
        self._method = method

    def __enter__(self) -> None:
        self._service._lock.acquire()
        self._service.calls[self._method] += 1
        faults = self._service.faults.get(self._method)
        if faults:
            status = faults.popleft()
            self._service._lock.release()
            raise ServiceError(status, f"{self._method} failed: {status.lower().replace('_', ' ')}.")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        lost = error is None and self._method in self._service.lost_answers
        if lost:
            self._service.lost_answers.remove(self._method)
        self._service._lock.release()
        if lost:
            raise ServiceError("UNAVAILABLE", "The connection was closed.")


def _spec(message: Any) -> Spec:
    """Return the specification with its whole numbers, which a Struct turns into floats."""
    spec = _whole(json_format.MessageToDict(type(message).pb(message).pipeline_spec))
    if "root" not in spec or "deploymentSpec" not in spec:
        raise ServiceError("INVALID_ARGUMENT", "Invalid argument: pipeline_spec is not a PipelineSpec.")
    take_spot_away(spec)
    return dict(spec)


def _executable(message: Any, spec: Spec) -> PipelineJob:
    values = type(message).pb(message).runtime_config.parameter_values
    return PipelineJob(
        pipeline=message.display_name,
        spec=yaml.safe_dump(spec, sort_keys=False),
        parameters={name: _whole(json_format.MessageToDict(value)) for name, value in values.items()},
        identity=JobIdentity(message.name, "emulated"),
        labels=dict(message.labels),
    )


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _masked(job: Any, mask: list[str]) -> Any:
    if not mask:
        return job
    chosen = v1.PipelineJob()
    field_mask_pb2.FieldMask(paths=mask).MergeMessage(v1.PipelineJob.pb(job), v1.PipelineJob.pb(chosen))
    return chosen


def _with_gaps(tasks: tuple[TaskStatus, ...]) -> list[TaskStatus]:
    """Add the tasks of a loop that wait while a later one runs already: the service makes them all at once."""
    names = {task.name for task in tasks}
    found = list(tasks)
    for task in tasks:
        name, bracket, index = task.name.removesuffix("]").partition("[")
        for number in range(int(index) if bracket else 0):
            if f"{name}[{number}]" not in names:
                names.add(f"{name}[{number}]")
                found.append(TaskStatus(f"{name}[{number}]", TaskState.PENDING))
    return found


def _number(job_id: str, task: str) -> str:
    """Number a task's log, the same at every look."""
    return str(int(hashlib.sha256(f"{job_id}/{task}".encode()).hexdigest()[:15], 16))


def _replica(error: str | None) -> str:
    """Say of an exit code what the service says."""
    match = re.fullmatch(r"exit code (-?\d+)", error or "")
    if match is None:
        return error or "The task failed."
    code = int(match[1])
    return f"The replica workerpool0-0 exited with a non-zero status of {128 - code if code < 0 else code}."


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
