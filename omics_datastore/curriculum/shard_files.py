r"""Shards as objects of a store, whatever their format: an ``.h5ad`` is one object, a zarr shard a folder of them.

The SHA-256 of a folder is that of the text which ``sha256sum`` prints for its files, sorted by name:
``LC_ALL=C; find . -type f -printf '%P\n' | sort | xargs -d '\n' sha256sum | sha256sum`` inside the folder gives it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from omics_datastore.storage.file_digest import file_sha256
from omics_datastore.storage.layout import COLLECTION, SHARDS
from omics_datastore.storage.object_store import ObjectStore


def is_file_shard(key: str) -> bool:
    """Tell whether a shard is one object.

    :param key: Its key, or a path.
    :return: Whether it is; else it is a folder of objects.
    """
    return key.endswith(".h5ad")


def put_shard(store: ObjectStore, local: Path, key: str) -> None:
    """Move a shard that was written aside into the store.

    :param store: Object store.
    :param local: The file or folder.
    :param key: Its key.
    """
    if is_file_shard(key):
        store.put(local, key)
    else:
        store.put_folder(local, f"{key}/")


def delete_shard(store: ObjectStore, key: str) -> None:
    """Delete a shard.

    :param store: Object store.
    :param key: Its key.
    """
    if is_file_shard(key):
        store.delete(key)
    else:
        store.delete_folder(f"{key}/")


def path_size(local: Path) -> int:
    """Return the bytes of a shard on disk.

    :param local: The file or folder.
    :return: Bytes of its files.
    """
    return local.stat().st_size if local.is_file() else sum(path.stat().st_size for path in _files(local).values())


def path_sha256(local: Path) -> str:
    """Return the SHA-256 of a shard on disk.

    :param local: The file or folder.
    :return: 64 lowercase hexadecimal digits.
    """
    if local.is_file():
        return file_sha256(local)
    return _listing_sha256((name, file_sha256(path)) for name, path in _files(local).items())


def stored_shard(store: ObjectStore, key: str, size: int) -> str | None:
    """Return the SHA-256 of a shard in the store when it has a size.

    :param store: Object store.
    :param key: Its key.
    :param size: Bytes it must have.
    :return: 64 lowercase hexadecimal digits, or ``None`` when it is not there or has another size.
    """
    if is_file_shard(key):
        stored = store.stat(key)
        if stored is None or stored.size != size:
            return None
        with store.local_copy(key) as path:
            return file_sha256(path)
    entries = list(store.entries(f"{key}/", hidden=True))
    if sum(entry.size for entry in entries) != size:
        return None
    names = sorted(entry.key for entry in entries)
    return _listing_sha256((name.removeprefix(f"{key}/"), store.sha256(name)) for name in names)


def local_shard(store: ObjectStore, key: str) -> AbstractContextManager[Path]:
    """Give a local file or folder with a shard's content while a ``with`` block runs; never write to it.

    :param store: Object store.
    :param key: Its key.
    :return: A context manager that yields the path.
    :raise FileNotFoundError: When there is no such shard.
    """
    return store.local_copy(key) if is_file_shard(key) else store.local_folder(f"{key}/")


@contextmanager
def open_shard(path: Path) -> Iterator[Any]:
    """Open a shard to read its elements with ``anndata.io.read_elem`` and ``sparse_dataset``.

    :param path: The file or folder.
    :return: A context manager that yields the root group, of h5py or of zarr.
    :raise OSError: When it cannot be opened as one.
    """
    if path.is_file():
        import h5py

        with h5py.File(path) as file:
            yield file
        return
    import zarr

    if not (path / "zarr.json").is_file():
        raise FileNotFoundError(f"there is no zarr group at {path}")
    yield zarr.open_group(str(path), mode="r")


def shard_sizes(store: ObjectStore, folder: str) -> dict[str, int]:
    """List the shards that a version has, whole or not.

    :param store: Object store.
    :param folder: Folder of the version, with a slash at its end.
    :return: Bytes by the shard's place below the folder.
    """
    sizes: dict[str, int] = {}
    for entry in store.entries(f"{folder}{SHARDS}", hidden=True):
        file = shard_of(entry.key.removeprefix(folder))
        if file is not None:
            sizes[file] = sizes.get(file, 0) + entry.size
    return sizes


def count_shards(store: ObjectStore, folder: str) -> int:
    """Count the shards that a version has, whole or not, without listing what is in them.

    :param store: Object store.
    :param folder: Folder of the version, with a slash at its end.
    :return: How many.
    """
    groups = store.folders(f"{folder}{COLLECTION}")
    return len(groups) if groups else len(shard_sizes(store, folder))


def shard_of(file: str) -> str | None:
    """Return the shard that an object belongs to.

    :param file: Place of the object below the folder of its version.
    :return: Place of the shard, or ``None`` when the object is of none.
    """
    if file.startswith(COLLECTION):
        group, slash, _ = file.removeprefix(COLLECTION).partition("/")
        return f"{COLLECTION}{group}" if slash else None
    hidden = any(part.startswith(".") for part in file.split("/"))
    return file if file.startswith(SHARDS) and not hidden else None


def _files(folder: Path) -> dict[str, Path]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return dict(sorted(found.items()))


def _listing_sha256(files: Iterable[tuple[str, str]]) -> str:
    return hashlib.sha256("".join(f"{sha256}  {name}\n" for name, sha256 in files).encode()).hexdigest()
