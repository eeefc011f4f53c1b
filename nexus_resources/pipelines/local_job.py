"""The folder of a job of the laptop's runner: its files, its record, its locks. Shared by parent and child, so light.

``record.json`` what was asked and how far it is · ``pipeline.yaml`` · ``log.txt`` all output · ``tasks/`` the output of
each task · ``scratch/`` what kfp.local writes, removed at the end · ``cancelled`` present when somebody cancelled ·
``child.lock`` held while the child lives · ``tasks.lock`` held while the child or any of its tasks lives.

The parent takes both locks before the folder gets its name and hands them to the child, so a job that can be seen
is either locked, or ended, or lost.
"""

import fcntl
import hashlib
import json
import os
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omics_datastore.errors import CorruptionError

RECORD = "record.json"
SPEC = "pipeline.yaml"
LOG = "log.txt"
TASKS = "tasks"
SCRATCH = "scratch"
CANCELLED = "cancelled"
CHILD_LOCK = "child.lock"
TASKS_LOCK = "tasks.lock"
_MARK = "digest"
"""The last entry of a record: the digest of all others."""


@dataclass
class TaskRecord:
    """A task as the child wrote it down. Times are seconds since 1970, ``log`` is relative to the job's folder."""

    name: str
    state: str
    started: float
    ended: float | None = None
    log: str | None = None
    exit_code: int | None = None


@dataclass
class JobRecord:
    """A job as the child wrote it down; ``state`` is the name of a pipeline state, ``spec_sha256`` of the pipeline."""

    job_id: str
    pipeline: str
    parameters: dict[str, Any]
    labels: dict[str, str]
    created: float
    state: str = "PENDING"
    group: int | None = None
    ended: float | None = None
    error: str | None = None
    tasks: list[TaskRecord] = field(default_factory=list)
    spec_sha256: str | None = None


def read_record(folder: Path) -> JobRecord:
    """Read the record of a job.

    :param folder: Folder of the job.
    :return: The record.
    :raise FileNotFoundError: When there is no such job.
    :raise CorruptionError: When it is not what was written; one of an older Nexus has no digest.
    """
    try:
        content = json.loads((folder / RECORD).read_bytes())
        mark = content.pop(_MARK, None)
        if mark not in (None, _digest(content)):
            raise ValueError("it does not match its digest")
    except (ValueError, AttributeError) as error:
        raise CorruptionError(f"{folder / RECORD} is damaged ({error}); delete its folder and run again.") from error
    tasks = [TaskRecord(**task) for task in content.pop("tasks")]
    return JobRecord(**content, tasks=tasks)


def write_record(folder: Path, record: JobRecord) -> None:
    """Write the record of a job whole.

    :param folder: Folder of the job.
    :param record: The record.
    """
    aside = folder / f".{RECORD}.{os.getpid()}"
    content = json.loads(json.dumps(asdict(record)))
    aside.write_text(json.dumps({**content, _MARK: _digest(content)}, indent=1))
    aside.replace(folder / RECORD)


def read_spec(folder: Path) -> str:
    """Read the compiled pipeline of a job.

    :param folder: Folder of the job.
    :return: The YAML.
    :raise CorruptionError: When it is not what was submitted.
    """
    content = (folder / SPEC).read_bytes()
    if read_record(folder).spec_sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise CorruptionError(f"{folder / SPEC} is damaged; run again.")
    return content.decode()


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def take_lock(path: Path) -> int:
    """Make a lock file and hold it.

    :param path: The file.
    :return: Descriptor that holds the lock until it and all its copies in other processes are closed.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def is_locked(path: Path) -> bool:
    """Tell whether any process holds a lock.

    :param path: The lock file.
    :return: ``False`` also when there is no such file.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def wait_unlocked(path: Path, seconds: float) -> bool:
    """Wait until no process holds a lock.

    :param path: The lock file.
    :param seconds: How long to wait at most.
    :return: Whether it is free.
    """
    deadline = time.monotonic() + seconds
    while is_locked(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def last_lines(path: Path, lines: int) -> tuple[str, ...]:
    """Return the last lines of a log that are not empty.

    :param path: The log; it may be missing.
    :param lines: How many at most.
    :return: The lines without line ends.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return tuple(deque((line.rstrip() for line in file if line.strip()), maxlen=lines))
    except FileNotFoundError:
        return ()
