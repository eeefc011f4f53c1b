"""What only the bucket does: parts, paging, one generation a copy, its roots; but for faults."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from omics_datastore.errors import InputError
from omics_datastore.storage import cloud_storage, cloud_storage_client
from omics_datastore.storage.cloud_storage import CloudStore
from omics_datastore.storage.open import open_store
from tests.emulators.storage.client import StorageEmulator
from tests.emulators.storage.faults import Fault
from tests.omics_datastore.storage.cloud_objects import BIG, PART, made, objects


@pytest.fixture
def store(cloud_root: str) -> CloudStore:
    return CloudStore(cloud_root, part_bytes=PART)


def opened_again(store: CloudStore) -> CloudStore:
    """Return the store as somebody else has it open, connected."""
    other = CloudStore(store.root, part_bytes=PART)
    other.folders("")
    return other


def wait_for(emulator: StorageEmulator, request: str) -> None:
    deadline = time.monotonic() + 30
    while not any(request in line for line in emulator.requests()):
        assert time.monotonic() < deadline, f"nobody asked for {request}"
        time.sleep(0.02)


def test_big_object_goes_and_comes_in_parts(store: CloudStore, storage_emulator: StorageEmulator) -> None:
    local = made(store, BIG)
    store.put(local, "big")
    assert not local.exists()
    assert objects(store) == {"some/prefix/big"}
    sent = storage_emulator.requests()
    assert sum(line.startswith("POST") and "uploadType=resumable" in line for line in sent) == 2
    assert sum("/compose?ifGenerationMatch=0" in line for line in sent) == 1
    storage_emulator.expect()
    with store.local_copy("big") as path:
        assert path.read_bytes() == BIG
    assert not path.exists()
    fetched = [line for line in storage_emulator.requests() if "alt=media" in line]
    assert len(fetched) == 3
    assert all("generation=" in line for line in fetched)
    assert store.read("big") == BIG


def test_a_late_write_does_not_undo_a_newer_one(store: CloudStore, storage_emulator: StorageEmulator) -> None:
    """Our request is slow, somebody else's is not: what came to the object last stays, and ours is not sent again."""
    store.write("seen", b"old")
    other = opened_again(store)
    storage_emulator.expect(Fault("slow", "^POST", seconds=1.0))
    with ThreadPoolExecutor() as threads:
        ours = threads.submit(store.write, "seen", b"slow")
        wait_for(storage_emulator, "POST")
        other.write("seen", b"newer")
        ours.result()
    assert store.read("seen") == b"newer"


def test_deleted_between_look_and_write(store: CloudStore, storage_emulator: StorageEmulator) -> None:
    store.write("seen", b"old")
    other = opened_again(store)
    storage_emulator.expect(Fault("slow", "^POST", seconds=1.0))
    with ThreadPoolExecutor() as threads:
        ours = threads.submit(store.write, "seen", b"new")
        wait_for(storage_emulator, "POST")
        other.delete("seen")
        ours.result()
    assert store.read("seen") == b"new"


def test_copy_is_of_one_generation(store: CloudStore, storage_emulator: StorageEmulator) -> None:
    """An object that is replaced while its parts are fetched is fetched again, never mixed."""
    newer = BIG[::-1]
    store.put(made(store, BIG), "there")
    other = opened_again(store)
    with ThreadPoolExecutor() as threads, store.local_copy("there") as path:
        assert path.read_bytes() == BIG

        local = made(store, newer)

        def replace() -> None:
            wait_for(storage_emulator, "alt=media")
            other.put(local, "there")

        storage_emulator.expect(Fault("slow", "alt=media", seconds=2.0))
        replaced = threads.submit(replace)
        with store.local_copy("there") as second:
            replaced.result()
            assert second.read_bytes() == newer
        assert path.read_bytes() == BIG


def test_a_listing_asks_for_pages_of_its_prefix_only(store: CloudStore, storage_emulator: StorageEmulator) -> None:
    bucket = cloud_storage_client.open_bucket(store.bucket_name)

    def make(name: str) -> None:
        bucket.blob(name).upload_from_string(b"")

    names = [f"a/{number:04d}" for number in range(1001)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(make, (f"some/prefix/{name}" for name in names)))
    for name in ("other", "some/prefix/b/c", "some/prefix-2/d", "some/prefix/a/", "some/prefix/a/x//y"):
        make(name)
    storage_emulator.expect()
    assert [entry.key for entry in store.entries("a/")] == names
    asked = [line for line in storage_emulator.requests() if "/o?" in line]
    assert len(asked) == 2
    assert all("prefix=some%2Fprefix%2Fa%2F" in line for line in asked)
    assert store.folders("") == ["a", "b"]
    assert sum("/o?" in line for line in storage_emulator.requests()) == 3


@pytest.mark.parametrize("root", ["gs://", "gs:///a", "gs://A_B", "gs://x", "gs://bucket/../a", "gs://bucket/a//b"])
def test_roots_that_name_no_bucket(root: str) -> None:
    with pytest.raises(InputError, match=r"does not name a bucket|is not an object key"):
        open_store(root)


def test_root_opens_the_store_again() -> None:
    for root, same in (
        ("gs://bucket", "gs://bucket"),
        ("gs://bucket/", "gs://bucket"),
        ("gs://bucket/a/b/", "gs://bucket/a/b"),
    ):
        assert open_store(root).root == same
        assert open_store(same).uri("k") == f"{same}/k"


def test_copy_that_does_not_fit(store: CloudStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write("there", b"x")
    monkeypatch.setattr(cloud_storage, "FREE_BYTES", 10**18)
    message = "has .* MiB free: set TMPDIR to a folder on a larger disk"
    with pytest.raises(InputError, match=message), store.local_copy("there"):
        pass


def test_put_of_what_is_not_there(store: CloudStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.put(Path("nowhere"), "a")
    assert objects(store) == set()
