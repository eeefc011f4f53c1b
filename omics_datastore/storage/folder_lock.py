"""Locks of a folder: ``flock`` on a file below ``.scratch/``, which the kernel lets go of when its holder dies.

Nothing takes the files away but the sweep of :mod:`omics_datastore.storage.scratch`, which takes those that nobody
holds; whoever locks a file looks whether it still is the one that its name stands for.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omics_datastore.storage.lock import Lock, StillLockedError
from omics_datastore.storage.scratch import SCRATCH

_POLL_SECONDS = 0.02


class _KernelLock(Lock):
    def check(self) -> None:
        """Do nothing: the kernel keeps the lock as long as the process lives, stopped or not."""


@contextmanager
def folder_lock(root: Path, name: str, *, shared: bool, wait_seconds: float | None) -> Iterator[Lock]:
    """Hold a lock while a ``with`` block runs; see :meth:`omics_datastore.storage.object_store.ObjectStore.lock`.

    :param root: Root of the folder store.
    :param name: Name of the lock.
    :param shared: Whether others may share it.
    :param wait_seconds: How long to wait.
    :return: A context manager that yields the lock.
    :raise StillLockedError: When the time is over.
    """
    parent = root / SCRATCH
    parent.mkdir(parents=True, exist_ok=True)
    deadline = None if wait_seconds is None else time.monotonic() + wait_seconds
    # Who wants it alone waits inside the gate, so that others who come later to share it wait behind him.
    gate = _locked(parent / f"{name}.gate.lock", fcntl.LOCK_EX, deadline)
    try:
        held = _locked(parent / f"{name}.lock", fcntl.LOCK_SH if shared else fcntl.LOCK_EX, deadline)
    finally:
        _let_go(gate)
    try:
        yield _KernelLock()
    finally:
        _let_go(held)


def _locked(path: Path, kind: int, deadline: float | None) -> int:
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            if _lock(descriptor, kind, deadline, path) and _is(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, kind: int, deadline: float | None, path: Path) -> bool:
    if deadline is None:
        fcntl.flock(descriptor, kind)
        return True
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= deadline:
            raise StillLockedError(f"{path} is held by another process")
        time.sleep(_POLL_SECONDS)


def _is(descriptor: int, path: Path) -> bool:
    try:
        return os.fstat(descriptor).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _let_go(descriptor: int) -> None:
    # A forked child has the descriptor too: closing ours would leave it locked.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
