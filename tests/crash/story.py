"""What is killed: the operations of a small warehouse's life, by the functions that assets and components call.

Each is given a place, makes everything anew in it as a new process would, and ends in the same bytes whenever it runs.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from kfp_components.configurations import DatasetSources
from kfp_components.tasks.curriculum import extract_job, mark_curriculum_as_finished_job
from kfp_components.tasks.ingest_files import create_ingest_files_job
from nexus_resources.pipelines.job import JobIdentity
from nexus_resources.pipelines.requests import RequestWriter, Spread, ingest_reports
from omics_datastore.curriculum.plan import plan_curriculum
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.versions import drop_specification, load_specification, resolve_version
from omics_datastore.ingest.inbox import read_config, read_drop
from omics_datastore.ingest.ingest_set import read_ingest_set, write_ingest_set
from omics_datastore.ingest.report_table import write_report_csv
from omics_datastore.ingest.validation_report import ValidationReport, write_validation_report
from omics_datastore.purge import find_leftovers, purge
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.parquet_layout import layout_for
from tests.crash.places import Place
from tests.omics_datastore.curriculum.curriculum_world import gene, make_source

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
LATER = time.time() + 30 * 86_400
"""A time at which everything that was left is old enough to be purged."""

_SPECIFICATIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "scattered": {
        "order": "exact",
        "seed": 1,
        "output": {"format": "zarr"},
        "split": {"by": "donor_id", "train": 0.5, "validation": 0.5},
    },
}
_CELLS_OF_A_BIN = {"plain": 12, "scattered": 20}


@dataclass(frozen=True)
class Operation:
    """One operation.

    :param name: What it is.
    :param run: Does it.
    :param prepare: What happens before it, undisturbed.
    :param abandoned: What must be left when it was killed and is never run again, but a purge is: the state before it
        or that after it; or anything that ``nexus curriculum list`` shows as unfinished.
    :param loads: Whether it, or a purge after it, changes what the warehouse holds.
    """

    name: str
    run: Callable[[Place], None]
    prepare: Callable[[Place], None] | None = None
    abandoned: Literal["before or after", "unfinished"] = "before or after"
    loads: bool = False


def _drop(place: Place, key: str, genes: list[str], seed: int) -> None:
    store = place.store()
    path = store.scratch_path("source")
    path.parent.mkdir(parents=True, exist_ok=True)
    make_source(genes, 20, seed).write_h5ad(path)
    store.put(path, f"inbox/{key}.h5ad")


def _drop_sources(place: Place) -> None:
    _drop(place, "lung/a", gene(1, 2, 3, 4), 1)
    _drop(place, "lung/b", gene(2, 3, 4, 5), 2)


def _requests(store: ObjectStore, step: str, partition: str) -> RequestWriter:
    return RequestWriter(store, JobIdentity("run-1", step, partition), Spread(1, 1, 2**26), {})


def ingest(dataset: str) -> Callable[[Place], None]:
    """Make the ingest files of a dataset, as the asset and its component do."""

    def run(place: Place) -> None:
        store = place.store()
        drop = read_drop(store, dataset)
        layout = layout_for(place.warehouse().uri)
        job = _requests(store, "ingest", dataset).ingest(
            [DatasetSources(dataset=dataset, sources=drop.sources, config=read_config(store, drop))],
            validate_only=False,
            parquet=layout,
        )
        for key in job.parameters["create_config_keys"]:
            create_ingest_files_job(store.root, key)
        report = ValidationReport(dataset=dataset, drop_digest=drop.digest, files=ingest_reports(job))
        write_validation_report(store, report)
        write_report_csv(store, report)
        write_ingest_set(store, dataset, drop.digest, report.files)

    return run


def load(dataset: str, hours: int) -> Callable[[Place], None]:
    """Load and commit the ingests of a dataset."""

    def run(place: Place) -> None:
        place.warehouse().load(read_ingest_set(place.store(), dataset), NOON + timedelta(hours=hours))

    return run


def plan(name: str) -> Callable[[Place], None]:
    """Find the version of a curriculum and plan it."""

    def run(place: Place) -> None:
        store, warehouse = place.store(), place.warehouse()
        content = {"name": name, "bin_size": _CELLS_OF_A_BIN[name], "obs_columns": ["cell_type", "donor_id"]}
        specification = CurriculumSpecification.model_validate({**content, **_SPECIFICATIONS[name]})
        drop_specification(store, specification)
        version, _ = resolve_version(specification, warehouse, store)
        plan_curriculum(load_specification(store, name, version), version, warehouse, store, bins_per_group=2)

    return run


def extract(name: str) -> Callable[[Place], None]:
    """Write the shards of a planned version, by the component."""

    def run(place: Place) -> None:
        store, warehouse = place.store(), place.warehouse()
        groups = list(range(2))
        job = _requests(store, "extract", f"{name}.v1").extract(warehouse.uri, name, 1, groups)
        for key in job.parameters["extract_config_keys"]:
            extract_job(store.root, key)

    return run


def release(name: str) -> Callable[[Place], None]:
    """Release a version, by the component."""

    def run(place: Place) -> None:
        store = place.store()
        job = _requests(store, "release", f"{name}.v1").finish(name, 1)
        mark_curriculum_as_finished_job(store.root, job.parameters["finish_config_key"])

    return run


def in_turn(*steps: Callable[[Place], None]) -> Callable[[Place], None]:
    """Return an operation that does some others, one after the other."""

    def run(place: Place) -> None:
        for step in steps:
            step(place)

    return run


def retire(place: Place) -> None:
    """Retire a dataset."""
    place.warehouse().retire(["heart"], NOON + timedelta(hours=9))


def purge_all(place: Place) -> None:
    """Delete what nothing needs and is old."""
    store, warehouse = place.store(), place.warehouse()
    found = find_leftovers(store, warehouse, now=LATER)
    purge(found, store, warehouse, now=LATER)


def _change_source(place: Place) -> None:
    _drop(place, "heart", gene(1, 7), 4)
    in_turn(ingest("heart"), load("heart", 1))(place)
    _drop(place, "lung/a", gene(1, 2, 3, 4), 5)


def _delete_curricula(place: Place) -> None:
    store = place.store()
    store.write("plots/curriculum/extract/plain.v1/sizes.png", b"a plot")
    store.delete_folder("extracts/")


STORY = (
    Operation("ingest", ingest("lung"), _drop_sources),
    Operation("load and commit", load("lung", 0), loads=True),
    Operation("plan", plan("plain"), abandoned="unfinished"),
    Operation("extract", extract("plain"), abandoned="unfinished"),
    Operation("release", release("plain"), abandoned="unfinished"),
    Operation(
        "plan, extract, release (exact, zarr, split)",
        in_turn(plan("scattered"), extract("scattered"), release("scattered")),
        abandoned="unfinished",
    ),
    Operation("replace: ingest", ingest("lung"), _change_source),
    Operation("replace: load and commit", load("lung", 2), loads=True),
    Operation("retire", retire, loads=True),
    Operation("purge", purge_all, _delete_curricula, loads=True),
)
