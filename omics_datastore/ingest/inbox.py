"""Datasets as they lie in the inbox: which source files and which sidecar belong to which dataset.

``inbox/<dataset>.h5ad`` and what lies below ``inbox/<dataset>/`` are source files of a dataset, of any kind that
:mod:`omics_datastore.ingest.source_kinds` knows; ``<dataset>.yaml`` beside either is its configuration. Nothing here
opens a source file.
"""

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from omics_datastore.errors import InputError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.manifest import SourceFile
from omics_datastore.ingest.mappings import with_mapping
from omics_datastore.ingest.source_kinds import (
    EXPECTED,
    SINGLE_SUFFIXES,
    SourceKind,
    describe_source,
    group_objects,
    is_hidden,
    source_stem,
)
from omics_datastore.keys import KEY_PATTERN, check_key, digest, propose_key
from omics_datastore.storage.documents import parse_yaml, read_written
from omics_datastore.storage.layout import INBOX
from omics_datastore.storage.object_store import ObjectStore, StoredObject

READY_MARKER = "_READY"


@dataclass(frozen=True)
class Drop:
    """A dataset in the inbox: its source files by key, its sidecar, when it last changed, and a digest of all that."""

    dataset: str
    sources: tuple[SourceFile, ...]
    sidecar: str | None
    modified: float
    ready: bool
    digest: str


@dataclass(frozen=True)
class Inbox:
    """Everything in the inbox: drops by dataset, and one sentence for each object that belongs to none."""

    drops: dict[str, Drop]
    problems: list[str]


def read_inbox(store: ObjectStore, entries: Iterable[StoredObject]) -> Inbox:
    """Say what a listing of the inbox holds.

    :param store: Object store.
    :param entries: The listing, with hidden names.
    :return: The drops and the problems; a drop with a problem is left out.
    """
    members: dict[str, list[StoredObject]] = {}
    unnamed: dict[str, str] = {}
    for entry in entries:
        name = _dataset(entry.key)
        if name is None:
            continue
        if KEY_PATTERN.fullmatch(name):
            members.setdefault(name, []).append(entry)
        else:
            unnamed.setdefault(_address(entry.key, name), name)
    problems = [
        f"{store.uri(key)} is not taken: {name!r} is not a dataset name; "
        f"rename it, for example to {propose_key(name)!r}."
        for key, name in unnamed.items()
    ]
    drops: dict[str, Drop] = {}
    for dataset, found in sorted(members.items()):
        try:
            drop = _drop(store, dataset, found)
        except InputError as error:
            problems.append(str(error))
            continue
        if drop is not None:
            drops[dataset] = drop
    return Inbox(drops, problems)


def read_drop(store: ObjectStore, dataset: str) -> Drop:
    """Return one dataset of the inbox.

    :param store: Object store.
    :param dataset: Dataset key.
    :return: The drop.
    :raise InputError: When the inbox has no source file of the dataset, or two sidecars.
    """
    check_key("dataset", dataset)
    keys = [f"{INBOX}{dataset}{suffix}" for suffix in (*SINGLE_SUFFIXES, ".yaml", ".yml")]
    entries = [entry for key in keys if (entry := store.stat(key)) is not None]
    for folder in (dataset, f"{dataset}{SourceKind.ZARR.value}"):
        entries += store.entries(f"{INBOX}{folder}/", hidden=True)
    drop = _drop(store, dataset, entries)
    if drop is None:
        raise InputError(
            f"the inbox holds no source file of the dataset {dataset!r}; put {dataset}.h5ad or {dataset}/*.h5ad into "
            f"{store.uri(INBOX.rstrip('/'))}, or another of {EXPECTED}."
        )
    return drop


def read_config(store: ObjectStore, drop: Drop) -> DatasetConfig:
    """Read the configuration of a dataset.

    :param store: Object store.
    :param drop: The dataset.
    :return: What its sidecar and the shared mapping say; the defaults when it has none.
    :raise InputError: When the sidecar cannot be read, has unknown keys, contradicts its mapping, or tags no source.
    """
    if drop.sidecar is None:
        return DatasetConfig()
    where = store.uri(drop.sidecar)
    config = with_mapping(store, parse_yaml(DatasetConfig, read_written(store, drop.sidecar), where), where)
    names = [name_in_dataset(drop.dataset, source.key) for source in drop.sources]
    for pattern in config.tags:
        if not fnmatch.filter(names, pattern) and pattern not in names:
            raise InputError(f"{where}: tags names {pattern!r}, but the dataset has {', '.join(names[:5])}.")
    return config


def name_in_dataset(dataset: str, key: str) -> str:
    """Return the name of a source below its dataset's folder; of one beside it, that of its file.

    :param dataset: Dataset key.
    :param key: Key of the source.
    :return: The name, by which a sidecar names the source.
    """
    return key.removeprefix(INBOX).removeprefix(f"{dataset}/")


def _drop(store: ObjectStore, dataset: str, entries: Sequence[StoredObject]) -> Drop | None:
    sources = sorted(group_objects(entries).items())
    if not sources:
        return None
    sidecars = [entry for entry in entries if _is_sidecar(dataset, entry.key)]
    if len(sidecars) > 1:
        names = " and ".join(store.uri(entry.key) for entry in sidecars)
        raise InputError(f"the dataset {dataset!r} has two configurations, {names}; keep one.")
    described = [describe_source(store, key, members) for key, members in sources]
    parts = [*(entry for _, members in sources for entry in members), *sidecars]
    marks = [[source.key, source.size, source.generation] for source in described]
    marks += [[entry.key, entry.size, entry.generation] for entry in sidecars]
    return Drop(
        dataset,
        tuple(described),
        sidecars[0].key if sidecars else None,
        max(entry.modified for entry in parts),
        any(entry.key == f"{INBOX}{dataset}/{READY_MARKER}" for entry in entries),
        digest(marks),
    )


def _dataset(key: str) -> str | None:
    """Return the name of the dataset that an object of the inbox belongs to; ``None`` when it is of no interest."""
    name, _, below = key.removeprefix(INBOX).partition("/")
    if is_hidden(key):
        return None
    if below:
        return name.removesuffix(SourceKind.ZARR.value)
    path = PurePosixPath(name)
    if path.suffix in (".yaml", ".yml"):
        return path.stem
    return source_stem(name) if name.endswith(SINGLE_SUFFIXES) else None


def _address(key: str, name: str) -> str:
    """Return the key to name for an object that is not taken: its own, or that of the zarr store it is part of."""
    store = f"{INBOX}{name}{SourceKind.ZARR.value}"
    return store if key.startswith(f"{store}/") else key


def _is_sidecar(dataset: str, key: str) -> bool:
    names = [f"{INBOX}{place}{dataset}{suffix}" for place in ("", f"{dataset}/") for suffix in (".yaml", ".yml")]
    return key in names
