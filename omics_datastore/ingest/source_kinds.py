"""Which files make up a source, by their names alone. Nothing here opens one.

A source is named by one key: an ``.h5ad``, ``.h5ad.gz``, 10x ``.h5`` or ``.zarr.zip`` file by its own, an AnnData
``.zarr`` store by that of its folder, and a matrix-market matrix (``matrix.mtx``, ``barcodes.tsv`` and ``features.tsv``
or ``genes.tsv``, plain or gzip'd, all with the same text before these names, or none) by that of ``matrix.mtx``.
"""

import re
from collections.abc import Iterable, Sequence
from enum import Enum

from omics_datastore.ingest.manifest import SourceFile
from omics_datastore.keys import digest
from omics_datastore.storage.object_store import ObjectStore, StoredObject


class SourceKind(Enum):
    """Kinds of sources, with what their keys end in."""

    H5AD = ".h5ad"
    GZIP = ".h5ad.gz"
    TENX = ".h5"
    ZARR_ZIP = ".zarr.zip"
    ZARR = ".zarr"
    MATRIX_MARKET = "matrix.mtx"


EXPECTED = ".h5ad, .h5ad.gz, 10x .h5, .zarr, .zarr.zip or matrix.mtx with barcodes.tsv and features.tsv"
"""For messages: what is taken."""

MATRIX = ("matrix.mtx", "matrix.mtx.gz")
BARCODES = ("barcodes.tsv", "barcodes.tsv.gz")
FEATURES = ("features.tsv", "features.tsv.gz", "genes.tsv", "genes.tsv.gz")

_SINGLE = (SourceKind.GZIP, SourceKind.ZARR_ZIP, SourceKind.H5AD, SourceKind.TENX)
SINGLE_SUFFIXES = tuple(kind.value for kind in _SINGLE)
"""What sources of one file end in."""
_PART = re.compile(rf"(.*?)({'|'.join(re.escape(name) for name in (*MATRIX, *BARCODES, *FEATURES))})")
_ZARR_METADATA = {".zgroup", ".zarray", ".zattrs", ".zmetadata"}
"""The only hidden names that are not left where they lie: zarr 2 calls its documents so."""


def source_kind(key: str) -> SourceKind | None:
    """Return the kind that a name stands for; ``None`` for any other name.

    :param key: Key or path, with ``/``.
    :return: The kind.
    """
    for kind in (*_SINGLE, SourceKind.ZARR):
        if key.endswith(kind.value):
            return kind
    part = _PART.fullmatch(key.rpartition("/")[2])
    return SourceKind.MATRIX_MARKET if part and part[2] in MATRIX else None


def source_stem(name: str) -> str:
    """Return a file name without what its kind makes it end in.

    :param name: Name of a file or folder.
    :return: The stem; the name itself when it is of no kind.
    """
    for kind in (*_SINGLE, SourceKind.ZARR):
        if name.endswith(kind.value):
            return name.removesuffix(kind.value)
    return name


def source_name(key: str) -> str:
    """Return a short name for people: the file's, after its folder's where all files are called alike.

    :param key: Key of a source.
    :return: One or two parts of the key.
    """
    parts = key.split("/")
    return "/".join(parts[-2:] if source_kind(key) is SourceKind.MATRIX_MARKET else parts[-1:])


def group_names(names: Iterable[str]) -> dict[str, list[str]]:
    """Say which sources files make up; hidden ones, and such as belong to none, are passed over.

    :param names: Keys or relative paths, with ``/``.
    :return: Files of each source, ordered, by the key of the source.
    """
    sources: dict[str, list[str]] = {}
    parts: dict[tuple[str, str], list[str]] = {}
    for name in sorted(names):
        if is_hidden(name):
            continue
        store = _zarr_folder(name)
        folder, _, last = name.rpartition("/")
        part = _PART.fullmatch(last)
        if store is not None:
            sources.setdefault(store, []).append(name)
        elif part is not None:
            parts.setdefault((folder, part[1]), []).append(name)
        elif name.endswith(SINGLE_SUFFIXES):
            sources[name] = [name]
    for members in parts.values():
        matrix = next((name for name in members if source_kind(name) is SourceKind.MATRIX_MARKET), None)
        if matrix is not None:
            sources[matrix] = members
    return sources


def group_objects(entries: Iterable[StoredObject]) -> dict[str, list[StoredObject]]:
    """Say which sources objects make up.

    :param entries: A listing, with hidden names.
    :return: Objects of each source, ordered, by the key of the source.
    """
    by_key = {entry.key: entry for entry in entries}
    return {source: [by_key[key] for key in keys] for source, keys in group_names(by_key).items()}


def is_hidden(name: str) -> bool:
    """Tell whether a name, or that of a folder above, begins with a dot; the documents of zarr 2 do not count.

    :param name: Key or relative path, with ``/``.
    """
    parts = name.split("/")
    if parts[-1] in _ZARR_METADATA and _zarr_folder(name) is not None:
        parts.pop()
    return any(part.startswith(".") for part in parts)


def find_members(store: ObjectStore, key: str) -> list[StoredObject]:
    """List the objects that make up a source now.

    :param store: Object store.
    :param key: Key of the source.
    :return: Its objects, ordered; none when it is not there.
    """
    kind = source_kind(key)
    if kind is SourceKind.ZARR:
        return group_objects(store.entries(f"{key}/", hidden=True)).get(key, [])
    keys = [key]
    if kind is SourceKind.MATRIX_MARKET:
        folder, slash, last = key.rpartition("/")
        part = _PART.fullmatch(last)
        prefix = f"{folder}{slash}{part[1] if part else ''}"
        keys = [f"{prefix}{name}" for name in (*MATRIX, *BARCODES, *FEATURES)]
    found = [entry for name in sorted(keys) if (entry := store.stat(name)) is not None]
    return found if any(entry.key == key for entry in found) else []


def describe_source(store: ObjectStore, key: str, members: Sequence[StoredObject]) -> SourceFile:
    """Describe a source as it was observed.

    :param store: Object store.
    :param key: Key of the source.
    :param members: Its objects.
    :return: Its description; the generation of several objects is a digest of all of theirs.
    """
    generation = members[0].generation
    if [entry.key for entry in members] != [key]:
        generation = digest([[entry.key, entry.size, entry.generation] for entry in members])[:16]
    return SourceFile(key=key, uri=store.uri(key), size=sum(entry.size for entry in members), generation=generation)


def _zarr_folder(name: str) -> str | None:
    """Return the path up to the outermost ``.zarr`` folder that a file lies in."""
    folders = name.split("/")[:-1]
    depth = next((depth for depth, part in enumerate(folders, 1) if part.endswith(SourceKind.ZARR.value)), None)
    return None if depth is None else "/".join(folders[:depth])
