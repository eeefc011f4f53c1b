"""Put files of this machine into the inbox: linked into a folder, uploaded into a bucket; to be kept or undone.

What had been there before stands beside it under a hidden name until the files are kept, so that a command that was
killed is undone by the next one.
"""

import contextlib
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from omics_datastore.errors import InputError
from omics_datastore.ingest.source_kinds import SourceKind, group_names, group_objects, source_kind, source_stem
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.layout import INBOX
from omics_datastore.storage.object_store import ObjectStore


class Placement(ABC):
    """Files that were put into the inbox, with what they took the place of."""

    @abstractmethod
    def place(self, source: Path, key: str, *, link: bool) -> None:
        """Put one file in place; a file that is there already under that name is left alone.

        :param source: The file.
        :param key: Its place.
        :param link: Try a hard link before a copy, where that is possible.
        :raise InputError: When the file cannot be read.
        """

    @abstractmethod
    def clear(self, key: str) -> None:
        """Take a file out of the inbox.

        :param key: Its place.
        """

    @abstractmethod
    def undo(self) -> None:
        """Take the files away again and put back what was there before."""

    @abstractmethod
    def keep(self) -> None:
        """Forget what was there before."""


def place_in_inbox(store: ObjectStore, dataset: str, files: Mapping[str, Path], sidecar: Path | None) -> Placement:
    """Put files of this machine into the inbox, into a folder by hard link where that is possible.

    What the inbox holds of a source of several files under other names is taken out.

    :param store: Object store.
    :param dataset: Dataset key.
    :param files: Files of sources, by their place below the dataset's folder.
    :param sidecar: Configuration to put beside them.
    :return: What was placed, to be kept or undone.
    :raise InputError: When a file cannot be read; nothing is placed then.
    """
    placement = FolderPlacement(store) if isinstance(store, FolderStore) else BucketPlacement(store)
    try:
        if sidecar is not None:
            placement.place(sidecar, f"{INBOX}{dataset}.yaml", link=False)
        for key in _left_over(store, dataset, files):
            placement.clear(key)
        for name, file in files.items():
            if not (isinstance(store, FolderStore) and _lies_elsewhere(store, dataset, name, file)):
                placement.place(file, f"{INBOX}{dataset}/{name}", link=True)
    except BaseException:
        placement.undo()
        raise
    return placement


class FolderPlacement(Placement):
    """Files in the inbox of a folder.

    :param store: The folder.
    """

    def __init__(self, store: FolderStore) -> None:
        self._store = store
        self._placed: list[tuple[Path, Path]] = []

    def place(self, source: Path, key: str, *, link: bool) -> None:
        target = self._store.path(key)
        partial, previous = (target.with_name(f".{target.name}.{word}") for word in ("partial", "previous"))
        if _is(target, source):
            if previous.exists():  # a command was killed after it had put the file in place
                self._placed.append((target, previous))
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.unlink(missing_ok=True)
            if not (link and _linked(source, partial)):
                shutil.copy2(source, partial)
        except OSError as error:
            raise _unreadable(source, error) from error
        if target.exists() and not previous.exists():
            target.rename(previous)
        partial.replace(target)
        self._placed.append((target, previous))

    def clear(self, key: str) -> None:
        target = self._store.path(key)
        previous = target.with_name(f".{target.name}.previous")
        if previous.exists():
            target.unlink()
        else:
            target.rename(previous)
        self._placed.append((target, previous))

    def undo(self) -> None:
        inbox = self._store.path(INBOX.rstrip("/"))
        for target, previous in reversed(self._placed):
            target.unlink(missing_ok=True)
            if previous.exists():
                previous.rename(target)
            with contextlib.suppress(OSError):  # the folder is not empty
                for folder in target.parents[: len(target.relative_to(inbox).parts) - 1]:
                    folder.rmdir()
        self._placed.clear()

    def keep(self) -> None:
        for _, previous in self._placed:
            previous.unlink(missing_ok=True)
        self._placed.clear()


class BucketPlacement(Placement):
    """Files that were uploaded into the inbox of a bucket.

    :param store: The bucket.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._placed: list[tuple[str, str]] = []

    def place(self, source: Path, key: str, *, link: bool) -> None:  # noqa: ARG002 - there are no links
        path = PurePosixPath(key)
        previous = str(path.with_name(f".{path.name}.previous"))
        before = self._store.stat(key)
        killed = self._store.stat(previous) is not None
        if not source.is_file():
            raise InputError(f"{source} cannot be put into the inbox: there is no such file.")
        if before is not None and not killed:
            self._store.copy(key, previous)
        self._placed.append((key, previous))
        try:
            self._store.send(source, key)
        except PermissionError as error:
            raise _unreadable(source, error) from error
        if not killed and before is not None and self._store.stat(key) == before:  # the same file was there
            self._placed.pop()
            self._store.delete(previous)

    def clear(self, key: str) -> None:
        path = PurePosixPath(key)
        previous = str(path.with_name(f".{path.name}.previous"))
        if self._store.stat(previous) is None:
            self._store.copy(key, previous)
        self._placed.append((key, previous))
        self._store.delete(key)

    def undo(self) -> None:
        for key, previous in reversed(self._placed):
            if self._store.stat(previous) is None:
                self._store.delete(key)
            else:
                self._store.copy(previous, key)
                self._store.delete(previous)
        self._placed.clear()

    def keep(self) -> None:
        for _, previous in self._placed:
            self._store.delete(previous)
        self._placed.clear()


def _left_over(store: ObjectStore, dataset: str, files: Mapping[str, Path]) -> list[str]:
    """List the objects of sources that are to be replaced, and whose names the new ones do not have."""
    folder = f"{INBOX}{dataset}/"
    placed = {f"{folder}{name}" for name in files}
    replaced = {_unpacked(f"{folder}{source}") for source in group_names(files)}
    found = group_objects(store.entries(folder, hidden=True))
    return [
        entry.key
        for source, members in found.items()
        if _unpacked(source) in replaced
        for entry in members
        if entry.key not in placed
    ]


def _unpacked(source: str) -> str:
    """Return the same key for a matrix and for the same matrix gzip'd."""
    return source.removesuffix(".gz") if source_kind(source) is SourceKind.MATRIX_MARKET else source


def _lies_elsewhere(store: FolderStore, dataset: str, name: str, file: Path) -> bool:
    """Tell whether a file lies in the inbox already, at another of the places that sources of the dataset may have."""
    below = name.partition("/")[2] or name
    places = (
        dataset + name[len(source_stem(name)) :],
        f"{dataset}{SourceKind.ZARR.value}/{below}",
        f"{dataset}/{below}",
    )
    return any(_is(store.path(f"{INBOX}{place}"), file) for place in places if place != f"{dataset}/{name}")


def _is(target: Path, source: Path) -> bool:
    return target.exists() and target.samefile(source)


def _unreadable(source: Path, error: OSError) -> InputError:
    return InputError(f"{source} cannot be put into the inbox: {error.strerror or error}.")


def _linked(source: Path, target: Path) -> bool:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without hard links
        return False
    return True
