"""What the landing sensor costs in a bucket: three listings, of the three folders that people drop into."""

import time

import pytest

from nexus_assets.landing import LandingCursor, find_landings
from omics_datastore.errors import InputError
from omics_datastore.storage.cloud_storage import CloudStore
from tests.emulators.storage.client import StorageEmulator
from tests.emulators.storage.faults import Fault


@pytest.fixture
def store(cloud_root: str) -> CloudStore:
    store = CloudStore(cloud_root)
    for key in (
        "inbox/lung.h5ad",
        "inbox/heart/a.h5ad",
        "inbox/heart/_READY",
        "curricula/c.yaml",
        "feature_schemas/f.csv",
    ):
        store.write(key, b"x")
    for number in range(20):
        store.write(f"extracts/c/v1/extract_files/{number}", b"x")
    return store


def test_only_what_people_drop_is_listed(store: CloudStore, storage_emulator: StorageEmulator) -> None:
    storage_emulator.expect()
    cursor = LandingCursor()
    found = find_landings(store, cursor, time.time() + 60, 30, seconds=40)
    assert [drop.dataset for drop in found.datasets] == ["heart", "lung"]
    assert [landed.name for landed in found.feature_schemas + found.curricula] == ["f", "c"]
    assert found.problems == []
    asked = [
        line
        for line in storage_emulator.requests()
        if line.startswith("GET") and "?projection=noAcl&prettyPrint" not in line
    ]
    assert len(asked) == 3
    assert sorted(line.partition("prefix=")[2].partition("&")[0] for line in asked) == [
        f"some%2Fprefix%2F{folder}%2F" for folder in ("curricula", "feature_schemas", "inbox")
    ]


def test_drops_settle_in_a_bucket_too(store: CloudStore) -> None:
    found = find_landings(store, LandingCursor(), time.time(), 30)
    assert [drop.dataset for drop in found.datasets] == ["heart"]  # it has a _READY
    assert sorted(found.settling) == ["c", "f", "lung"]


def test_a_listing_that_takes_too_long_loses_nothing(store: CloudStore, storage_emulator: StorageEmulator) -> None:
    cursor = LandingCursor(datasets={"lung": "seen", "heart": "seen"}, curricula={"c": "seen"})
    storage_emulator.expect(Fault("slow", "prefix=", seconds=0.3))
    with pytest.raises(InputError, match=r"inbox could not be listed in time: .* move source files out of it"):
        find_landings(store, cursor, time.time(), 30, seconds=0.1)
    assert cursor == LandingCursor(datasets={"lung": "seen", "heart": "seen"}, curricula={"c": "seen"})


def test_a_bucket_that_does_not_answer_is_not_empty(store: CloudStore, storage_emulator: StorageEmulator) -> None:
    cursor = LandingCursor(datasets={"lung": "seen"})
    storage_emulator.expect(Fault("status", "prefix=", status=403, times=9))
    with pytest.raises(InputError, match="no permission for gs://"):
        find_landings(store, cursor, time.time(), 30)
    assert cursor.datasets == {"lung": "seen"}
