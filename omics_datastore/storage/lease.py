"""Locks over nothing but objects: each holder has one of its own, which it writes anew as long as it lives.

Everybody first writes his object, then looks at those of the others; so of two who may not hold a lock at once at
least one sees the other, and takes his back. Nothing is ever handed over, so no write need be conditional. An object
that was not renewed for a while is that of a dead process, and is deleted by who finds it. Ages are told by the store's
clock, as the times of its objects tell it, and by how much time passed here.
"""

import contextlib
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from omics_datastore.storage.lock import Lock, LostLockError, StillLockedError
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.storage.scratch import SCRATCH

LEASE_SECONDS = 300.0
"""After so long without a sign of life a holder counts as dead."""

_SHARED, _ALONE = "shared", "alone"


@contextmanager
def lease(
    store: ObjectStore, name: str, *, shared: bool, wait_seconds: float | None, seconds: float = LEASE_SECONDS
) -> Iterator[Lock]:
    """Hold a lock while a ``with`` block runs; see :meth:`omics_datastore.storage.object_store.ObjectStore.lock`.

    :param store: Object store whose listings show what was written.
    :param name: Name of the lock.
    :param shared: Whether others may share it.
    :param wait_seconds: How long to wait.
    :param seconds: After so long without a sign of life a holder counts as dead.
    :return: A context manager that yields the lock.
    :raise StillLockedError: When the time is over.
    """
    folder = f"{SCRATCH}/locks/{name}/"
    own = _Lease(store, folder, _SHARED if shared else _ALONE, seconds)
    deadline = None if wait_seconds is None else time.monotonic() + wait_seconds
    pause = min(0.1, seconds / 10)
    own.begin()
    try:
        while True:
            others = own.others()
            if _ALONE in others:  # he was first, or we both were: one of us must let go
                own.withdraw()
            elif shared or not others:
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise StillLockedError(f"{store.uri(folder.rstrip('/'))} is held by another process")
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
            pause = min(2 * pause, seconds / 10, 5)
            own.show()
        yield own
    finally:
        own.end()


class _Lease(Lock):
    """The object of one holder."""

    def __init__(self, store: ObjectStore, folder: str, kind: str, seconds: float) -> None:
        self._store, self._folder, self._seconds = store, folder, seconds
        self._key = f"{folder}{kind}-{uuid.uuid4().hex}"
        self._shown = False
        self._renewed, self._store_time = 0.0, 0.0
        self._guard, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease-{kind}", daemon=True)

    def begin(self) -> None:
        """Show the object and keep it alive."""
        self.show()
        self._thread.start()

    def show(self) -> None:
        """Write the object, unless it is there."""
        with self._guard:
            if not self._shown:
                self._write()
                self._shown = True

    def withdraw(self) -> None:
        """Take the object back."""
        with self._guard:
            self._shown = False
            self._store.delete(self._key)

    def end(self) -> None:
        """Take the object back for good."""
        self._ended.set()
        self.withdraw()
        self._thread.join()

    def others(self) -> set[str]:
        """Return the kinds of the objects of other living holders; those of dead ones are deleted."""
        found = set()
        for entry in list(self._store.entries(self._folder, hidden=True)):
            if entry.key == self._key:
                continue
            if entry.modified < self._store_time + (time.monotonic() - self._renewed) - self._seconds:
                self._store.delete(entry.key)
            else:
                found.add(entry.key.removeprefix(self._folder).partition("-")[0])
        return found

    def check(self) -> None:
        silent = time.monotonic() - self._renewed
        if silent > 0.8 * self._seconds or self._store.stat(self._key) is None:
            raise LostLockError(
                f"this process gave no sign of life for {silent:.0f} seconds, and others may have begun; run again."
            )

    def _renew(self) -> None:
        while not self._ended.wait(self._seconds / 6):
            with self._guard, contextlib.suppress(OSError):  # the next time, or the lock is lost
                if self._shown and self._store.stat(self._key) is not None:
                    self._write()

    def _write(self) -> None:
        begun = time.monotonic()
        self._store.write(self._key, b"")
        stored = self._store.stat(self._key)
        if stored is not None:
            self._renewed, self._store_time = begun, stored.modified
