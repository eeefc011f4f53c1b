"""The sensor over the folders that people drop into: datasets, feature schemas, curricula."""

import time
from collections.abc import Sequence

import dagster as dg

from nexus_assets.batches import batch_name, batch_tags, divide
from nexus_assets.defs.ingest.assets import SOURCE_FILES
from nexus_assets.defs.ops.jobs import build_curriculum, ingest_dataset, refresh_snapshot, register_feature_schema
from nexus_assets.defs.warehouse.snapshot import SNAPSHOT
from nexus_assets.defs.warehouse.tables import TABLE_KEYS
from nexus_assets.landing import Landed, Landings, find_landings
from nexus_assets.landing_state import read_state, write_state
from nexus_assets.lost_runs import end_lost_runs
from nexus_assets.partitions import CURRICULA, DATASETS, FEATURE_SCHEMAS
from nexus_assets.policy import DROP, REQUESTED_BY
from nexus_assets.report_metadata import table
from nexus_assets.run_lookup import committed_versions, runs_by_dataset, unfinished_run
from nexus_resources.settings import read_settings
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.errors import NexusError
from omics_datastore.ingest.inbox import Drop
from omics_datastore.keys import digest, make_curriculum_partition

LISTING_SECONDS = 40.0
"""How long a tick may list; Dagster ends it after 60 seconds."""
MAX_RUNS = 50
"""Runs that one tick starts at most; the rest follow on the next ticks."""
MAX_DATASETS = 1_000
"""Datasets that one tick takes at most: each is an event, of which Dagster keeps about a hundred a second."""

_SENSOR = "landing_sensor"
_NAMED = 10
"""Names of a long list that are said."""


def observed_source_files(drop: Drop) -> dg.AssetMaterialization:
    """Report the source files of a dataset as they lie in the inbox.

    :param drop: The dataset.
    :return: The event for ``ingest/source_files``.
    """
    rows = [{"file": s.key, "bytes": s.size, "generation": s.generation, "uri": s.uri} for s in drop.sources]
    return dg.AssetMaterialization(
        dg.AssetKey(SOURCE_FILES),
        partition=drop.dataset,
        metadata={
            "source_files": len(drop.sources),
            "bytes": sum(source.size for source in drop.sources),
            "configuration": drop.sidecar or "none",
            "files": table(rows),
        },
        tags={"dagster/data_version": drop.digest[:16]},
    )


@dg.sensor(
    name=_SENSOR,
    jobs=[ingest_dataset, register_feature_schema, refresh_snapshot, build_curriculum],
    minimum_interval_seconds=30 if read_settings().is_gcp else 5,  # three listings of a bucket a tick are billed
    default_status=(
        dg.DefaultSensorStatus.RUNNING if read_settings().sensors == "on" else dg.DefaultSensorStatus.STOPPED
    ),
    description="Start a run for what was dropped into inbox/, feature_schemas/ and curricula/.",
)
def landing_sensor(
    context: dg.SensorEvaluationContext, store: StoreResource, warehouse: WarehouseResource
) -> dg.SensorResult:
    """Take what landed since the last tick."""
    for run_id in end_lost_runs(context.instance):
        context.log.warning(f"Run {run_id} was ended: the process that executed it is gone.")
    objects = store.open()
    cursor = read_state(context.instance, context.cursor)
    landings = find_landings(objects, cursor, time.time(), read_settings().quiet_seconds, seconds=LISTING_SECONDS)
    taken = _Taken(context.instance, cursor.ticks)
    cursor.datasets.update(taken.datasets(landings.datasets))
    for schema in landings.feature_schemas[: MAX_RUNS - len(taken.runs)]:
        taken.feature_schema(schema)
        cursor.feature_schemas[schema.name] = schema.digest
    waits = taken.reason_to_wait(landings)
    if not waits:
        taken.snapshot()
    if landings.curricula and waits:
        taken.notes.append(f"curricula wait: {waits}")
    else:
        for landed in landings.curricula[: MAX_RUNS - len(taken.runs)]:
            try:
                if taken.curriculum(landed, store, warehouse):
                    cursor.curricula[landed.name] = landed.digest
            except NexusError as error:
                landings.problems.append(str(error))
    for problem in landings.problems[:_NAMED]:
        context.log.warning(problem)
    cursor.ticks += bool(taken.runs)
    return taken.result(write_state(context.instance, context.cursor, cursor), landings)


class _Taken:
    """The runs, partitions and events of one tick."""

    def __init__(self, instance: dg.DagsterInstance, tick: int) -> None:
        self._instance = instance
        self._tick = tick
        self._reading = runs_by_dataset(instance)
        self.runs: list[dg.RunRequest] = []
        self.notes: list[str] = []
        self._partitions: dict[str, set[str]] = {}
        self._events: list[dg.AssetMaterialization] = []

    def datasets(self, drops: Sequence[Drop]) -> dict[str, str]:
        """Start the ingest of datasets, many in one run, but for those that a run has in hand or that are done.

        :param drops: What landed.
        :return: Digests of the drops with which nothing is left to do, by dataset.
        """
        if not drops:
            return {}
        known = self._instance.get_dynamic_partitions(str(DATASETS.name))
        done = committed_versions(self._instance) if known else {}
        asked: dict[str, Drop] = {}
        settled: dict[str, str] = {}
        for drop in drops:
            if drop.dataset in self._reading:
                run = self._reading[drop.dataset]
                doing = "ingested" if run.job_name == ingest_dataset.name else "checked"
                self.notes.append(f"{drop.dataset} is being {doing} by run {run.run_id}")
            elif done.get(drop.dataset) == drop.digest[:16]:
                self.notes.append(f"{drop.dataset} is in the warehouse")
                settled[drop.dataset] = drop.digest
            elif len(asked) < MAX_DATASETS:
                asked[drop.dataset] = drop
        sizes = {name: sum(source.size for source in drop.sources) for name, drop in asked.items()}
        for batch in divide(known, sizes)[:MAX_RUNS]:
            chosen = [asked[name] for name in batch]
            self._events += [observed_source_files(drop) for drop in chosen]
            settled |= {drop.dataset: drop.digest for drop in chosen}
            mark = chosen[0].digest if len(batch) == 1 else digest([drop.digest for drop in chosen])
            self._add(DATASETS, batch, ingest_dataset.name, mark)
        return settled

    def snapshot(self) -> None:
        """Start a snapshot when datasets were loaded since the last: a run of which some datasets failed made none."""
        loaded = self._instance.get_latest_materialization_event(dg.AssetKey(TABLE_KEYS[-1]))
        summed = self._instance.get_latest_materialization_event(dg.AssetKey(SNAPSHOT))
        if loaded is None or (summed is not None and summed.timestamp >= loaded.timestamp):
            return
        tags = {REQUESTED_BY: _SENSOR, DROP: digest([loaded.run_id, loaded.timestamp])}
        made = self._instance.get_runs(dg.RunsFilter(job_name=refresh_snapshot.name, tags=tags), limit=1)
        if made:
            self.notes.append(f"the snapshot is made by run {made[0].run_id}, which is {made[0].status.value.lower()}")
        else:
            key = f"{refresh_snapshot.name}:{tags[DROP]}"
            self.runs.append(dg.RunRequest(run_key=key, job_name=refresh_snapshot.name, tags=tags))

    def reason_to_wait(self, landings: Landings) -> str:
        """Say why what is made of all datasets waits; empty when it need not."""
        if landings.datasets or landings.settling:
            return "datasets are landing"
        return "an ingest is running" if self._reading else ""

    def feature_schema(self, landed: Landed) -> None:
        """Start the check of a feature schema."""
        self._add(FEATURE_SCHEMAS, [landed.name], register_feature_schema.name, landed.digest)

    def curriculum(self, landed: Landed, store: StoreResource, warehouse: WarehouseResource) -> bool:
        """Start the build of a curriculum, unless its newest version is what the specification asks for.

        :return: Whether nothing is left to do; a version that another run builds may yet fail.
        """
        from omics_datastore.curriculum.versions import read_dropped_specification, resolve_version

        objects = store.open()
        specification = read_dropped_specification(objects, landed.name)
        version, state = resolve_version(specification, warehouse.open(), objects)
        partition = make_curriculum_partition(specification.name, version)
        if state == "complete":
            self.notes.append(f"{partition} is complete")
            return True
        building = unfinished_run(self._instance, build_curriculum.name, partition)
        if building is not None:
            self.notes.append(f"{partition} is being built by run {building.run_id}")
            return False
        self._add(CURRICULA, [partition], build_curriculum.name, landed.digest)
        return True

    def result(self, cursor: str, landings: Landings) -> dg.SensorResult:
        """Return what Dagster is told."""
        if landings.settling:
            self.notes.append(f"still being written: {_some(landings.settling, ', ')}")
        notes = [_some(part, "; ") for part in (self.notes, landings.problems) if part]
        return dg.SensorResult(
            run_requests=self.runs or None,
            skip_reason=None
            if self.runs
            else "; ".join(notes) or "nothing new in inbox, feature_schemas and curricula",
            cursor=cursor,
            dynamic_partitions_requests=[
                dg.AddDynamicPartitionsRequest(name, sorted(keys)) for name, keys in self._partitions.items()
            ],
            asset_events=self._events,
        )

    def _add(self, partitions: dg.DynamicPartitionsDefinition, keys: Sequence[str], job: str, mark: str) -> None:
        self._partitions.setdefault(str(partitions.name), set()).update(keys)
        self.runs.append(
            dg.RunRequest(
                # The same key when a tick is repeated after a crash, another one when the same lands a second time.
                run_key=f"{job}:{batch_name(keys)}:{mark[:16]}:{self._tick}",
                job_name=job,
                partition_key=keys[0] if len(keys) == 1 else None,
                tags={DROP: mark, REQUESTED_BY: _SENSOR, **batch_tags(keys)},
            )
        )


def _some(texts: Sequence[str], between: str) -> str:
    """Join the first texts of a list that may be long."""
    more = f" and {len(texts) - _NAMED:,} more" if len(texts) > _NAMED else ""
    return f"{between.join(texts[:_NAMED])}{more}"
