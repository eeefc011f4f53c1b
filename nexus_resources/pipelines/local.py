"""The laptop's pipeline runner: each job is a child process that runs the compiled pipeline with kfp.local.

A job lives as long as the process that submitted it: whatever kills that process kills the job, and the next who asks
makes the next attempt. Another process that asks meanwhile attaches to the running job by its folder.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Literal

from nexus_resources.pipelines import local_job
from nexus_resources.pipelines.errors import JobExistsError
from nexus_resources.pipelines.job import PipelineJob
from nexus_resources.pipelines.local_job import JobRecord, TaskRecord
from nexus_resources.pipelines.runner import PipelineRunner, Polling
from nexus_resources.pipelines.states import JobStatus, ListedJob, PipelineState, TaskState, TaskStatus
from omics_datastore.errors import CorruptionError
from omics_datastore.shown_text import without_secrets

_PARTIAL = ".new-"
_KILL_SECONDS = 10.0
_NO_JOB = (OSError, ValueError, TypeError, KeyError, CorruptionError)
"""What reading a folder raises that holds no job, or one whose record is damaged."""
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM)
"""Exit codes of a task that somebody killed, directly or below its shell."""
_CHILDREN: dict[Path, subprocess.Popen[bytes]] = {}
"""The children of this process by the folder of their job; they die when the last reference to their pipe goes."""


class LocalPipelines(PipelineRunner):
    """Run pipelines on this machine.

    :param folder: Where the folders of jobs go, one a job, named by its id; a folder of nobody else.
    :param polling: How often to look.
    :param sleep: Waits some seconds.
    """

    polling: ClassVar[Polling] = Polling(0.1, 0.5)

    def __init__(
        self, folder: str | Path, *, polling: Polling | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(polling=polling, sleep=sleep)
        self._folder = Path(folder).expanduser().resolve()

    def link(self, job_id: str) -> str:
        return str(self._folder / job_id / local_job.LOG)

    def close(self) -> None:
        """Kill the jobs that this process submitted to this folder and that still run."""
        for folder in [folder for folder in _CHILDREN if folder.parent == self._folder]:
            self._kill(folder)

    def active_jobs(self, labels: Mapping[str, str]) -> list[ListedJob]:
        jobs: list[ListedJob] = []
        for folder in sorted(self._folder.glob("nexus-*")):
            with suppress(*_NO_JOB):  # removed meanwhile, or no folder of a job
                if local_job.is_locked(folder / local_job.CHILD_LOCK):
                    record = local_job.read_record(folder)
                    if labels.items() <= record.labels.items():
                        state = PipelineState.from_name(record.state)
                        jobs.append(ListedJob(record.job_id, state, record.created, record.labels))
        return [job for job in jobs if not job.state.is_final]

    def prune(self, *, keep_last: int = 50, older_than_days: float = 14.0) -> list[str]:
        limit = time.time() - older_than_days * 86_400
        jobs: list[tuple[float, Path]] = []
        for folder in self._folder.glob("*"):
            with suppress(*_NO_JOB):
                if folder.name.startswith(_PARTIAL):
                    if folder.stat().st_mtime < limit and not local_job.is_locked(folder / local_job.CHILD_LOCK):
                        shutil.rmtree(folder)
                else:
                    jobs.append((local_job.read_record(folder).created, folder))
        removed: list[str] = []
        for created, folder in sorted(jobs, reverse=True)[max(0, keep_last) :]:
            if created < limit and not local_job.is_locked(folder / local_job.TASKS_LOCK):
                shutil.rmtree(folder)
                removed.append(folder.name)
        return removed

    def _create(self, job_id: str, job: PipelineJob) -> None:
        target = self._folder / job_id
        partial = self._folder / f"{_PARTIAL}{uuid.uuid4().hex}"
        (partial / local_job.TASKS).mkdir(parents=True)
        (partial / local_job.SPEC).write_text(job.spec, encoding="utf-8")
        sha256 = hashlib.sha256(job.spec.encode()).hexdigest()
        record = JobRecord(
            job_id, job.pipeline, dict(job.parameters), dict(job.labels), time.time(), spec_sha256=sha256
        )
        local_job.write_record(partial, record)
        child_lock = local_job.take_lock(partial / local_job.CHILD_LOCK)
        tasks_lock = local_job.take_lock(partial / local_job.TASKS_LOCK)
        try:
            try:
                partial.rename(target)
            except OSError as error:
                shutil.rmtree(partial)
                if target.exists():
                    raise JobExistsError(job_id) from error
                raise
            with (target / local_job.LOG).open("ab") as log:
                _CHILDREN[target] = subprocess.Popen(
                    [sys.executable, "-m", "nexus_resources.pipelines.local_child", str(target), str(tasks_lock)],
                    stdin=subprocess.PIPE,  # never written to: its end tells the child that this process is gone
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=without_secrets(dict(os.environ)),  # a task reads files of others, and needs none
                    pass_fds=(child_lock, tasks_lock),
                )
        finally:
            os.close(child_lock)
            os.close(tasks_lock)

    def _get(self, job_id: str) -> JobStatus | None:
        folder = self._folder / job_id
        try:
            record = local_job.read_record(folder)
        except FileNotFoundError:
            return None
        # Held from before the folder could be seen until the child's end; its last word may have come meanwhile.
        alive = local_job.is_locked(folder / local_job.CHILD_LOCK)
        if not alive:
            record = local_job.read_record(folder)
        state = PipelineState.from_name(record.state)
        cancelled = (folder / local_job.CANCELLED).exists()
        if alive:
            running = PipelineState.RUNNING if state.is_final else state  # it ends in a moment
            return self._status(folder, record, PipelineState.CANCELLING if cancelled else running)
        _reap(folder)
        if state.is_final:
            return self._status(folder, record, state)
        _kill_group(folder, record)
        shutil.rmtree(folder / local_job.SCRATCH, ignore_errors=True)
        if cancelled:
            return self._status(folder, record, PipelineState.CANCELLED)
        record.error = "the process that ran it was killed"
        return self._status(folder, record, PipelineState.FAILED, failure="retryable")

    def _cancel(self, job_id: str) -> None:
        folder = self._folder / job_id
        if not local_job.is_locked(folder / local_job.CHILD_LOCK):
            return
        (folder / local_job.CANCELLED).touch()
        self._kill(folder)

    def _log_tail(self, job_id: str, task: TaskStatus | None, lines: int) -> tuple[str, ...]:
        path = Path(task.log) if task is not None and task.log is not None else self._folder / job_id / local_job.LOG
        return local_job.last_lines(path, lines)

    def _status(
        self,
        folder: Path,
        record: JobRecord,
        state: PipelineState,
        *,
        failure: Literal["retryable", "permanent"] | None = None,
    ) -> JobStatus:
        tasks = tuple(_task_status(folder, task, state) for task in record.tasks)
        if state is PipelineState.FAILED and failure is None:
            failure = "retryable" if any(task.exit_code in _KILLED for task in record.tasks) else "permanent"
        return JobStatus(record.job_id, state, record.created, tasks, record.error, failure)

    def _kill(self, folder: Path) -> None:
        """Kill a job's child and all its tasks, and wait until they are gone."""
        deadline = time.monotonic() + _KILL_SECONDS
        while local_job.is_locked(folder / local_job.TASKS_LOCK) and time.monotonic() < deadline:
            _kill_group(folder, local_job.read_record(folder))
            time.sleep(0.02)
        _reap(folder)


def _kill_group(folder: Path, record: JobRecord) -> None:
    """Kill what is left of a job; while the tasks' lock is held, the group's number cannot mean another's."""
    child = _CHILDREN.get(folder)
    group = child.pid if record.group is None and child is not None else record.group
    if group is not None and local_job.is_locked(folder / local_job.TASKS_LOCK):
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        local_job.wait_unlocked(folder / local_job.TASKS_LOCK, _KILL_SECONDS)


def _reap(folder: Path) -> None:
    child = _CHILDREN.pop(folder, None)
    if child is not None:
        child.wait()
        if child.stdin is not None:
            child.stdin.close()


def _task_status(folder: Path, task: TaskRecord, job_state: PipelineState) -> TaskStatus:
    state = TaskState.from_name(task.state)
    if state is TaskState.RUNNING and job_state.is_final:
        state = TaskState.CANCELLED if job_state is PipelineState.CANCELLED else TaskState.FAILED
    error = None if state is not TaskState.FAILED else f"exit code {task.exit_code}"
    if state is TaskState.FAILED and task.exit_code is None:
        error = "killed"
    log = None if task.log is None else str(folder / task.log)
    return TaskStatus(task.name, state, task.started, task.ended, log=log, error=error)
