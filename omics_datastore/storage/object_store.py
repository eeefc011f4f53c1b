"""The object store seam: what Nexus asks of a bucket or a folder, and nothing about either.

Keys are relative POSIX paths below the store's root (``inbox/lung.h5ad``). An object appears whole or
not at all, and an object that was written is never changed in place.
"""

import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from omics_datastore.errors import InputError
from omics_datastore.storage.file_digest import file_sha256
from omics_datastore.storage.lock import Lock

_FILES_AT_ONCE = 8
"""Files of a folder that are sent or fetched side by side."""


class AlreadyExistsError(Exception):
    """Say that an object that was to be new is there already."""


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it: key, size in bytes, generation, time of change (s since 1970)."""

    key: str
    size: int
    generation: str
    modified: float


def check_object_key(key: str) -> str:
    """Return a key unchanged when it stays below the root of a store.

    :param key: Relative POSIX path.
    :return: The key.
    :raise InputError: When the key is absolute, empty, or has ``.``, ``..``, empty or control-character parts.
    """
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(ord(char) < 32 or char == "\\" for char in key):
        raise InputError(f"{key!r} is not an object key: use a relative path without '.', '..' or empty parts.")
    return str(PurePosixPath(key))


class ObjectStore(ABC):
    """Read and write whole objects below one root."""

    @property
    @abstractmethod
    def root(self) -> str:
        """Return what :func:`omics_datastore.storage.open.open_store` opens this store again from."""

    @abstractmethod
    def uri(self, key: str) -> str:
        """Return the address of an object for people (a path, or ``gs://…``).

        :param key: Key of the object; it need not exist.
        :return: The address.
        """

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return the content of an object.

        :param key: Key of the object.
        :return: Its bytes.
        :raise FileNotFoundError: When there is no such object.
        """

    @abstractmethod
    def write(self, key: str, content: bytes, *, new: bool = False) -> None:
        """Write an object whole.

        :param key: Key of the object.
        :param content: Its bytes.
        :param new: Write only when the key is free.
        :raise AlreadyExistsError: When ``new`` and the key is taken.
        """

    @abstractmethod
    def put(self, local: Path, key: str) -> None:
        """Move a local file into the store; the local file is gone afterwards.

        :param local: File to move.
        :param key: Key of the object.
        """

    @abstractmethod
    def send(self, local: Path, key: str) -> None:
        """Copy a local file into the store; the local file stays.

        :param local: File to copy.
        :param key: Key of the object.
        :raise OSError: When the file cannot be read; nothing is written then.
        """

    @abstractmethod
    def copy(self, source: str, target: str) -> None:
        """Write an object that has the content of another one.

        :param source: Key of the object to copy.
        :param target: Key of the copy.
        :raise FileNotFoundError: When there is no such object.
        """

    @abstractmethod
    def scratch_path(self, name: str) -> Path:
        """Return a free local path for a file or folder that is being made, best to :meth:`put` from.

        What is left there is removed when nobody refers to the store any more, when the process ends, or by the
        next one when it was killed.

        :param name: What the path is for; becomes part of its name.
        :return: The path; nothing is made there.
        """

    @abstractmethod
    def local_copy(self, key: str) -> AbstractContextManager[Path]:
        """Give a local file with an object's content while a ``with`` block runs; never write to it.

        :param key: Key of the object.
        :return: A context manager that yields the path.
        :raise FileNotFoundError: When there is no such object.
        """

    def put_folder(self, local: Path, prefix: str) -> None:
        """Move the files of a local folder into the store; whatever else lies below the prefix is deleted.

        The objects appear one by one, unless a store can do better: what names them must be written after them.

        :param local: Folder to move; it is gone afterwards.
        :param prefix: Prefix of the objects that ends in ``/``.
        """
        files = {f"{prefix}{path.relative_to(local).as_posix()}": path for path in local.rglob("*") if path.is_file()}
        with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="put-folder") as pool:
            for _ in pool.map(lambda key: self.put(files[key], key), sorted(files)):
                pass
        for entry in list(self.entries(prefix, hidden=True)):
            if entry.key not in files:
                self.delete(entry.key)
        shutil.rmtree(local)

    @contextmanager
    def local_folder(self, prefix: str) -> Iterator[Path]:
        """Give a local folder with the objects below a prefix while a ``with`` block runs; never write to it.

        :param prefix: Prefix of the objects that ends in ``/``.
        :return: A context manager that yields the path.
        :raise FileNotFoundError: When there is no such object.
        """
        keys = [entry.key for entry in self.entries(prefix, hidden=True)]
        if not keys:
            raise FileNotFoundError(f"there is nothing below {self.uri(prefix.rstrip('/'))}")
        folder = self.scratch_path("folder")

        def fetch(key: str) -> None:
            target = folder / key.removeprefix(prefix)
            target.parent.mkdir(parents=True, exist_ok=True)
            with self.local_copy(key) as path:
                shutil.copyfile(path, target)

        try:
            with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="local-folder") as pool:
                for _ in pool.map(fetch, keys):
                    pass
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def now(self) -> datetime:
        """Return the time by the clock that dates this store's objects; machines' own clocks may disagree.

        :return: The time in UTC.
        """
        key = f".scratch/parts/clock-{uuid.uuid4().hex}"  # never listed; a lifecycle rule removes what is left there
        self.write(key, b"")
        seen = self.stat(key)
        self.delete(key)
        if seen is None:
            raise FileNotFoundError(f"{self.uri(key)} is gone")
        return datetime.fromtimestamp(seen.modified, UTC)

    @abstractmethod
    def stat(self, key: str) -> StoredObject | None:
        """Return an object's listing entry.

        :param key: Key of the object.
        :return: The entry, or ``None`` when there is no such object.
        """

    def sha256(self, key: str) -> str:
        """Return the SHA-256 of an object.

        It is computed from a local copy, unless a store knows it of this very generation.

        :param key: Key of the object.
        :return: 64 lowercase hexadecimal digits.
        :raise FileNotFoundError: When there is no such object.
        """
        with self.local_copy(key) as path:
            return file_sha256(path)

    @abstractmethod
    def entries(self, prefix: str, *, hidden: bool = False) -> Iterator[StoredObject]:
        """List the objects whose key begins with a folder prefix, in the order of their keys.

        Names that begin with a dot are not listed, nor is what lies below them: file managers, editors and copy
        programs leave such files where people work.

        :param prefix: ``""`` or a prefix that ends in ``/``.
        :param hidden: List them all the same.
        :return: Entries of the folder and everything below it.
        """

    @abstractmethod
    def folders(self, prefix: str) -> list[str]:
        """List the names of the folders directly below a prefix, sorted; not those that begin with a dot.

        A folder is there as long as there is an object below it.

        :param prefix: ``""`` or a prefix that ends in ``/``.
        :return: Names without slashes.
        """

    def lock(
        self, name: str, *, shared: bool = False, wait_seconds: float | None = None
    ) -> AbstractContextManager[Lock]:
        """Hold a lock while a ``with`` block runs; the lock of a process that died is free.

        Who waits to have it alone comes before those who want to share it later. No thread may take it twice.

        :param name: One of :mod:`omics_datastore.storage.lock`.
        :param shared: Whether others may share it; else it is held alone.
        :param wait_seconds: How long to wait for others; without end by default.
        :return: A context manager that yields the lock.
        :raise StillLockedError: When the time is over.
        """
        from omics_datastore.storage.lease import lease

        return lease(self, name, shared=shared, wait_seconds=wait_seconds)

    def delete_folder(self, prefix: str) -> None:
        """Delete all objects below a prefix; there may be none.

        :param prefix: Prefix of the objects that ends in ``/``.
        """
        for entry in list(self.entries(prefix, hidden=True)):
            self.delete(entry.key)

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete an object; a missing one is no error.

        :param key: Key of the object.
        """
