"""Runs whose process is gone: told apart from those that still run, and ended, so that nothing waits for them.

Dagster notices only a worker that its own daemon watches. A run of the command line is executed by the command's
process, which holds a lock as long as it lives; a run of ``nexus up`` by a server that answers as long as it lives.
An instance may have several homes, on machines that share its database: a lock is judged only in the home it lies in.
"""

import contextlib
import fcntl
import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from nexus_assets.run_lookup import unfinished_runs

PROCESS = "nexus/process"
"""Run tag: name of the lock that the process of the run holds."""
_SERVER = ".dagster/grpc_info"
_FOLDER = "processes"
_HOME = "home"
"""Name of the file that holds the id of a home."""
_SECONDS = 2.0
_EXECUTED = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)


@contextmanager
def running_process(instance: dg.DagsterInstance) -> Iterator[str]:
    """Hold the lock of this process while a ``with`` block runs.

    :param instance: Dagster instance.
    :return: A context manager that yields the value of the tag :data:`PROCESS`.
    """
    name = f"{_home(instance)}.{uuid.uuid4().hex}"
    lock = _lock(instance, name)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield name
        finally:
            lock.unlink(missing_ok=True)


def end_lost_runs(instance: dg.DagsterInstance, *, servers: bool = False) -> list[str]:
    """Mark the runs as failed whose process is gone.

    :param instance: Dagster instance.
    :param servers: Also those of servers that do not answer; for when no server of this instance runs yet.
    :return: Ids of the runs.
    """
    lost = [run for run in unfinished_runs(instance) if _is_lost(instance, run, servers=servers)]
    for run in lost:
        instance.report_run_failed(run, "The process that executed this run is gone.")
    return [run.run_id for run in lost]


def _is_lost(instance: dg.DagsterInstance, run: dg.DagsterRun, *, servers: bool) -> bool:
    # A run that is executed again from the UI inherits the tag of the process, but is executed by a server.
    server, process = run.tags.get(_SERVER), run.tags.get(PROCESS)
    # A command executes the run that it makes at once; one that is executed again has a parent and may wait.
    made = run.status is dg.DagsterRunStatus.NOT_STARTED and run.parent_run_id is None
    if run.status not in _EXECUTED and not made:
        return False
    if server is not None:
        return servers and not _answers(json.loads(server))
    if process is None or process.partition(".")[0] != _home(instance):
        return False
    return not _is_held(_lock(instance, process))


def _lock(instance: dg.DagsterInstance, name: str) -> Path:
    return Path(instance.root_directory) / _FOLDER / f"{name}.lock"


def _home(instance: dg.DagsterInstance) -> str:
    """Return the id of this home of the instance, given when it is asked for the first time."""
    file = Path(instance.root_directory) / _FOLDER / _HOME
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{_HOME}-{uuid.uuid4().hex}")
    partial.write_text(uuid.uuid4().hex)
    with contextlib.suppress(FileExistsError):
        file.hardlink_to(partial)
    partial.unlink()
    return file.read_text()


def _is_held(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    lock.unlink(missing_ok=True)
    return False


def _answers(server: dict[str, object]) -> bool:
    path, port = server.get("socket"), server.get("port")
    family = socket.AF_UNIX if path else socket.AF_INET
    address = str(path) if path else (str(server.get("host")), int(str(port or 0)))
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_SECONDS)
        try:
            probe.connect(address)
        except OSError:
            return False
    return True
