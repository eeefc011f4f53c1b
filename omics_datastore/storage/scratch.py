"""A folder for half-written files, on the file system they will be renamed within, swept after its owner died.

Every process that writes to a folder store has one, ``.scratch/<random>``, and holds a lock on
``.scratch/<random>.lock``. A folder whose lock nobody holds was left by a killed process and is removed by the
next one.
"""

import contextlib
import fcntl
import os
import shutil
import uuid
import weakref
from pathlib import Path

SCRATCH = ".scratch"
"""The folder of the scratch folders and of locks, below the root."""


class ScratchFolder:
    """Make the scratch folder of this process.

    :param root: Root of the folder store.
    """

    def __init__(self, root: Path) -> None:
        parent = root / SCRATCH  # never removed: another process may be about to use it
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        lock, descriptor = _locked_file(parent)
        self.path = lock.with_suffix("")
        self.path.mkdir()
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _remove, self.path, lock, descriptor, self._owner)

    def new_path(self, name: str) -> Path:
        """Return a path nobody else uses.

        :param name: What the path is for; becomes part of its name.
        :return: A path in the folder; nothing is made there.
        """
        return self.path / f"{name}-{uuid.uuid4().hex}"


def _locked_file(parent: Path) -> tuple[Path, int]:
    while True:
        lock = parent / f"{uuid.uuid4().hex}.lock"
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # A sweep may have taken the file between its making and its locking.
        if lock.exists():
            return lock, descriptor
        os.close(descriptor)


def _sweep(parent: Path) -> None:
    for lock in parent.glob("*.lock"):
        with contextlib.suppress(OSError):
            descriptor = os.open(lock, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def _remove(path: Path, lock: Path, descriptor: int, owner: int) -> None:
    if os.getpid() != owner:  # a forked child must not take its parent's folder away
        return
    shutil.rmtree(path, ignore_errors=True)
    lock.unlink(missing_ok=True)
    os.close(descriptor)
