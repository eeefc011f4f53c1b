"""Locks: by the kernel in a folder, by leases over objects, the same over both."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from omics_datastore.storage.cloud_storage import CloudStore
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.lease import lease
from omics_datastore.storage.lock import Lock, LostLockError, StillLockedError
from omics_datastore.storage.object_store import ObjectStore, StoredObject

Take = Callable[..., AbstractContextManager[Lock]]

_HOLDER = """
import sys, time
from omics_datastore.storage.folder import FolderStore

with FolderStore(sys.argv[1]).lock("warehouse", shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    time.sleep(60)
"""


def _leases(store: ObjectStore) -> Take:
    return partial(lease, store, "warehouse", seconds=30)


@pytest.fixture(params=["folder", "lease", "cloud"])
def take(request: pytest.FixtureRequest, tmp_path: Path) -> Take:
    if request.param == "folder":
        return partial(FolderStore(tmp_path).lock, "warehouse")
    if request.param == "lease":
        return _leases(FolderStore(tmp_path))
    return _leases(CloudStore(request.getfixturevalue("cloud_root")))


def is_free(take: Take, *, shared: bool) -> bool:
    try:
        with take(shared=shared, wait_seconds=0):
            return True
    except StillLockedError:
        return False


def test_alone_or_shared(take: Take) -> None:
    with take(shared=True, wait_seconds=5), take(shared=True, wait_seconds=5) as held:
        held.check()
        assert not is_free(take, shared=False)
    with take(shared=False, wait_seconds=5) as held:
        held.check()
        assert not is_free(take, shared=False)
        assert not is_free(take, shared=True)
    assert is_free(take, shared=False)
    assert is_free(take, shared=True)


def test_who_waits_to_be_alone_comes_before_those_who_come_later(take: Take) -> None:
    order: list[str] = []

    def work(name: str, *, shared: bool) -> None:
        with take(shared=shared, wait_seconds=20):
            order.append(name)

    with take(shared=True, wait_seconds=5):
        alone = threading.Thread(target=work, args=("alone",), kwargs={"shared": False})
        alone.start()
        deadline = time.monotonic() + 10
        while is_free(take, shared=True):  # until the other one stands in line
            assert time.monotonic() < deadline
        later = threading.Thread(target=work, args=("later",), kwargs={"shared": True})
        later.start()
        later.join(0.3)
        assert order == []
    for thread in (alone, later):
        thread.join()
    assert order == ["alone", "later"]


def test_threads_are_never_where_they_may_not_be(take: Take) -> None:
    inside: list[str] = []
    seen: list[tuple[str, ...]] = []

    def work(kind: str) -> None:
        for _ in range(3):
            with take(shared=kind == "shared", wait_seconds=60):
                inside.append(kind)
                seen.append(tuple(inside))
                time.sleep(0.002)
                inside.remove(kind)

    threads = [threading.Thread(target=work, args=(kind,)) for kind in ("alone", "shared", "alone", "shared")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 12
    assert [state for state in seen if "alone" in state and len(state) > 1] == []


@pytest.mark.parametrize("kind", ["alone", "shared"])
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path, kind: str) -> None:
    take = partial(FolderStore(tmp_path).lock, "warehouse")
    command = [sys.executable, "-c", _HOLDER, str(tmp_path), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert not is_free(take, shared=False)
        assert is_free(take, shared=True) == (kind == "shared")
        holder.kill()
    assert is_free(take, shared=False)


def test_a_swept_lock_file_is_no_lock(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with store.lock("warehouse", shared=True):
        FolderStore(tmp_path).scratch_path("sweeps what nobody holds")
        assert not is_free(partial(FolderStore(tmp_path).lock, "warehouse"), shared=False)
    FolderStore(tmp_path).scratch_path("sweeps it now")
    assert not list(tmp_path.glob(".scratch/warehouse*"))
    assert is_free(partial(store.lock, "warehouse"), shared=False)


class _StoppingStore(FolderStore):
    """A store whose process is stopped after its first writes: no object is written or seen any more."""

    stopped = False

    def stat(self, key: str) -> StoredObject | None:
        return None if self.stopped else super().stat(key)


def test_a_holder_that_was_silent_too_long_has_lost_its_lock(tmp_path: Path) -> None:
    store = _StoppingStore(tmp_path)
    other = partial(lease, FolderStore(tmp_path), "warehouse", seconds=0.4)
    with lease(store, "warehouse", shared=False, wait_seconds=5, seconds=0.4) as held:
        store.stopped = True
        assert not is_free(other, shared=True)
        with other(shared=False, wait_seconds=10) as taken:
            with pytest.raises(LostLockError, match=r"no sign of life .* run again"):
                held.check()
            taken.check()


def test_a_living_holder_keeps_its_lock(tmp_path: Path) -> None:
    other = partial(lease, FolderStore(tmp_path), "warehouse", seconds=0.6)
    with lease(FolderStore(tmp_path), "warehouse", shared=True, wait_seconds=5, seconds=0.6) as held:
        time.sleep(1)
        held.check()
        assert not is_free(other, shared=False)
    assert is_free(other, shared=False)
    assert list(FolderStore(tmp_path).entries(".scratch/locks/", hidden=True)) == []
