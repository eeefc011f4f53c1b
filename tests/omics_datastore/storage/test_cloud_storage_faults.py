"""The bucket when things go wrong: errors, lost answers, changed bytes, a killed upload, missing rights."""

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from omics_datastore.errors import CorruptionError, InputError, UnavailableError
from omics_datastore.storage import cloud_storage_client, cloud_storage_pace
from omics_datastore.storage.cloud_storage import CloudStore
from omics_datastore.storage.object_store import AlreadyExistsError
from omics_datastore.storage.open import open_store
from tests.emulators.storage.client import StorageEmulator
from tests.emulators.storage.faults import Fault, Kind
from tests.omics_datastore.storage.cloud_objects import BIG, PART, made, objects

SIZES = (10, 8 * 2**20 + 5, len(BIG))
"""One request, one resumable upload, parts."""
WRITES = ("POST .*uploadType=multipart", "POST .*uploadType=resumable", "PUT", "PUT", "POST .*/compose", "DELETE")
"""Each kind of request that writes."""


@pytest.fixture
def store(cloud_root: str, monkeypatch: pytest.MonkeyPatch) -> CloudStore:
    monkeypatch.setattr(cloud_storage_client, "FIRST_PAUSE", 0.01)
    return CloudStore(cloud_root, part_bytes=PART)


@pytest.mark.parametrize("kind", ["status", "reset", "lost"])
@pytest.mark.parametrize("size", SIZES)
def test_upload_is_sent_again(store: CloudStore, storage_emulator: StorageEmulator, kind: Kind, size: int) -> None:
    """Each kind of request that writes meets an error, never arrives, or its answer never comes."""
    storage_emulator.expect(*(Fault(kind, request, skip=number % 2) for number, request in enumerate(WRITES)))
    store.put(made(store, BIG[:size]), "there")
    storage_emulator.expect(*(Fault(kind, request) for request in WRITES))
    store.put(made(store, BIG[:size]), "there")
    assert store.read("there") == BIG[:size]
    assert objects(store) == {"some/prefix/there"}


def test_lost_answers_of_conditional_writes(store: CloudStore, storage_emulator: StorageEmulator) -> None:
    storage_emulator.expect(Fault("lost", "^POST .*ifGenerationMatch=0"))
    store.write("claim", b"mine", new=True)
    assert sum("ifGenerationMatch=0" in line for line in storage_emulator.requests()) == 2
    storage_emulator.expect(Fault("lost", "^POST"))
    store.write("claim", b"mine again")
    assert store.read("claim") == b"mine again"
    with pytest.raises(AlreadyExistsError):
        store.write("claim", b"other", new=True)


@pytest.mark.parametrize("size", SIZES)
def test_bytes_changed_on_their_way(store: CloudStore, storage_emulator: StorageEmulator, size: int) -> None:
    storage_emulator.expect(Fault("corrupt_upload", "^POST .*uploadType=multipart|^PUT"))
    store.put(made(store, BIG[:size]), "there")
    storage_emulator.expect(Fault("corrupt", "alt=media"))
    assert store.read("there") == BIG[:size]
    storage_emulator.expect(Fault("corrupt", "alt=media"))
    with store.local_copy("there") as path:
        assert path.read_bytes() == BIG[:size]
    storage_emulator.expect(Fault("corrupt", "alt=media", times=99))
    with pytest.raises(CorruptionError, match="there does not match its CRC32C"):
        store.read("there")
    with pytest.raises(CorruptionError), store.local_copy("there"):
        pass
    assert list(store.scratch_path("x").parent.iterdir()) == []


@pytest.mark.parametrize("size", SIZES)
def test_upload_that_is_always_changed_leaves_what_was(
    store: CloudStore, storage_emulator: StorageEmulator, size: int
) -> None:
    store.write("there", b"old")
    storage_emulator.expect(Fault("corrupt_upload", "^POST .*uploadType=multipart|^PUT", times=99))
    with pytest.raises(CorruptionError, match="CRC32C however often it is sent"):
        store.put(made(store, BIG[:size]), "there")
    assert store.read("there") == b"old"
    assert objects(store) == {"some/prefix/there"}


@pytest.mark.parametrize("kind", ["status", "reset", "truncate"])
def test_download_is_asked_again(store: CloudStore, storage_emulator: StorageEmulator, kind: Kind) -> None:
    store.put(made(store, BIG), "there")
    storage_emulator.expect(Fault(kind, "alt=media"))
    assert store.read("there") == BIG
    storage_emulator.expect(Fault(kind, "alt=media", skip=1, status=429, retry_after=1), Fault(kind, "alt=media"))
    with store.local_copy("there") as path:
        assert path.read_bytes() == BIG


def test_killed_upload_leaves_no_object(store: CloudStore, storage_emulator: StorageEmulator) -> None:
    store.write("there", b"old")
    code = (
        "import sys; from pathlib import Path; from omics_datastore.storage.cloud_storage import CloudStore; "
        f"store = CloudStore(sys.argv[1], part_bytes={PART}); path = store.scratch_path('x'); "
        f"path.write_bytes(b'x' * {len(BIG)}); print(path, flush=True); store.put(path, 'there'); print('sent')"
    )
    for reached in ("PUT", "/compose"):
        storage_emulator.expect(Fault("reset", reached, times=9999))
        child = subprocess.Popen([sys.executable, "-c", code, store.root], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        local = Path(child.stdout.readline().strip())
        while not any(reached in line for line in storage_emulator.requests()):
            time.sleep(0.05)
        child.kill()
        assert child.communicate()[0] == ""
        assert local.exists()
        assert store.read("there") == b"old"
        assert [entry.key for entry in store.entries("")] == ["there"]
    CloudStore(store.root).scratch_path("next")
    assert not local.exists()


def test_listing_that_fails_is_not_empty(store: CloudStore, storage_emulator: StorageEmulator) -> None:
    store.write("inbox/a", b"x")
    storage_emulator.expect(Fault("status", "GET", status=403, reason="forbidden", times=9))
    with pytest.raises(InputError, match=r"no permission for gs://.*objectAdmin"):
        list(store.entries("inbox/"))
    with pytest.raises(InputError):
        store.folders("")
    with pytest.raises(InputError):
        store.stat("inbox/a")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("status", status=403, reason="forbidden"), r"no permission for gs://.* grant this account"),
        (
            Fault("status", status=403, message="Cloud Storage API has not been used in project 7"),
            "the Cloud Storage API is off .*gcloud services enable",
        ),
        (Fault("status", status=403, message="The billing account is disabled"), "no active billing account"),
        (Fault("status", status=401, reason="authError"), "credentials for gs://.* login"),
    ],
)
def test_refused(store: CloudStore, storage_emulator: StorageEmulator, fault: Fault, message: str) -> None:
    fault.times = 99
    storage_emulator.expect(fault)
    actions: list[Callable[[], object]] = [
        lambda: store.read("a"),
        lambda: store.write("a", b""),
        lambda: store.stat("a"),
        lambda: store.folders(""),
    ]
    for action in actions:
        with pytest.raises(InputError, match=message):
            action()


def test_no_bucket(storage_emulator: StorageEmulator) -> None:
    store = open_store("gs://no-such-bucket/prefix")
    actions: list[Callable[[], object]] = [
        lambda: store.read("a"),
        lambda: store.write("a", b""),
        lambda: store.write("a", b"", new=True),
        lambda: store.stat("a"),
        lambda: store.delete("a"),
        lambda: list(store.entries("")),
        lambda: store.folders(""),
    ]
    for action in actions:
        with pytest.raises(InputError, match="there is no bucket no-such-bucket: make it, or correct NEXUS_ROOT"):
            action()


def test_no_answer(store: CloudStore, storage_emulator: StorageEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_storage_client, "PATIENCE", 0.2)
    storage_emulator.expect(Fault("status", times=10_000))
    actions: list[Callable[[], object]] = [
        lambda: store.read("a"),
        lambda: store.write("a", b""),
        lambda: store.folders(""),
    ]
    for action in actions:
        with pytest.raises(OSError, match="Cloud Storage does not answer for gs://"):
            action()


def test_a_pause_that_is_asked_for_is_kept(
    store: CloudStore, storage_emulator: StorageEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("there", b"x")
    for status in (429, 503):
        for request in ("alt=media", "GET .*/o/", "POST"):
            storage_emulator.expect(Fault("status", request, status=status, retry_after=1))
            begun = time.monotonic()
            store.write("there", store.read("there"))
            assert time.monotonic() - begun > 1.0
    monkeypatch.setattr(cloud_storage_pace, "LONGEST_PAUSE", 0.1)
    storage_emulator.expect(Fault("status", status=429, retry_after=3600))
    begun = time.monotonic()
    assert store.read("there") == b"x"
    assert time.monotonic() - begun < 3.0


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7.0), (" 7 ", 7.0), ("soon", 0.0), ("-3", 0.0), ("", 0.0), ("1e3", 0.0)]
)
def test_pauses_are_seconds(text: str, seconds: float) -> None:
    assert cloud_storage_pace.pause_seconds(text) == seconds


def test_pauses_may_be_dates() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert 80 < cloud_storage_pace.pause_seconds(date) <= 90
    assert cloud_storage_pace.pause_seconds("Wed, 21 Oct 2015 07:28:00 GMT") < 0


@pytest.mark.parametrize("request_", ["alt=media", "GET /storage/.*there[?]"])
def test_an_answer_that_trickles_is_broken_off_and_asked_for_again(
    store: CloudStore, storage_emulator: StorageEmulator, monkeypatch: pytest.MonkeyPatch, request_: str
) -> None:
    """The client's own time-out begins anew with every byte: this answer would take minutes."""
    monkeypatch.setattr(cloud_storage_pace, "BODY_SECONDS", 0.4)
    store.write("there", b"0123456789" * 100)
    storage_emulator.expect(Fault("trickle", request_, seconds=0.1))
    begun = time.monotonic()
    with store.local_copy("there") as path:
        assert path.read_bytes() == b"0123456789" * 100
    assert time.monotonic() - begun < 20
    monkeypatch.setattr(cloud_storage_client, "PATIENCE", 0.5)
    storage_emulator.expect(Fault("trickle", request_, times=999, seconds=0.1))
    with pytest.raises(UnavailableError, match="Cloud Storage does not answer for gs://"), store.local_copy("there"):
        pass
    assert list(store.scratch_path("x").parent.iterdir()) == []


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(InputError, match="there are no Google Cloud credentials for gs://bucket: run 'gcloud auth"):
        open_store("gs://bucket/x").read("a")
