"""The object store of a Cloud Storage bucket: whole objects, conditional writes, checksums both ways.

Every write names the generation that it replaces, so that sending it again after a lost answer neither fails nor
undoes what somebody wrote since; it carries a mark, by which a write recognises itself.
"""

import hashlib
import mimetypes
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omics_datastore.errors import InputError
from omics_datastore.storage import cloud_storage_transfer as transfer
from omics_datastore.storage.cloud_storage_client import BUCKET, SCHEME, TIMEOUT, clear_errors, open_bucket, retries
from omics_datastore.storage.file_digest import file_sha256
from omics_datastore.storage.object_store import AlreadyExistsError, ObjectStore, StoredObject, check_object_key
from omics_datastore.storage.scratch import ScratchFolder

_MARK = "nexus-write"
"""The entry of an object's metadata that tells which write made it."""
_SHA256 = "nexus-sha256"
"""The entry of an object's metadata with the SHA-256 of what was sent; Cloud Storage keeps a CRC32C of what arrived."""
_PARTS = ".scratch/parts"
"""Where the parts of big uploads lie until they are composed; never listed. A lifecycle rule removes what is left."""
_ATTEMPTS = 5
FREE_BYTES = 256 * 2**20
"""What a download must leave free on the scratch disk."""


class CloudStore(ObjectStore):
    """Keep objects in a bucket, below a prefix.

    :param root: ``gs://<bucket>`` or ``gs://<bucket>/<prefix>``.
    :param part_bytes: Bytes above which an object is sent and fetched in parallel parts.
    :raise InputError: When the root does not name a bucket.
    """

    def __init__(self, root: str, *, part_bytes: int = 32 * 2**20) -> None:
        bucket, _, prefix = root.removeprefix(SCHEME).partition("/")
        if not root.startswith(SCHEME) or not BUCKET.fullmatch(bucket):
            raise InputError(f"{root!r} does not name a bucket: give gs://<bucket>/<prefix>.")
        self.bucket_name = bucket
        self._prefix = f"{check_object_key(prefix.strip('/'))}/" if prefix.strip("/") else ""
        self._part_bytes = part_bytes
        self._lock = threading.Lock()
        self._opened: tuple[int, Any] | None = None
        self._scratch: ScratchFolder | None = None

    @property
    def root(self) -> str:
        return f"{SCHEME}{self.bucket_name}/{self._prefix}".rstrip("/")

    def uri(self, key: str) -> str:
        return f"{SCHEME}{self.bucket_name}/{self._name(key)}"

    def read(self, key: str) -> bytes:
        blob = self._blob(key)
        with clear_errors(self.uri(key)):
            return transfer.read(blob)

    def write(self, key: str, content: bytes, *, new: bool = False) -> None:
        kind = mimetypes.guess_type(key)[0]
        sha256 = hashlib.sha256(content).hexdigest()
        self._replace(key, lambda blob, generation: transfer.send(blob, content, generation, kind), sha256, new=new)

    def put(self, local: Path, key: str) -> None:
        self.send(local, key)
        local.unlink()

    def copy(self, source: str, target: str) -> None:
        self._name(target)
        for _ in range(_ATTEMPTS):
            found = self._current(source)
            if found is None:
                break
            with clear_errors(self.uri(source)):
                sha256 = str((found.metadata or {}).get(_SHA256, ""))
                try:
                    self._replace(target, lambda blob, generation: transfer.rewrite(blob, found, generation), sha256)  # noqa: B023
                except FileNotFoundError:  # replaced since we looked
                    continue
                return
        raise FileNotFoundError(f"there is no {self.uri(source)}")

    def send(self, local: Path, key: str) -> None:
        self._name(key)
        kind = mimetypes.guess_type(key)[0]
        size, sha256 = local.stat().st_size, file_sha256(local)
        there = self._current(key)
        if there is not None and (there.metadata or {}).get(_SHA256) == sha256:
            return
        if size <= self._part_bytes:
            self._replace(key, lambda blob, generation: transfer.send_file(blob, local, generation, kind), sha256)
        else:
            folder = f"{self._prefix}{_PARTS}/{uuid.uuid4().hex}"
            with (
                clear_errors(self.uri(key)),
                transfer.sent_parts(self._bucket, folder, local, self._part_bytes) as parts,
            ):
                self._replace(key, lambda blob, generation: transfer.compose(blob, parts, generation, kind), sha256)

    def scratch_path(self, name: str) -> Path:
        with self._lock:
            if self._scratch is None:
                self._scratch = ScratchFolder(scratch_root())
            return self._scratch.new_path(name)

    @contextmanager
    def local_copy(self, key: str) -> Iterator[Path]:
        path = self._fetched(key)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def stat(self, key: str) -> StoredObject | None:
        blob = self._current(key)
        return None if blob is None else _entry(key, blob)

    def sha256(self, key: str) -> str:
        blob = self._current(key)
        known = (blob.metadata or {}).get(_SHA256) if blob is not None else None
        return str(known) if known else super().sha256(key)

    def entries(self, prefix: str, *, hidden: bool = False) -> Iterator[StoredObject]:
        folder = self._folder(prefix)
        fields = "items(name,size,generation,updated),nextPageToken"
        with clear_errors(self.root):
            for blob in self._bucket.list_blobs(
                prefix=folder, fields=fields, page_size=1000, timeout=TIMEOUT, retry=retries()
            ):
                name = blob.name.removeprefix(folder)
                if not (name.endswith("/") or not name if hidden else _hidden(name)):
                    yield _entry(blob.name.removeprefix(self._prefix), blob)

    def folders(self, prefix: str) -> list[str]:
        folder = self._folder(prefix)
        with clear_errors(self.root):
            pages = self._bucket.list_blobs(
                prefix=folder,
                delimiter="/",
                fields="prefixes,nextPageToken",
                page_size=1000,
                timeout=TIMEOUT,
                retry=retries(),
            )
            for _ in pages:
                pass
            names = (name.removeprefix(folder).removesuffix("/") for name in pages.prefixes)
            return sorted(name for name in names if not _hidden(name))

    def delete(self, key: str) -> None:
        blob = self._current(key)
        if blob is not None:
            with clear_errors(self.uri(key)):
                transfer.delete(blob)

    def location(self) -> str:
        """Return where the bucket lies, ``EU`` or ``EUROPE-WEST4`` for example.

        :raise InputError: When there is no such bucket, or it may not be asked.
        """
        bucket = self._bucket
        with clear_errors(self.root):
            bucket.reload(timeout=TIMEOUT, retry=retries())
        return str(bucket.location)

    @property
    def _bucket(self) -> Any:
        """Return the bucket of a client of this process: connections are not shared with a forked child."""
        with self._lock:
            if self._opened is None or self._opened[0] != os.getpid():
                self._opened = os.getpid(), open_bucket(self.bucket_name)
            return self._opened[1]

    def _name(self, key: str) -> str:
        return self._prefix + check_object_key(key)

    def _blob(self, key: str) -> Any:
        return self._bucket.blob(self._name(key))

    def _folder(self, prefix: str) -> str:
        return f"{self._name(prefix.rstrip('/'))}/" if prefix.strip("/") else self._prefix

    def _current(self, key: str) -> Any:
        """Return an object as it is, with its generation, or ``None``."""
        blob = self._blob(key)
        try:
            with clear_errors(self.uri(key)):
                transfer.look_up(blob)
        except FileNotFoundError:
            return None
        return blob

    def _replace(self, key: str, send: Callable[[Any, int], None], sha256: str, *, new: bool = False) -> None:
        """Send an object on condition that nobody else has written it since we looked.

        Who wrote in between came after this write, which is then done and already replaced.

        :param key: Key of the object.
        :param send: What sends the object, on condition of a generation (0: there is none).
        :param sha256: SHA-256 of its content.
        :param new: Whether there must be none.
        :raise AlreadyExistsError: When ``new`` and somebody else's object is there.
        """
        mark = uuid.uuid4().hex
        for _ in range(_ATTEMPTS):
            seen = None if new else self._current(key)
            blob = self._blob(key)
            blob.metadata = {_MARK: mark, _SHA256: sha256}
            with clear_errors(self.uri(key)):
                if transfer.is_sent(send, blob, int(seen.generation) if seen else 0):
                    return
            there = self._current(key)
            if there is None:  # deleted since we looked
                continue
            if new and (there.metadata or {}).get(_MARK) != mark:
                raise AlreadyExistsError(key)
            return
        raise OSError(f"{self.uri(key)} is deleted as often as it is written; nothing was written.")

    def _fetched(self, key: str) -> Path:
        """Download the generation of an object that is there now; begin again when it is replaced meanwhile."""
        for attempt in range(_ATTEMPTS):
            blob = self._current(key)
            if blob is None:
                break
            path = self.scratch_path("copy")
            _check_free(path.parent, int(blob.size), self.uri(key))
            try:
                with clear_errors(self.uri(key)):
                    transfer.fetch(blob, path, self._part_bytes)
                return path
            except BaseException as error:
                path.unlink(missing_ok=True)
                if not isinstance(error, FileNotFoundError) or attempt == _ATTEMPTS - 1:
                    raise
        raise FileNotFoundError(f"there is no {self.uri(key)}")


def scratch_root() -> Path:
    """Return the folder for half-made files of this machine; ``TMPDIR`` moves it to another disk."""
    return Path(tempfile.gettempdir()) / f"nexus-{os.getuid()}"


def _check_free(folder: Path, size: int, uri: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + FREE_BYTES:
        raise InputError(
            f"{uri} has {size / 2**20:,.0f} MiB, and {folder} has {free / 2**20:,.0f} MiB free: set TMPDIR to a folder "
            "on a larger disk."
        )


def _hidden(name: str) -> bool:
    """Tell whether a name below the listed folder has a part that begins with a dot, or is a folder's placeholder."""
    return any(not part or part.startswith(".") for part in name.split("/"))


def _entry(key: str, blob: Any) -> StoredObject:
    return StoredObject(key, int(blob.size), str(blob.generation), blob.updated.timestamp())
