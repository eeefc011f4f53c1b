"""Sources that are named by a URL of an object store, or by a key of this one, fetched while a command runs."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nexus_assets.cli.source_paths import LocalPath
from omics_datastore.errors import InputError
from omics_datastore.ingest.source_kinds import SourceKind, find_members, group_objects, source_kind
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.object_store import ObjectStore, StoredObject
from omics_datastore.storage.open import open_store

_BUCKET = "gs"
_WILDCARDS = "*?["


@contextlib.contextmanager
def fetched(store: ObjectStore, names: Sequence[str]) -> Iterator[list[LocalPath]]:
    """Give local paths of what somebody named while a ``with`` block runs.

    :param store: Object store of the deployment: what is no path of this machine may be a key of it.
    :param names: Paths, ``file://`` and ``gs://`` URLs, keys; URLs and keys may have ``*``, ``?`` and ``[…]``.
    :return: A context manager that yields a path for each name, several for one with wildcards.
    :raise InputError: When a URL is of another kind, or stands for nothing.
    """
    scratch = store.scratch_path("fetched")
    found: list[LocalPath] = []
    try:
        for number, name in enumerate(names):
            found += _resolve(store, name, scratch / str(number))
        yield found
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _resolve(store: ObjectStore, name: str, scratch: Path) -> list[LocalPath]:
    scheme, mark, rest = name.partition("://")
    if not mark:
        if Path(name).exists() or name.startswith(("/", ".")):
            return [LocalPath(Path(name), name)]
        if isinstance(store, FolderStore):
            return _local(name, str(store.path(name))) if _is_key(name) else [LocalPath(Path(name), name)]
        return _fetch(store, name, scratch, required=False) or [LocalPath(Path(name), name)]
    if scheme == "file":
        parts = urlsplit(name)
        if parts.netloc not in ("", "localhost"):
            raise InputError(f"{name} names another machine; write file:///path/of/this/machine.")
        return _local(name, unquote(rest.removeprefix("localhost")))
    if scheme != _BUCKET:
        raise InputError(
            f"{name} cannot be fetched: only gs:// and file:// are; download it, or copy it into the bucket."
        )
    bucket, _, key = rest.partition("/")
    if not key.strip("/"):
        raise InputError(f"{name} names a whole bucket; name a folder or a file in it.")
    return _fetch(open_store(f"gs://{bucket}"), key.strip("/"), scratch, required=True)


def _is_key(name: str) -> bool:
    return not any(part in ("", ".", "..") for part in name.rstrip("/").split("/"))


def _local(name: str, path: str) -> list[LocalPath]:
    parts = Path(path).parts
    wild = next((place for place, part in enumerate(parts) if any(char in part for char in _WILDCARDS)), None)
    if wild is None or Path(path).exists():
        return [LocalPath(Path(path), name)]
    matches = sorted(Path(*parts[:wild]).glob("/".join(parts[wild:])))
    if not matches:
        raise InputError(f"{name} matches no file.")
    return [LocalPath(match, str(match)) for match in matches]


def _fetch(store: ObjectStore, pattern: str, scratch: Path, *, required: bool) -> list[LocalPath]:
    """Fetch the objects that a key or pattern stands for, and give the files and folders that it names."""
    found = _matches(store, pattern)
    if not found and required:
        raise InputError(f"{store.uri(pattern)} matches no source file.")
    paths = []
    for name, entries in sorted(found.items()):
        folders = name.split("/")[:-1]
        if source_kind(name) is SourceKind.MATRIX_MARKET:  # its folder names it
            folders = folders[:-1]
        base = "".join(f"{folder}/" for folder in folders)
        for entry in entries:
            target = scratch / entry.key.removeprefix(base)
            target.parent.mkdir(parents=True, exist_ok=True)
            with store.local_copy(entry.key) as copy:
                shutil.copyfile(copy, target)
        paths.append(LocalPath(scratch / name.removeprefix(base), store.uri(name)))
    return paths


def _matches(store: ObjectStore, pattern: str) -> dict[str, list[StoredObject]]:
    """Return the objects of sources below each file or folder that the pattern names."""
    parts = pattern.split("/")
    literal = next((place for place, part in enumerate(parts) if any(char in part for char in _WILDCARDS)), None)
    if literal is None:
        members = find_members(store, pattern)
        if members:
            return {pattern: members}
        entries = list(store.entries(f"{pattern}/", hidden=True))
    else:
        base = "/".join(parts[:literal])
        entries = list(store.entries(f"{base}/" if base else "", hidden=True))
    found: dict[str, list[StoredObject]] = {}
    for source, members in group_objects(entries).items():
        above = source.split("/")[: len(parts)]
        if len(above) == len(parts) and all(map(fnmatchcase, above, parts)):
            found.setdefault("/".join(above), []).extend(members)
    return found
