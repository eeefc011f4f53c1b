"""What only the folder does: its scratch folder, its links, the roots it opens."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from omics_datastore.errors import InputError
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.open import open_store

_HOLD = """
import os, sys, time
from omics_datastore.storage.folder import FolderStore
store = FolderStore(sys.argv[1])
path = store.scratch_path("held")
path.write_bytes(b"x")
print(path, flush=True)
time.sleep(60)
"""


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "root")
    assert list(store.entries("")) == []
    assert store.stat("a") is None
    assert not (tmp_path / "root").exists()


def test_sweep_takes_the_dead_and_leaves_the_living(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    dying, living = (subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2))
    try:
        assert dying.stdout is not None
        assert living.stdout is not None
        left, kept = Path(dying.stdout.readline().strip()), Path(living.stdout.readline().strip())
        dying.send_signal(signal.SIGKILL)
        dying.wait()
        assert left.exists()
        FolderStore(tmp_path).scratch_path("next")
        assert not left.parent.exists()
        assert not left.parent.with_suffix(".lock").exists()
        assert kept.exists()
    finally:
        for child in (dying, living):
            child.kill()
            child.communicate()


def test_many_processes_begin_and_end_at_once(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom omics_datastore.storage.folder import FolderStore\n"
        "for number in range(200): FolderStore(sys.argv[1]).write(sys.argv[2], b'x')"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "ab"]
    assert [child.wait(timeout=120) for child in children] == [0, 0]
    assert list((tmp_path / ".scratch").iterdir()) == []


def test_forked_child_leaves_its_parents_scratch(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom omics_datastore.storage.folder import FolderStore\n"
        "path = FolderStore(sys.argv[1])\nkept = path.scratch_path('a')\nkept.write_bytes(b'x')\n"
        "child = os.fork()\nif child == 0: sys.exit(0)\nos.waitpid(child, 0)\nprint(kept.exists())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_linked_file_is_an_object(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "big.h5ad").write_bytes(b"content")
    (tmp_path / "inbox" / "lung.h5ad").symlink_to(tmp_path / "big.h5ad")
    (tmp_path / "inbox" / "broken.h5ad").symlink_to(tmp_path / "nowhere")
    assert [entry.key for entry in FolderStore(tmp_path).entries("inbox/")] == ["inbox/lung.h5ad"]


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write("a", b"x")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        store.write("a/b", b"y")
    with pytest.raises(OSError, match="directory"):
        store.put(Path(os.devnull).parent / "nowhere", "c")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == [tmp_path / "a"]


def test_relative_root_does_not_move_with_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = FolderStore("here")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    store.write("a", b"x")
    assert (tmp_path / "here" / "a").read_bytes() == b"x"
    assert open_store(store.root).read("a") == b"x"


def test_root_of_an_unknown_kind() -> None:
    with pytest.raises(InputError, match="'ftp://host/x' is not a root that Nexus can open"):
        open_store("ftp://host/x")
