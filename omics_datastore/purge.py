"""Find and delete what nothing needs: superseded and retired ingests that no curriculum pins, and orphans.

Before anything is deleted it is looked at again, while nobody loads, retires or plans: these share a lock that a purge
has alone. So a load that begins later finds all or nothing of an ingest, and a plan that was begun has pinned what it
rests on. What is made without that lock, ingest files, is left alone for the grace period, as are datasets with a run
in flight. An ingest is hidden before its rows and files are deleted, so whatever is visible is whole; killed in
between, the rest is an orphan that the next purge finds. Sources in the inbox are never touched.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import polars as pl

from omics_datastore.curriculum.pins import pinned_ingests
from omics_datastore.errors import InputError
from omics_datastore.ingest.ingest_set import IngestSet
from omics_datastore.keys import parse_curriculum_partition, parse_ingest_id
from omics_datastore.storage.documents import read_document
from omics_datastore.storage.layout import (
    INGEST,
    LOAD_JOBS,
    PLOTS,
    TASKS,
    ingest_folder,
    ingest_manifest_key,
    ingest_set_key,
    plan_key,
)
from omics_datastore.storage.lock import WAREHOUSE, Lock, StillLockedError
from omics_datastore.storage.object_store import ObjectStore, StoredObject
from omics_datastore.warehouse.warehouse import Warehouse

Reason = Literal[
    "superseded", "retired", "uncommitted rows", "orphaned ingest files", "old task records", "plots of what is gone"
]
GRACE_SECONDS = 3600.0
WAIT_SECONDS = 60.0
TASK_RECORD_SECONDS = 14 * 86_400.0

_JOB_SECONDS = 24 * 3600.0
"""BigQuery ends a job after six hours; what a dead load noted of its jobs is of no use then."""


@dataclass(frozen=True)
class Leftover:
    """Something to delete: why, its name (an ingest id or a folder), its bytes (0 where nobody counts them)."""

    reason: Reason
    name: str
    size: int


def find_leftovers(
    store: ObjectStore,
    warehouse: Warehouse,
    *,
    grace_seconds: float = GRACE_SECONDS,
    busy_datasets: Collection[str] = (),
    now: float | None = None,
) -> list[Leftover]:
    """List what a purge would delete.

    :param store: Object store.
    :param warehouse: The warehouse.
    :param grace_seconds: Leave alone what changed within this time.
    :param busy_datasets: Leave alone what belongs to these datasets: they are being ingested.
    :param now: Seconds since 1970; by default by the store's clock, which dates what is in it.
    :return: What is not needed, by reason and name. An ingest stands in the list once.
    :raise CorruptionError: When a plan or release cannot be read, so that nobody knows what it pins.
    """
    limit = (store.now().timestamp() if now is None else now) - grace_seconds
    pins = pinned_ingests(store)
    ingests = warehouse.ingests()
    committed = set(ingests["ingest_id"].to_list())
    held = {item.ingest_id: item for item in warehouse.held_ingests()}
    files = {folder.ingest_id: folder for folder in _ingest_folders(store)}
    unneeded = _unneeded(ingests, pins, limit)
    found = [
        Leftover(reason, ingest_id, max(held[ingest_id].size if ingest_id in held else 0, _size(files, ingest_id)))
        for ingest_id, reason in unneeded.items()
    ]
    for ingest_id, item in held.items():
        # Where rows have no time, those of a dataset that waits for its load may be half of that load.
        waits = not item.changed and ingest_id in files and files[ingest_id].is_needed
        if ingest_id not in committed and item.changed <= limit and not waits:
            found.append(Leftover("uncommitted rows", ingest_id, item.size))
    for ingest_id, folder in files.items():
        if ingest_id not in committed and folder.changed <= limit and not folder.is_needed:
            found.append(Leftover("orphaned ingest files", ingest_id, folder.size))
    found = [item for item in found if parse_ingest_id(item.name)[0] not in busy_datasets]
    found += _old_task_records(store, limit + grace_seconds - TASK_RECORD_SECONDS)
    found += _lone_plots(store, limit)
    return sorted(found, key=lambda item: (item.reason, item.name))


def purge(
    leftovers: Sequence[Leftover],
    store: ObjectStore,
    warehouse: Warehouse,
    *,
    grace_seconds: float = GRACE_SECONDS,
    busy_datasets: Collection[str] = (),
    now: float | None = None,
    wait_seconds: float = WAIT_SECONDS,
) -> list[Leftover]:
    """Delete leftovers that still are some, while nobody loads, retires or plans.

    :param leftovers: What :func:`find_leftovers` gave.
    :param store: Object store.
    :param warehouse: The warehouse.
    :param grace_seconds: As it was found with.
    :param busy_datasets: Datasets that are being ingested now.
    :param now: As it was found with.
    :param wait_seconds: How long to wait for loads and plans that are under way; those that come later wait.
    :return: What was deleted; what was pinned, loaded or ingested again since is not.
    :raise InputError: When they do not end in that time; nothing is deleted then.
    """
    try:
        with store.lock(WAREHOUSE, wait_seconds=wait_seconds) as lock:
            return _purge_alone(leftovers, store, warehouse, grace_seconds, busy_datasets, now, lock)
    except StillLockedError:
        raise InputError(
            f"a dataset is being loaded or a curriculum planned, and was not done after {wait_seconds:g} seconds; "
            "nothing was deleted, purge again later."
        ) from None


def _purge_alone(
    leftovers: Sequence[Leftover],
    store: ObjectStore,
    warehouse: Warehouse,
    grace_seconds: float,
    busy_datasets: Collection[str],
    now: float | None,
    lock: Lock,
) -> list[Leftover]:
    sweep_scratch(store)
    _forget_jobs_of_dead_loads(store, store.now().timestamp() if now is None else now)
    again = find_leftovers(store, warehouse, grace_seconds=grace_seconds, busy_datasets=busy_datasets, now=now)
    chosen = [item for item in again if item.name in {other.name for other in leftovers}]
    hidden = [item.name for item in chosen if item.reason in ("superseded", "retired", "uncommitted rows")]
    for item in chosen:
        if item.reason in ("superseded", "retired"):
            _forget_ingest_set(store, item.name)
    lock.check()
    warehouse.purge(hidden)
    for item in chosen:
        if item.reason in ("old task records", "plots of what is gone"):
            store.delete_folder(item.name)
        elif item.reason != "uncommitted rows":
            _delete_ingest_files(store, item.name)
    return chosen


def sweep_scratch(store: ObjectStore) -> None:
    """Remove what processes of this machine that are dead had half made.

    :param store: Object store.
    """
    store.scratch_path("purge")  # who asks for the first one sweeps


def _forget_jobs_of_dead_loads(store: ObjectStore, now: float) -> None:
    for entry in list(store.entries(LOAD_JOBS, hidden=True)):
        if entry.modified < now - _JOB_SECONDS:
            store.delete(entry.key)


def delete_old_task_records(store: ObjectStore, limit: float) -> list[str]:
    """Delete what the tasks of runs were told and said, where nothing of it changed since a time.

    :param store: Object store.
    :param limit: Seconds since 1970.
    :return: The folders, one a run.
    """
    found = [item.name for item in _old_task_records(store, limit)]
    for name in found:
        store.delete_folder(name)
    return found


@dataclass(frozen=True)
class _Folder:
    ingest_id: str
    size: int
    changed: float
    is_needed: bool


def _unneeded(ingests: pl.DataFrame, pins: Collection[str], limit: float) -> dict[str, Reason]:
    moment = datetime.fromtimestamp(limit, UTC)
    later = pl.col("committed_at").shift(-1).over("dataset", "source_uri")
    since = pl.coalesce("retired_at", later)
    old = ingests.with_columns(since=since).filter(~pl.col("is_current") & (pl.col("since") <= moment))
    return {
        row["ingest_id"]: "superseded" if row["retired_at"] is None else "retired"
        for row in old.to_dicts()
        if row["ingest_id"] not in pins
    }


def _ingest_folders(store: ObjectStore) -> Iterator[_Folder]:
    for dataset in store.folders(INGEST):
        kept = _ingest_set_ids(store, dataset)
        for ingest_id in store.folders(f"{INGEST}{dataset}/"):
            entries = list(store.entries(ingest_folder(dataset, ingest_id)))
            if not entries or not ingest_id.startswith(f"{dataset}@"):
                continue
            whole = store.stat(ingest_manifest_key(dataset, ingest_id)) is not None
            changed = max(entry.modified for entry in entries)
            yield _Folder(ingest_id, _bytes(entries), changed, whole and ingest_id in kept)


def _ingest_set_ids(store: ObjectStore, dataset: str) -> set[str]:
    try:
        return set(read_document(store, ingest_set_key(dataset), IngestSet).ingest_ids)
    except FileNotFoundError:
        return set()


def _forget_ingest_set(store: ObjectStore, ingest_id: str) -> None:
    # The next pass over the dataset writes it again; a load in between must not ask for what is gone.
    dataset, _ = parse_ingest_id(ingest_id)
    if ingest_id in _ingest_set_ids(store, dataset):
        store.delete(ingest_set_key(dataset))


def _delete_ingest_files(store: ObjectStore, ingest_id: str) -> None:
    dataset, _ = parse_ingest_id(ingest_id)
    manifest = ingest_manifest_key(dataset, ingest_id)
    store.delete(manifest)  # without it the folder counts for nothing
    for entry in list(store.entries(ingest_folder(dataset, ingest_id))):
        store.delete(entry.key)


def _old_task_records(store: ObjectStore, limit: float) -> Iterator[Leftover]:
    for run in store.folders(TASKS):
        entries = list(store.entries(f"{TASKS}{run}/"))
        if entries and max(entry.modified for entry in entries) <= limit:
            yield Leftover("old task records", f"{TASKS}{run}/", _bytes(entries))


def _lone_plots(store: ObjectStore, limit: float) -> Iterator[Leftover]:
    """Find the plots of versions of curricula whose folders somebody deleted."""
    shards = f"{PLOTS}curriculum/extract/"
    for partition in store.folders(shards):
        entries = list(store.entries(f"{shards}{partition}/"))
        if not entries or max(entry.modified for entry in entries) > limit:
            continue
        with suppress(InputError):  # no folder of ours
            name, version = parse_curriculum_partition(partition)
            if store.stat(plan_key(name, version)) is not None:
                continue
            yield Leftover("plots of what is gone", f"{shards}{partition}/", _bytes(entries))


def _size(files: dict[str, _Folder], ingest_id: str) -> int:
    return files[ingest_id].size if ingest_id in files else 0


def _bytes(entries: Sequence[StoredObject]) -> int:
    return sum(entry.size for entry in entries)


def by_reason(leftovers: Sequence[Leftover]) -> list[dict[str, str | int]]:
    """Sum leftovers up.

    :param leftovers: What was found or deleted.
    :return: One row a reason with ``reason``, ``items`` and ``bytes``.
    """
    reasons = dict.fromkeys(item.reason for item in leftovers)
    return [
        {
            "reason": reason,
            "items": sum(item.reason == reason for item in leftovers),
            "bytes": sum(item.size for item in leftovers if item.reason == reason),
        }
        for reason in reasons
    ]
