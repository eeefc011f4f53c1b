"""What may be named on the command line: sources of every kind, folders of them, URLs and keys."""

import re
from pathlib import Path

import numpy as np
import pytest

from nexus_assets.cli.source_paths import group_by_dataset
from nexus_assets.cli.source_urls import fetched
from omics_datastore.errors import InputError
from omics_datastore.ingest.inbox import read_drop
from omics_datastore.ingest.placement import place_in_inbox
from omics_datastore.storage.cloud_storage import CloudStore
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.object_store import ObjectStore
from tests.other_sources import make_every_kind


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return FolderStore(tmp_path / "root")
    return CloudStore(request.getfixturevalue("cloud_root"))


def test_every_kind_of_a_folder_is_placed(store: ObjectStore, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    names = make_every_kind(folder, np.ones((3, 2), int))
    (folder / "notes.txt").write_text("passed over")
    with fetched(store, [folder.as_uri()]) as paths:
        [(dataset, sources)] = group_by_dataset(paths, None).items()
        files = {name: file for source in sources for name, file in source.files.items()}
        place_in_inbox(store, dataset, files, None).keep()
    assert [source.key for source in read_drop(store, dataset).sources] == [f"inbox/mixed/{name}" for name in names]


def named(store: ObjectStore, *names: str) -> dict[str, dict[str, list[str]]]:
    """Return the files of each source by dataset, after making sure that each holds its own key."""
    with fetched(store, names) as paths:
        found = group_by_dataset(paths, None)
        for sources in found.values():
            for source in sources:
                assert all(path.read_text().endswith(path.name) for path in source.files.values())
                assert source.shown.startswith((store.root, "file:///", "run/"))
        return {key: {source.name: sorted(source.files) for source in sources} for key, sources in found.items()}


def fill(store: ObjectStore) -> None:
    keys = ["run/a.h5ad", "run/b.h5ad", "run/notes.txt", "run/z.zarr/.zgroup", "run/z.zarr/X/0", "run/z.zarr/.nfs"]
    keys += [f"run/{sample}/{part}" for sample in ("s1", "s2") for part in ("matrix.mtx", "barcodes.tsv", "genes.tsv")]
    for key in keys:
        store.write(key, key.encode())


PARTS = ["barcodes.tsv", "genes.tsv", "matrix.mtx"]


def test_urls_and_keys(store: ObjectStore) -> None:
    fill(store)
    base = store.root if isinstance(store, CloudStore) else Path(store.root).as_uri()
    zarr = {"z.zarr": ["z.zarr/.zgroup", "z.zarr/X/0"]}
    for prefix in (f"{base}/", ""):
        assert named(store, f"{prefix}run/*.h5ad") == {"a": {"a.h5ad": ["a.h5ad"]}, "b": {"b.h5ad": ["b.h5ad"]}}
        assert named(store, f"{prefix}run/a.h5ad") == {"a": {"a.h5ad": ["a.h5ad"]}}
        assert named(store, f"{prefix}run/z.zarr") == {"z": zarr}
        assert named(store, f"{prefix}run/s[12]") == {
            name: {f"{name}/matrix.mtx": [f"{name}/{part}" for part in PARTS]} for name in ("s1", "s2")
        }
        assert named(store, f"{prefix}run/s1/matrix.mtx") == {"s1": {"s1/matrix.mtx": [f"s1/{p}" for p in PARTS]}}
        whole = named(store, f"{prefix}run")["run"]
        assert list(whole) == ["a.h5ad", "b.h5ad", "s1/matrix.mtx", "s2/matrix.mtx", "z.zarr"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("https://example.org/a.h5ad", "https://example.org/a.h5ad cannot be fetched: only gs:// and file:// are"),
        ("file://other/a.h5ad", "file://other/a.h5ad names another machine"),
        ("file:///nowhere/*.h5ad", "file:///nowhere/*.h5ad matches no file."),
        ("gs://bucket", "gs://bucket names a whole bucket"),
        ("nowhere/a.h5ad", "there is no file or folder nowhere/a.h5ad."),
        ("../a.h5ad", "there is no file or folder ../a.h5ad."),
    ],
)
def test_what_is_not_fetched(store: ObjectStore, name: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)), fetched(store, [name]) as paths:
        group_by_dataset(paths, None)


def test_a_bucket_without_it(cloud_root: str) -> None:
    store = CloudStore(cloud_root)
    with (
        pytest.raises(InputError, match=re.escape(f"{cloud_root}/run/*.h5ad matches no source file.")),
        fetched(store, [f"{cloud_root}/run/*.h5ad"]),
    ):
        pass
