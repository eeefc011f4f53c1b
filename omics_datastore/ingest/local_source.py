"""The bytes of a source on this machine, as they were dropped: what its name is made of."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from omics_datastore.ingest.refusal import RefusedSourceError
from omics_datastore.ingest.source_kinds import SourceKind, find_members, source_kind
from omics_datastore.keys import digest
from omics_datastore.storage.file_digest import file_sha256
from omics_datastore.storage.object_store import ObjectStore, StoredObject

_FETCHERS = 8
"""Small objects of a store in a bucket are fetched side by side."""

State = tuple[tuple[str, int, int], ...]
"""Name, size and time of change of every file."""


@dataclass(frozen=True)
class LocalSource:
    """A source on this machine.

    ``path`` is its file, or the folder that holds its files; ``files`` are those by their names in the source.
    """

    kind: SourceKind
    path: Path
    files: dict[str, Path]

    def sha256(self) -> str:
        """Return the SHA-256 of the file, or of the names and SHA-256 of the files of a source that has several."""
        if self.kind not in (SourceKind.ZARR, SourceKind.MATRIX_MARKET):
            return file_sha256(self.path)
        return digest(sorted([name, file_sha256(path)] for name, path in self.files.items()))

    def state(self) -> State:
        """Return what changes when a file does.

        :raise RefusedSourceError: When a file is gone.
        """
        try:
            states = [(name, path.stat()) for name, path in sorted(self.files.items())]
        except FileNotFoundError as error:
            raise RefusedSourceError("readable", f"{error.filename} is gone; run again when it is there.") from error
        return tuple((name, status.st_size, status.st_mtime_ns) for name, status in states)


@contextmanager
def local_source(store: ObjectStore, key: str) -> Iterator[LocalSource]:
    """Give the files of a source while a ``with`` block runs; never write to them.

    :param store: Object store.
    :param key: Key of the source.
    :return: A context manager that yields the source.
    :raise FileNotFoundError: When there is none.
    """
    kind = source_kind(key) or SourceKind.H5AD
    if kind not in (SourceKind.ZARR, SourceKind.MATRIX_MARKET):
        with store.local_copy(key) as path:
            yield LocalSource(kind, path, {path.name: path})
        return
    members = find_members(store, key)
    if not members:
        raise FileNotFoundError(f"there is no {store.uri(key)}")
    folder = f"{key}/" if kind is SourceKind.ZARR else f"{key.rpartition('/')[0]}/"
    scratch = store.scratch_path("source")
    with ExitStack() as copies:
        copies.callback(rmtree, scratch, ignore_errors=True)

        def fetch(member: StoredObject) -> tuple[str, Path]:
            return member.key.removeprefix(folder), copies.enter_context(store.local_copy(member.key))

        with ThreadPoolExecutor(_FETCHERS) as threads:
            files = dict(threads.map(fetch, members))
        scratch.mkdir(parents=True)
        for name, path in files.items():
            link = scratch / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.absolute())
        yield LocalSource(kind, scratch, files)
