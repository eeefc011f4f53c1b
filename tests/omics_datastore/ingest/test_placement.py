"""Files in the inbox, kept or undone, in a folder and in a bucket alike."""

from pathlib import Path

import pytest

from omics_datastore.errors import InputError
from omics_datastore.ingest.placement import BucketPlacement, FolderPlacement, place_in_inbox
from omics_datastore.storage.cloud_storage import CloudStore
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.object_store import ObjectStore


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return FolderStore(tmp_path / "root")
    return CloudStore(request.getfixturevalue("cloud_root"))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / name for name in ("a.h5ad", "b.h5ad")}
    for name, path in paths.items():
        path.write_bytes(name.encode())
    return paths


def inbox(store: ObjectStore) -> dict[str, bytes]:
    return {entry.key.removeprefix("inbox/"): store.read(entry.key) for entry in store.entries("inbox/")}


def hidden(store: ObjectStore) -> bool:
    """Tell whether anything is left of what was there before."""
    return any(store.stat(f"inbox/{name}") is not None for name in (".x.yaml.previous", "x/.a.h5ad.previous"))


def test_kept(store: ObjectStore, files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("tag: x\n")
    store.write("inbox/x/a.h5ad", b"old")
    placed = place_in_inbox(store, "x", files, tmp_path / "config.yaml")
    placed.keep()
    assert inbox(store) == {"x.yaml": b"tag: x\n", "x/a.h5ad": b"a.h5ad", "x/b.h5ad": b"b.h5ad"}
    assert not hidden(store)
    assert all(path.exists() for path in files.values())


def test_undone(store: ObjectStore, files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("tag: x\n")
    store.write("inbox/x/a.h5ad", b"old")
    place_in_inbox(store, "x", files, tmp_path / "config.yaml").undo()
    assert inbox(store) == {"x/a.h5ad": b"old"}
    assert not hidden(store)
    assert all(path.exists() for path in files.values())


def test_the_same_file_again_is_left_alone(store: ObjectStore, files: dict[str, Path]) -> None:
    place_in_inbox(store, "x", files, None).keep()
    before = [store.stat(f"inbox/x/{name}") for name in files]
    place_in_inbox(store, "x", files, None).undo()
    assert [store.stat(f"inbox/x/{name}") for name in files] == before
    assert not hidden(store)


def test_a_killed_command_is_undone_by_the_next(store: ObjectStore, files: dict[str, Path]) -> None:
    store.write("inbox/x/a.h5ad", b"old")
    place_in_inbox(store, "x", {"a.h5ad": files["a.h5ad"]}, None)  # and no more is heard of it
    place_in_inbox(store, "x", {"a.h5ad": files["a.h5ad"]}, None).undo()
    assert inbox(store) == {"x/a.h5ad": b"old"}
    assert not hidden(store)


def test_what_cannot_be_read_undoes_the_rest(store: ObjectStore, files: dict[str, Path], tmp_path: Path) -> None:
    store.write("inbox/x/a.h5ad", b"old")
    with pytest.raises(InputError, match=r"none\.h5ad cannot be put into the inbox"):
        place_in_inbox(store, "x", {**files, "none.h5ad": tmp_path / "none.h5ad"}, None)
    assert inbox(store) == {"x/a.h5ad": b"old"}
    assert not hidden(store)


def test_each_store_has_its_own_way(store: ObjectStore, files: dict[str, Path]) -> None:
    placed = place_in_inbox(store, "x", files, None)
    assert isinstance(placed, FolderPlacement if isinstance(store, FolderStore) else BucketPlacement)
    if isinstance(store, FolderStore):
        assert store.path("inbox/x/a.h5ad").samefile(files["a.h5ad"])


def test_a_source_of_several_files_takes_the_place_of_all_of_the_one_before(store: ObjectStore, tmp_path: Path) -> None:
    before = {"x/s.zarr/.zgroup": b"old", "x/s.zarr/X/1": b"old", "x/t/matrix.mtx": b"old", "x/b.h5ad": b"old"}
    for key, content in before.items():
        store.write(f"inbox/{key}", content)
    files = {}
    for name in ("s.zarr/.zgroup", "s.zarr/X/0", "t/matrix.mtx.gz", "u/deep/matrix.mtx"):
        files[name] = tmp_path / name
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_bytes(b"new")
    place_in_inbox(store, "x", files, None).undo()
    assert everything(store) == before
    placed = place_in_inbox(store, "x", files, None)
    placed.keep()
    assert everything(store) == {**{f"x/{name}": b"new" for name in files}, "x/b.h5ad": b"old"}
    if isinstance(store, FolderStore):
        assert sorted(store.folders("inbox/x/")) == ["s.zarr", "t", "u"]


def everything(store: ObjectStore) -> dict[str, bytes]:
    entries = store.entries("inbox/", hidden=True)
    return {entry.key.removeprefix("inbox/"): store.read(entry.key) for entry in entries}
