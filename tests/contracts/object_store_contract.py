"""What every object store must do. A kind of store joins by subclassing and giving the ``store`` fixture."""

import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from omics_datastore.errors import InputError
from omics_datastore.storage.object_store import AlreadyExistsError, ObjectStore
from omics_datastore.storage.open import open_store

_RACER = """
import sys
from omics_datastore.storage.object_store import AlreadyExistsError
from omics_datastore.storage.open import open_store

store = open_store(sys.argv[1])
sys.stdin.readline()
won = []
for number in range(40):
    try:
        store.write(f"race/{number:02d}", sys.argv[2].encode() * 1000, new=True)
        won.append(number)
    except AlreadyExistsError:
        pass
print(*won)
"""


class ObjectStoreContract:
    """The tests; whoever subclasses gives a fixture ``store``, empty and reachable from other processes by its root."""

    def test_written_is_read(self, store: ObjectStore) -> None:
        store.write("a/b/c.txt", b"first")
        assert store.read("a/b/c.txt") == b"first"
        store.write("a/b/c.txt", b"second")
        assert store.read("a/b/c.txt") == b"second"
        assert open_store(store.root).read("a/b/c.txt") == b"second"

    @pytest.mark.parametrize("key", ["empty", "ümlaut/ключ.json", "with space/and=equals@ähnliches", "x" * 200])
    def test_keys_of_every_kind(self, store: ObjectStore, key: str) -> None:
        store.write(key, b"")
        assert store.read(key) == b""
        assert [entry.key for entry in store.entries("")] == [key]

    @pytest.mark.parametrize(
        "key", ["", "/etc/passwd", "..", "../a", "a/../../b", "a/./b", "a//b", "a/", "./a", "a\\b", "a\nb", "a\0b"]
    )
    def test_keys_that_leave_the_root(self, store: ObjectStore, key: str) -> None:
        for action in (
            lambda: store.read(key),
            lambda: store.write(key, b"x"),
            lambda: store.stat(key),
            lambda: store.delete(key),
            lambda: store.uri(key),
            lambda: store.put(Path("nowhere"), key),
        ):
            with pytest.raises(InputError, match="is not an object key"):
                action()
        assert list(store.entries("")) == []

    @pytest.mark.parametrize("prefix", ["../", "a/../../", "/etc/"])
    def test_prefixes_that_leave_the_root(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(InputError):
            list(store.entries(prefix))
        with pytest.raises(InputError):
            store.folders(prefix)

    def test_the_sha256_is_that_of_the_content_now(self, store: ObjectStore) -> None:
        for content in (b"first", b"second", b""):
            store.write("a/b", content)
            assert store.sha256("a/b") == hashlib.sha256(content).hexdigest()
        local = store.scratch_path("big")
        local.write_bytes(b"0123456789" * 1000)
        store.put(local, "a/b")
        assert store.sha256("a/b") == hashlib.sha256(b"0123456789" * 1000).hexdigest()
        with pytest.raises(FileNotFoundError):
            store.sha256("a/c")

    def test_missing(self, store: ObjectStore) -> None:
        store.write("there/is", b"one")
        for key in ("missing", "there", "there/is/not", "there/other"):
            with pytest.raises((FileNotFoundError, IsADirectoryError, NotADirectoryError)):
                store.read(key)
            with pytest.raises(FileNotFoundError), store.local_copy(key):
                pass
        assert store.stat("missing") is None
        assert store.stat("there/is/not") is None
        store.delete("missing")
        assert list(store.entries("nowhere/")) == []
        assert store.folders("nowhere/") == []

    def test_only_the_first_writes_what_must_be_new(self, store: ObjectStore) -> None:
        store.write("claim", b"first", new=True)
        with pytest.raises(AlreadyExistsError):
            store.write("claim", b"second", new=True)
        assert store.read("claim") == b"first"
        store.delete("claim")
        store.write("claim", b"third", new=True)
        assert store.read("claim") == b"third"

    def test_one_process_wins_each_race(self, store: ObjectStore) -> None:
        command = [sys.executable, "-c", _RACER, store.root]
        racers = [
            subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for name in ("a", "b")
        ]
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        won = {racer: {int(word) for word in racer.communicate(timeout=60)[0].split()} for racer in racers}
        first, second = (won[racer] for racer in racers)
        assert not first & second
        assert first | second == set(range(40))
        for number in range(40):
            assert store.read(f"race/{number:02d}") == (b"a" if number in first else b"b") * 1000

    def test_objects_appear_whole(self, store: ObjectStore) -> None:
        versions = [bytes([letter]) * 200_000 for letter in b"abcd"]
        store.write("seen", versions[0])
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                for version in versions:
                    store.write("seen", version)
                    local = store.scratch_path("seen")
                    local.write_bytes(version)
                    store.put(local, "seen")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            seen = [store.read("seen") for _ in range(300)]
            entries = [[entry.size for entry in store.entries("")] for _ in range(30)]
        finally:
            stop.set()
            writer.join()
        assert set(seen) <= set(versions)
        assert all(sizes == [200_000] for sizes in entries)

    def test_listing(self, store: ObjectStore) -> None:
        keys = ["a", "b/c", "b-c/d", "b/a", "b/c.d/e", "é/x", "Z"]
        for key in reversed(keys):
            store.write(key, key.encode())
        listed = list(store.entries(""))
        assert [entry.key for entry in listed] == sorted(keys)
        assert [entry.size for entry in listed] == [len(key.encode()) for key in sorted(keys)]
        assert [entry.key for entry in store.entries("b/")] == ["b/a", "b/c", "b/c.d/e"]
        assert store.folders("") == ["b", "b-c", "é"]
        assert store.folders("b/") == ["c.d"]
        for entry in list(store.entries("b/")):
            store.delete(entry.key)
        assert store.folders("") == ["b-c", "é"], "a folder in which nothing lies any more is none"

    def test_names_with_a_dot_are_not_listed(self, store: ObjectStore) -> None:
        for key in ("inbox/lung.h5ad", "inbox/.lung.h5ad.partial", "inbox/.cache/lung.h5ad", ".hidden/x"):
            store.write(key, b"x")
        assert [entry.key for entry in store.entries("")] == ["inbox/lung.h5ad"]
        assert [entry.key for entry in store.entries("inbox/", hidden=True)] == [
            "inbox/.cache/lung.h5ad",
            "inbox/.lung.h5ad.partial",
            "inbox/lung.h5ad",
        ]
        assert store.folders("") == ["inbox"]
        assert store.folders("inbox/") == []

    def test_stat_tells_one_version_from_the_next(self, store: ObjectStore) -> None:
        store.write("a", b"one")
        first = store.stat("a")
        assert first is not None
        assert first == next(store.entries(""))
        store.write("a", b"two")
        second = store.stat("a")
        assert second is not None
        assert (second.size, second.key) == (3, "a")
        assert second.generation != first.generation

    def test_the_time_is_that_of_its_objects(self, store: ObjectStore) -> None:
        store.write("a", b"")
        before = store.stat("a")
        now = store.now()
        store.write("b", b"")
        after = store.stat("b")
        assert before is not None
        assert after is not None
        assert before.modified <= now.timestamp() + 0.01
        assert now.timestamp() <= after.modified + 0.01
        assert [entry.key for entry in store.entries("", hidden=True) if "lock" not in entry.key] == ["a", "b"]

    def test_put_moves(self, store: ObjectStore, tmp_path: Path) -> None:
        for local in (store.scratch_path("made"), tmp_path / "elsewhere"):
            local.write_bytes(b"content")
            store.put(local, "x/y")
            assert not local.exists()
            assert store.read("x/y") == b"content"
            store.delete("x/y")

    def test_put_replaces(self, store: ObjectStore) -> None:
        store.write("x", b"old")
        local = store.scratch_path("made")
        local.write_bytes(b"new")
        store.put(local, "x")
        assert store.read("x") == b"new"

    @pytest.mark.parametrize("content", [b"", b"new"])
    def test_send_leaves_the_file(self, store: ObjectStore, tmp_path: Path, content: bytes) -> None:
        local = tmp_path / "mine"
        local.write_bytes(content)
        store.write("x", b"old")
        for _ in range(2):
            store.send(local, "x")
            assert local.read_bytes() == content
            assert store.read("x") == content
        local.write_bytes(b"changed")
        assert store.read("x") == content
        with pytest.raises(FileNotFoundError):
            store.send(tmp_path / "missing", "y")
        assert [entry.key for entry in store.entries("")] == ["x"]

    def test_copy(self, store: ObjectStore) -> None:
        store.write("a", b"content")
        store.copy("a", "b/c")
        assert store.read("b/c") == store.read("a") == b"content"
        store.write("a", b"newer")
        assert store.read("b/c") == b"content"
        store.copy("a", "b/c")
        assert store.read("b/c") == b"newer"
        with pytest.raises(FileNotFoundError):
            store.copy("missing", "d")
        assert store.stat("d") is None

    def test_local_copy(self, store: ObjectStore) -> None:
        store.write("x", b"content")
        with store.local_copy("x") as path:
            assert path.read_bytes() == b"content"
        assert store.read("x") == b"content"

    def test_put_folder_and_local_folder(self, store: ObjectStore) -> None:
        for content in ({"a": b"1", "deep/er/b": b"22", ".hidden/c": b""}, {"a": b"one", "deep/d": b"4"}):
            local = store.scratch_path("folder")
            for name, text in content.items():
                (local / name).parent.mkdir(parents=True, exist_ok=True)
                (local / name).write_bytes(text)
            store.put_folder(local, "all/these/")
            assert not local.exists()
            found = {entry.key: store.read(entry.key) for entry in store.entries("all/", hidden=True)}
            assert found == {f"all/these/{name}": text for name, text in content.items()}
            with store.local_folder("all/these/") as folder:
                files = [path for path in folder.rglob("*") if path.is_file()]
                copied = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
            assert copied == content
        for missing in ("all/those/", "nowhere/"):
            with pytest.raises(FileNotFoundError), store.local_folder(missing):
                pass

    def test_scratch_paths_are_free_and_never_listed(self, store: ObjectStore) -> None:
        first, second = store.scratch_path("a"), store.scratch_path("a")
        assert first != second
        assert not first.exists()
        first.mkdir()
        second.write_bytes(b"x")
        assert list(store.entries("")) == []
        assert store.folders("") == []

    def test_scratch_is_gone_with_its_process(self, store: ObjectStore) -> None:
        code = (
            "import sys, pathlib; from omics_datastore.storage.open import open_store; "
            "store = open_store(sys.argv[1]); path = store.scratch_path('a'); path.write_bytes(b'x'); print(path)"
        )
        done = subprocess.run([sys.executable, "-c", code, store.root], capture_output=True, text=True, check=True)
        assert not Path(done.stdout.strip()).exists()
