"""The history of runs in the Dagster instance: what may be forgotten, so that databases and logs stay bounded.

A run is forgotten with its events and its logs. Those stay by which something is known that is there: whoever made
the latest materialization of an asset's partition, the newest run of a job for a partition, and what a run that has
not ended repeats. A version of a curriculum that somebody deleted is not there.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from nexus_assets.partitions import CURRICULA
from nexus_assets.policy import PARTITION
from nexus_assets.run_lookup import latest_run, unfinished_runs
from omics_datastore.keys import parse_curriculum_partition
from omics_datastore.storage.object_store import ObjectStore

_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
_AT_ONCE = 500
MOST_RUNS = 5000
"""Runs that one call forgets at most; the rest follow on the next."""


def forget_old_runs(
    instance: dg.DagsterInstance, keep_days: float, *, gone: Collection[str] = (), dry_run: bool = False
) -> list[str]:
    """Forget runs that ended long ago and by which nothing is known that is there.

    Killed in between and called again, it ends the same: a run is known until all else of it is gone.

    :param instance: Dagster instance.
    :param keep_days: Keep runs that changed within so many days.
    :param gone: Partitions of which nothing is there any more; see :func:`gone_versions`.
    :param dry_run: List only.
    :return: Ids of the runs, the oldest first.
    """
    limit = datetime.now(UTC) - timedelta(days=keep_days)
    old = dg.RunsFilter(statuses=_ENDED, updated_before=limit)
    runs = [record.dagster_run for record in instance.get_run_records(old, ascending=True, limit=MOST_RUNS)]
    if not runs:
        return []
    kept = {run.root_run_id or run.run_id for run in unfinished_runs(instance)} | set(_latest_makers(instance, gone))
    forgotten = [run.run_id for run in runs if run.run_id not in kept and not _is_newest(instance, run, gone)]
    if not dry_run:
        for run_id in forgotten:
            _forget(instance, run_id)
    return forgotten


def gone_versions(instance: dg.DagsterInstance, store: ObjectStore) -> set[str]:
    """Find the partitions of versions of curricula whose folders somebody deleted.

    :param instance: Dagster instance.
    :param store: Object store.
    :return: Partition keys.
    """
    from omics_datastore.curriculum.versions import versions_of

    known = {key: parse_curriculum_partition(key) for key in instance.get_dynamic_partitions(str(CURRICULA.name))}
    there = {name: set(versions_of(store, name)) for name in {name for name, _ in known.values()}}
    return {key for key, (name, version) in known.items() if version not in there[name]}


def _latest_makers(instance: dg.DagsterInstance, gone: Collection[str]) -> Iterator[str]:
    """Give the ids of the runs that made the latest materialization of each partition, or of an asset without."""
    for asset in instance.get_asset_keys():
        latest = instance.event_log_storage.get_latest_storage_id_by_partition(
            asset, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        event = instance.get_latest_materialization_event(asset)
        if event is not None and not latest:
            yield event.run_id
        ids = sorted(number for partition, number in latest.items() if partition not in gone)
        for start in range(0, len(ids), _AT_ONCE):
            chosen = dg.AssetRecordsFilter(asset, storage_ids=ids[start : start + _AT_ONCE])
            yield from (record.run_id for record in instance.fetch_materializations(chosen, _AT_ONCE).records)


def _is_newest(instance: dg.DagsterInstance, run: dg.DagsterRun, gone: Collection[str]) -> bool:
    partition = run.tags.get(PARTITION)
    newest = None if partition is None or partition in gone else latest_run(instance, run.job_name, partition)
    return newest is not None and newest.run_id == run.run_id


def _forget(instance: dg.DagsterInstance, run_id: str) -> None:
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    instance.event_log_storage.delete_events(run_id)
    place = getattr(instance.event_log_storage, "path_for_shard", None)
    if place is not None:  # SQLite has a file for each run, and keeps it
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{place(run_id)}{suffix}").unlink(missing_ok=True)
    folder = Path(instance.root_directory) / "storage" / run_id
    with suppress(OSError):  # there is none, or something else lies in it
        folder.rmdir()
    instance.run_storage.delete_run(run_id)
