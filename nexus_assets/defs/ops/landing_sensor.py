"""The sensor over the folders that people drop into: datasets, feature schemas, curricula."""

import time

import dagster as dg

from nexus_assets.defs.ingest.assets import SOURCE_FILES
from nexus_assets.defs.ops.jobs import build_curriculum, ingest_dataset, register_feature_schema, validate_dataset
from nexus_assets.landing import Landed, LandingCursor, Landings, find_landings
from nexus_assets.lost_runs import end_lost_runs
from nexus_assets.partitions import CURRICULA, DATASETS, FEATURE_SCHEMAS
from nexus_assets.policy import DROP, REQUESTED_BY
from nexus_assets.report_metadata import table
from nexus_assets.run_lookup import latest_run, unfinished_run
from nexus_resources.settings import read_settings
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.errors import NexusError
from omics_datastore.ingest.inbox import Drop
from omics_datastore.keys import make_curriculum_partition

LISTING_SECONDS = 40.0
"""How long a tick may list; Dagster ends it after 60 seconds."""
MAX_RUNS = 50
"""Runs that one tick starts at most; the rest follow on the next ticks."""

_SENSOR = "landing_sensor"
_LOST = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
"""How a run ended that did not do what it was started for."""


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
    jobs=[ingest_dataset, register_feature_schema, build_curriculum],
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
    cursor = LandingCursor.parse(context.cursor)
    landings = find_landings(objects, cursor, time.time(), read_settings().quiet_seconds, seconds=LISTING_SECONDS)
    taken = _Taken(context.instance, cursor.ticks)
    for drop in landings.datasets[:MAX_RUNS]:
        if taken.dataset(drop):
            cursor.datasets[drop.dataset] = drop.digest
    for schema in landings.feature_schemas[: MAX_RUNS - len(taken.runs)]:
        taken.feature_schema(schema)
        cursor.feature_schemas[schema.name] = schema.digest
    if landings.curricula and (busy := _reason_to_wait(context.instance, landings)):
        taken.notes.append(f"curricula wait: {busy}")
    else:
        for landed in landings.curricula[: MAX_RUNS - len(taken.runs)]:
            try:
                if taken.curriculum(landed, store, warehouse):
                    cursor.curricula[landed.name] = landed.digest
            except NexusError as error:
                landings.problems.append(str(error))
    for problem in landings.problems:
        context.log.warning(problem)
    cursor.ticks += bool(taken.runs)
    return taken.result(cursor, landings)


class _Taken:
    """The runs, partitions and events of one tick."""

    def __init__(self, instance: dg.DagsterInstance, tick: int) -> None:
        self._instance = instance
        self._tick = tick
        self.runs: list[dg.RunRequest] = []
        self.notes: list[str] = []
        self._partitions: dict[str, set[str]] = {}
        self._events: list[dg.AssetMaterialization] = []

    def dataset(self, drop: Drop) -> bool:
        """Start the ingest of a dataset, unless the command line has it in hand or has done it.

        :return: Whether nothing is left to do; a drop that is only being checked may stay or go.
        """
        latest = latest_run(self._instance, ingest_dataset.name, drop.dataset)
        if latest is not None and latest.tags.get(DROP) == drop.digest and latest.status not in _LOST:
            self.notes.append(f"{drop.dataset} is ingested by run {latest.run_id}")
            return True
        if unfinished_run(self._instance, validate_dataset.name, drop.dataset) is not None:
            self.notes.append(f"{drop.dataset} is being checked")
            return False
        self._events.append(observed_source_files(drop))
        self._add(DATASETS, drop.dataset, ingest_dataset.name, drop.digest)
        return True

    def feature_schema(self, landed: Landed) -> None:
        """Start the check of a feature schema."""
        self._add(FEATURE_SCHEMAS, landed.name, register_feature_schema.name, landed.digest)

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
        self._add(CURRICULA, partition, build_curriculum.name, landed.digest)
        return True

    def result(self, cursor: LandingCursor, landings: Landings) -> dg.SensorResult:
        """Return what Dagster is told."""
        if landings.settling:
            self.notes.append(f"still being written: {', '.join(landings.settling)}")
        notes = [*self.notes, *landings.problems]
        return dg.SensorResult(
            run_requests=self.runs or None,
            skip_reason=None
            if self.runs
            else "; ".join(notes) or "nothing new in inbox, feature_schemas and curricula",
            cursor=cursor.format(),
            dynamic_partitions_requests=[
                dg.AddDynamicPartitionsRequest(name, sorted(keys)) for name, keys in self._partitions.items()
            ],
            asset_events=self._events,
        )

    def _add(self, partitions: dg.DynamicPartitionsDefinition, key: str, job: str, mark: str) -> None:
        self._partitions.setdefault(str(partitions.name), set()).add(key)
        self.runs.append(
            dg.RunRequest(
                # The same key when a tick is repeated after a crash, another one when the same lands a second time.
                run_key=f"{job}:{key}:{mark[:16]}:{self._tick}",
                job_name=job,
                partition_key=key,
                tags={DROP: mark, REQUESTED_BY: _SENSOR},
            )
        )


def _reason_to_wait(instance: dg.DagsterInstance, landings: Landings) -> str:
    if landings.datasets or landings.settling:
        return "datasets are landing"
    return "an ingest is running" if unfinished_run(instance, ingest_dataset.name) is not None else ""
