"""The folder of a job of the laptop's runner: its files, its record, its locks. Shared by parent and child, so light.

``record.json`` what was asked and how far it is · ``pipeline.yaml`` · ``log.txt`` all output · ``tasks/`` the output of
each task · ``scratch/`` what kfp.local writes, removed at the end · ``cancelled`` present when somebody cancelled ·
``child.lock`` held while the child lives · ``tasks.lock`` held while the child or any of its tasks lives.

The parent takes both locks before the folder gets its name and hands them to the child, so a job that can be seen
is either locked, or ended, or lost.
"""

import fcntl
import json
import os
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RECORD = "record.json"
SPEC = "pipeline.yaml"
LOG = "log.txt"
TASKS = "tasks"
SCRATCH = "scratch"
CANCELLED = "cancelled"
CHILD_LOCK = "child.lock"
TASKS_LOCK = "tasks.lock"


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
    """A job as the child wrote it down; ``state`` is the name of a pipeline state."""

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


def read_record(folder: Path) -> JobRecord:
    """Read the record of a job.

    :param folder: Folder of the job.
    :return: The record.
    :raise FileNotFoundError: When there is no such job.
    """
    content = json.loads((folder / RECORD).read_bytes())
    tasks = [TaskRecord(**task) for task in content.pop("tasks")]
    return JobRecord(**content, tasks=tasks)


def write_record(folder: Path, record: JobRecord) -> None:
    """Write the record of a job whole.

    :param folder: Folder of the job.
    :param record: The record.
    """
    aside = folder / f".{RECORD}.{os.getpid()}"
    aside.write_text(json.dumps(asdict(record), indent=1))
    aside.replace(folder / RECORD)


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
