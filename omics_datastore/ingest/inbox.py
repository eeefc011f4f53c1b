"""Datasets as they lie in the inbox: which source files and which sidecar belong to which dataset.

``inbox/<dataset>.h5ad`` and ``inbox/<dataset>/*.h5ad`` are source files of a dataset; ``<dataset>.yaml`` beside either
is its configuration. Nothing here opens a source file.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from omics_datastore.errors import InputError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.manifest import SourceFile
from omics_datastore.keys import KEY_PATTERN, check_key, digest, propose_key
from omics_datastore.storage.documents import parse_yaml
from omics_datastore.storage.layout import INBOX
from omics_datastore.storage.object_store import ObjectStore, StoredObject

SUFFIX = ".h5ad"
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
    :param entries: The listing.
    :return: The drops and the problems; a drop with a problem is left out.
    """
    members: dict[str, list[StoredObject]] = {}
    problems: list[str] = []
    for entry in entries:
        name, _, below = entry.key.removeprefix(INBOX).partition("/")
        if not below:
            path = PurePosixPath(name)
            if path.suffix not in (SUFFIX, ".yaml", ".yml"):
                continue
            name = path.stem
        if KEY_PATTERN.fullmatch(name):
            members.setdefault(name, []).append(entry)
        else:
            problems.append(
                f"{store.uri(entry.key)} is not taken: {name!r} is not a dataset name; "
                f"rename it, for example to {propose_key(name)!r}."
            )
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
    keys = [f"{INBOX}{dataset}{suffix}" for suffix in (SUFFIX, ".yaml", ".yml")]
    entries = [entry for key in keys if (entry := store.stat(key)) is not None]
    drop = _drop(store, dataset, [*entries, *store.entries(f"{INBOX}{dataset}/")])
    if drop is None:
        raise InputError(
            f"the inbox holds no source file of the dataset {dataset!r}; put {dataset}{SUFFIX} or "
            f"{dataset}/*{SUFFIX} into {store.uri(INBOX.rstrip('/'))}."
        )
    return drop


def read_config(store: ObjectStore, drop: Drop) -> DatasetConfig:
    """Read the configuration of a dataset.

    :param store: Object store.
    :param drop: The dataset.
    :return: What its sidecar says; the defaults when it has none.
    :raise InputError: When the sidecar cannot be read or has unknown keys.
    """
    if drop.sidecar is None:
        return DatasetConfig()
    return parse_yaml(DatasetConfig, store.read(drop.sidecar), store.uri(drop.sidecar))


def _drop(store: ObjectStore, dataset: str, entries: Sequence[StoredObject]) -> Drop | None:
    sources = sorted(
        (entry for entry in entries if _is_source(dataset, entry.key)),
        key=lambda entry: entry.key,
    )
    if not sources:
        return None
    sidecars = [entry for entry in entries if _is_sidecar(dataset, entry.key)]
    if len(sidecars) > 1:
        names = " and ".join(store.uri(entry.key) for entry in sidecars)
        raise InputError(f"the dataset {dataset!r} has two configurations, {names}; keep one.")
    parts = [*sources, *sidecars]
    return Drop(
        dataset,
        tuple(SourceFile(key=e.key, uri=store.uri(e.key), size=e.size, generation=e.generation) for e in sources),
        sidecars[0].key if sidecars else None,
        max(entry.modified for entry in parts),
        any(entry.key == f"{INBOX}{dataset}/{READY_MARKER}" for entry in entries),
        digest([[entry.key, entry.size, entry.generation] for entry in parts]),
    )


def _is_source(dataset: str, key: str) -> bool:
    path = key.removeprefix(INBOX)
    hidden = path.rpartition("/")[2].startswith(".")
    return path.endswith(SUFFIX) and not hidden and (path == f"{dataset}{SUFFIX}" or path.startswith(f"{dataset}/"))


def _is_sidecar(dataset: str, key: str) -> bool:
    names = [f"{INBOX}{place}{dataset}{suffix}" for place in ("", f"{dataset}/") for suffix in (".yaml", ".yml")]
    return key in names
