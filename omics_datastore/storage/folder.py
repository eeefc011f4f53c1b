"""The object store of a laptop: a folder, with writes that appear whole by renaming."""

import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from omics_datastore.errors import InputError
from omics_datastore.storage.folder_lock import folder_lock
from omics_datastore.storage.layout import DROPS
from omics_datastore.storage.lock import Lock
from omics_datastore.storage.object_store import AlreadyExistsError, ObjectStore, StoredObject, check_object_key
from omics_datastore.storage.scratch import ScratchFolder


class FolderStore(ObjectStore):
    """Keep objects as files below a folder.

    :param root: The folder; made when it is first written to.
    """

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root).expanduser().resolve()
        self._scratch: ScratchFolder | None = None
        self._scratch_lock = threading.Lock()

    @property
    def root(self) -> str:
        return str(self._root)

    def path(self, key: str) -> Path:
        """Return the file of an object.

        :param key: Key of the object.
        :return: Its path; it need not exist.
        :raise InputError: When the key leaves the folder.
        """
        return self._root / check_object_key(key)

    def uri(self, key: str) -> str:
        return str(self.path(key))

    def read(self, key: str) -> bytes:
        self._refuse_way_out(key)
        return self.path(key).read_bytes()

    def write(self, key: str, content: bytes, *, new: bool = False) -> None:
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = self.scratch_path("partial")
        try:
            with partial.open("wb") as file:
                file.write(content)
                _flush(file.fileno())
            if not new:
                partial.replace(target)
            else:
                try:
                    os.link(partial, target)
                except FileExistsError:
                    raise AlreadyExistsError(key) from None
        finally:
            partial.unlink(missing_ok=True)
        _flush_path(target.parent)

    def put(self, local: Path, key: str) -> None:
        target = self.path(key)

        def move(partial: Path) -> None:
            try:
                local.rename(partial)
            except OSError:  # another file system
                shutil.copyfile(local, partial)
                local.unlink()

        self._place(target, move)

    def send(self, local: Path, key: str) -> None:
        target = self.path(key)
        self._place(target, lambda partial: shutil.copyfile(local, partial))

    def copy(self, source: str, target: str) -> None:
        self.send(self.path(source), target)

    def _place(self, target: Path, make: Callable[[Path], object]) -> None:
        """Put a file in place that is made aside."""
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = self.scratch_path("partial")
        try:
            make(partial)
            descriptor = os.open(partial, os.O_RDONLY)
            try:
                _flush(descriptor)
            finally:
                os.close(descriptor)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        _flush_path(target.parent)

    def scratch_path(self, name: str) -> Path:
        with self._scratch_lock:
            if self._scratch is None:
                self._scratch = ScratchFolder(self._root)
            return self._scratch.new_path(name)

    def put_folder(self, local: Path, prefix: str) -> None:
        target = self._folder(prefix)
        for path in sorted(local.rglob("*")):
            _flush_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        replaced = self.scratch_path("replaced")
        try:
            while True:
                with suppress(FileNotFoundError):
                    target.rename(replaced)
                try:
                    local.rename(target)
                    break
                except OSError as error:
                    if error.errno == errno.EXDEV:  # another file system
                        copied = self.scratch_path("partial")
                        shutil.copytree(local, copied)
                        shutil.rmtree(local)
                        local = copied
                    elif error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                shutil.rmtree(replaced, ignore_errors=True)
        finally:
            shutil.rmtree(replaced, ignore_errors=True)
        _flush_path(target.parent)

    @contextmanager
    def local_folder(self, prefix: str) -> Iterator[Path]:
        folder = self._folder(prefix)
        if not folder.is_dir():
            raise FileNotFoundError(f"there is nothing below {folder}")
        yield folder

    @contextmanager
    def local_copy(self, key: str) -> Iterator[Path]:
        path = self.path(key)
        self._refuse_way_out(key)
        if not path.is_file():
            raise FileNotFoundError(f"there is no {path}")
        yield path

    def now(self) -> datetime:
        probe = self.scratch_path("clock")
        probe.touch()
        try:
            return datetime.fromtimestamp(probe.stat().st_mtime, UTC)
        finally:
            probe.unlink()

    def stat(self, key: str) -> StoredObject | None:
        self._refuse_way_out(key)
        try:
            return _entry(key, self.path(key).stat())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def entries(self, prefix: str, *, hidden: bool = False) -> Iterator[StoredObject]:
        folder = self._folder(prefix)
        found: list[StoredObject] = []
        for parent, folders, names in os.walk(folder, onerror=_raise_unless_missing):
            folders[:] = [name for name in folders if hidden or not name.startswith(".")]
            for name in names:
                if name.startswith(".") and not hidden:
                    continue
                path = Path(parent) / name
                key = path.relative_to(self._root).as_posix()
                try:
                    status = path.stat()
                    if self._leads_out(key):  # refused when it is read
                        status = path.lstat()
                except FileNotFoundError:  # deleted since it was listed
                    continue
                found.append(_entry(key, status))
        return iter(sorted(found, key=lambda entry: entry.key))

    def folders(self, prefix: str) -> list[str]:
        folder = self._folder(prefix)
        if not folder.is_dir():
            return []
        found = [entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
        return sorted(name for name in found if _holds_a_file(folder / name))

    def delete(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)

    def lock(
        self, name: str, *, shared: bool = False, wait_seconds: float | None = None
    ) -> AbstractContextManager[Lock]:
        return folder_lock(self._root, name, shared=shared, wait_seconds=wait_seconds)

    def delete_folder(self, prefix: str) -> None:
        removed = self.scratch_path("removed")
        with suppress(FileNotFoundError):
            self._folder(prefix).rename(removed)
        shutil.rmtree(removed, ignore_errors=True)

    def _refuse_way_out(self, key: str) -> None:
        if self._leads_out(key):
            raise InputError(f"{self.path(key)} is a link that leads out of its folder; put the file itself there.")

    def _leads_out(self, key: str) -> bool:
        """Tell whether a link in a folder that people drop into leads out of it: who may drop may not read all."""
        drop = next((drop for drop in DROPS if key.startswith(drop)), None)
        return drop is not None and not self.path(key).resolve().is_relative_to(self._folder(drop).resolve())

    def _folder(self, prefix: str) -> Path:
        return self.path(prefix.rstrip("/")) if prefix.strip("/") else self._root


def _entry(key: str, status: os.stat_result) -> StoredObject:
    # A file that was moved or linked to its place keeps its mtime, not its ctime.
    return StoredObject(key, status.st_size, f"{status.st_mtime_ns}", max(status.st_mtime, status.st_ctime))


def _holds_a_file(folder: Path) -> bool:
    """Tell whether anything lies below a folder: who was killed early, or deleted the last file, left nothing."""
    return any(names for _, _, names in os.walk(folder))


def _raise_unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # what cannot be listed is not empty
        raise error


def _flush(descriptor: int) -> None:
    os.fsync(descriptor)


def _flush_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
