"""Plan one version of a curriculum: pin ingests, decide features and obs columns, give every cell its bin and place."""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import polars as pl

from omics_datastore.curriculum.bin_order import bins_in_order
from omics_datastore.curriculum.feature_schema import (
    COMPUTED,
    features_digest,
    load_feature_schema,
    register_feature_schema,
)
from omics_datastore.curriculum.features import CurriculumFeatures, curriculum_features
from omics_datastore.curriculum.obs_layout import ObsSource, decide_obs_layout, obs_sources, split_column
from omics_datastore.curriculum.plan_cells import BinCells, PlanFiles
from omics_datastore.curriculum.plan_model import (
    CellsLeftOut,
    CurriculumPlan,
    ObsColumn,
    PinnedIngest,
    PlannedBin,
    PlannedGroup,
    PlannedSplit,
)
from omics_datastore.curriculum.release_model import released_ingests, released_left_out, released_terms
from omics_datastore.curriculum.selection import Selection, cells_left_out, select
from omics_datastore.curriculum.shard_files import delete_shard, shard_sizes
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.splits import unknown_values
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.keys import make_curriculum_partition
from omics_datastore.query.ontology import OntologyTerms
from omics_datastore.storage.documents import read_document, write_document
from omics_datastore.storage.layout import (
    curriculum_folder,
    plan_cells_key,
    plan_features_key,
    plan_key,
    plan_measured_key,
    shard_file,
    shard_record_key,
)
from omics_datastore.storage.lock import WAREHOUSE, plan_lock
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.version import NEXUS_VERSION
from omics_datastore.warehouse.warehouse import Warehouse

_LARGEST_SHARD = 2**31 - 1
_GROUP_CELLS = 10_000
"""Cells of a group, about: enough to read row groups of the counts whole, few enough to spread over tasks evenly."""


def check_specification(specification: CurriculumSpecification, warehouse: Warehouse, store: ObjectStore) -> Selection:
    """Find what is wrong with a specification before anything is written.

    :param specification: The specification.
    :param warehouse: The warehouse.
    :param store: Object store of the feature schemas.
    :return: What it selects of the current ingests.
    :raise InputError: For an unknown column or feature schema, a condition that does not fit, or no cell.
    """
    obs_sources(specification)
    if specification.features not in COMPUTED:
        load_feature_schema(store, specification.features)
    return select(specification, warehouse)


def read_plan(store: ObjectStore, name: str, version: int) -> CurriculumPlan:
    """Read the plan of a version.

    :param store: Object store.
    :param name: Curriculum key.
    :param version: Version.
    :return: The plan.
    :raise FileNotFoundError: When it was not planned.
    :raise CorruptionError: When the document is not what was written.
    """
    return read_document(store, plan_key(name, version), CurriculumPlan)


def plan_curriculum(
    specification: CurriculumSpecification,
    version: int,
    warehouse: Warehouse,
    store: ObjectStore,
    *,
    bins_per_group: int,
) -> CurriculumPlan:
    """Plan a version, or return its plan: once made, it stays as it is whatever the warehouse holds later.

    Files of the plan that are gone or damaged are made again, from the ingests that were pinned.

    :param specification: The specification of the version.
    :param version: Version.
    :param warehouse: The warehouse.
    :param store: Object store.
    :param bins_per_group: Bins of a group at most; large bins make groups of one.
    :return: The plan.
    :raise InputError: When the specification cannot be planned (see :func:`check_specification`), or was planned
        otherwise under this version.
    """
    with store.lock(plan_lock(specification.name, version)):
        return _plan_alone(specification, version, warehouse, store, bins_per_group)


def _plan_alone(
    specification: CurriculumSpecification, version: int, warehouse: Warehouse, store: ObjectStore, bins_per_group: int
) -> CurriculumPlan:
    try:
        plan = read_plan(store, specification.name, version)
    except FileNotFoundError:
        return _plan_anew(specification, version, warehouse, store, bins_per_group)
    if plan.specification_digest != specification.digest():
        raise InputError(
            f"{make_curriculum_partition(plan.name, version)} was planned from another specification; "
            "build a new version."
        )
    if _whole(plan, store):
        return plan
    pinned = [ingest.ingest_id for ingest in plan.ingests]
    made = _make_plan(specification, version, pinned, plan.ontology, warehouse, store, bins_per_group)
    made.left_out_not_primary = plan.left_out_not_primary  # of ingests that may be gone
    _remove_leftovers(made, store)
    write_document(store, plan_key(made.name, version), made)
    return made


def _plan_anew(
    specification: CurriculumSpecification, version: int, warehouse: Warehouse, store: ObjectStore, bins_per_group: int
) -> CurriculumPlan:
    # From here to the plan, which pins them, nobody may purge the ingests that it rests on.
    with store.lock(WAREHOUSE, shared=True) as lock:
        pinned = released_ingests(store, specification.name, version)
        terms = released_terms(store, specification.name, version)
        made = _make_plan(specification, version, pinned, terms, warehouse, store, bins_per_group)
        if pinned is not None:
            made.left_out_not_primary = released_left_out(store, specification.name, version)
        _remove_leftovers(made, store)
        lock.check()
        write_document(store, plan_key(made.name, version), made, new=True)
    return made


def _make_plan(
    specification: CurriculumSpecification,
    version: int,
    pinned: list[str] | None,
    terms: OntologyTerms | None,
    warehouse: Warehouse,
    store: ObjectStore,
    bins_per_group: int,
) -> CurriculumPlan:
    sources = obs_sources(specification)
    if specification.features not in COMPUTED:
        register_feature_schema(store, load_feature_schema(store, specification.features))
    selection = select(specification, warehouse, pinned, terms)
    layout = decide_obs_layout(sources, selection.cells, warehouse, specification.category_limit)
    layout += split_column(specification)
    features = curriculum_features(specification.features, selection.contributing(), warehouse, store)
    files = PlanFiles(store, specification.name, version)
    groups: list[PlannedGroup] = []
    bins: list[PlannedBin] = []
    ordered = bins_in_order(specification, sources, selection, warehouse)
    size = max(1, min(bins_per_group, _GROUP_CELLS // specification.bin_size))
    for number, its_cells in enumerate(_batched(ordered, size)):
        group, its_bins = files.write_group(number, its_cells, specification.seed)
        groups.append(group)
        bins += its_bins
    _check_bins(specification, bins, selection.total_cells)
    ingests = _pinned(selection, features)
    return CurriculumPlan(
        name=specification.name,
        version=version,
        specification=specification.model_dump(mode="json"),
        specification_digest=specification.digest(),
        ingests=ingests,
        feature_schema=specification.features,
        feature_schema_digest=features.schema_digest,
        features_digest=features_digest(features.table),
        features_sha256=files.write_features(features.table),
        measured_sha256=files.write_measured([ingest for ingest in ingests if ingest.cells], features.measured),
        feature_count=features.table.height,
        obs_columns=layout,
        bin_size=specification.bin_size,
        total_cells=selection.total_cells,
        bins=bins,
        groups=groups,
        warnings=[
            *_warnings(sources, layout, features),
            *unknown_values(specification, selection.splits),
            *_unequal(specification, bins),
        ],
        ontology=selection.terms,
        left_out_not_primary=cells_left_out(specification, warehouse, selection) if pinned is None else 0,
        left_out_by_caps=tuple(CellsLeftOut(by=str(cap.cap), cells=cap.left_out) for cap in selection.caps),
        splits=_planned_splits(selection, bins),
        nexus_version=NEXUS_VERSION,
    )


def _batched(bins: Iterator[BinCells], size: int) -> Iterator[list[BinCells]]:
    """Give lists of a number of bins, but for the last."""
    while held := list(islice(bins, size)):
        yield held


def _check_bins(specification: CurriculumSpecification, bins: list[PlannedBin], total: int) -> None:
    if sum(item.cells for item in bins) != total:
        raise CorruptionError(f"the cells of curriculum {specification.name} changed while it was planned; run again.")
    largest = max(bins, key=lambda item: item.counts)
    if largest.counts > _LARGEST_SHARD:
        fits = specification.bin_size * _LARGEST_SHARD // largest.counts
        raise InputError(
            f"bin_size {specification.bin_size} puts {largest.counts} counts into one shard, whose int32 indices hold "
            f"{_LARGEST_SHARD}; use at most {fits}."
        )


def _pinned(selection: Selection, features: CurriculumFeatures) -> list[PinnedIngest]:
    return [
        PinnedIngest(
            ingest_id=row["ingest_id"],
            dataset=row["dataset"],
            source_uri=row["source_uri"],
            source_sha256=row["source_sha256"],
            cells=row["cells"],
            features_measured=int(features.measured[row["ingest_id"]].sum()) if row["cells"] else 0,
            citation=_citation(row["uns"]),
        )
        for row in selection.ingests.iter_rows(named=True)
    ]


def _planned_splits(selection: Selection, bins: list[PlannedBin]) -> tuple[PlannedSplit, ...]:
    counts = Counter(item.split for item in bins)
    return tuple(
        PlannedSplit(
            name=str(part.name),
            cells=part.total_cells,
            bins=counts[part.name],
            values=None if part.values is None else list(part.values),
        )
        for part in selection.splits
    )


def _citation(uns: str | None) -> str | None:
    kept: Any = json.loads(uns) if uns else None
    citation = kept.get("citation") if isinstance(kept, dict) else None
    return citation if isinstance(citation, str) else None


def _warnings(sources: list[ObsSource], layout: list[ObsColumn], features: CurriculumFeatures) -> list[str]:
    found = [
        f"obs column {column.name} ({source.column}) is null in every selected cell"
        for source, column in zip(sources, layout[: len(sources)], strict=True)
        if column.kind == "category" and not column.categories
    ]
    unmeasured = features.table.filter(pl.col("sources_measured") == 0).height
    if unmeasured:
        found.append(f"{unmeasured} of {features.table.height} features were measured by no selected ingest")
    return found


def _unequal(specification: CurriculumSpecification, bins: list[PlannedBin]) -> list[str]:
    short = sum(item.cells < specification.bin_size for item in bins[:-1])
    of = "splits" if not specification.group_by else "groups in their splits" if specification.split else "groups"
    warning = (
        f"{short} bins before the last have fewer than {specification.bin_size} cells, being the last of their {of}: "
        "readers must be given limits, as the loaders of this release do, not one shard size"
    )
    return [warning] if short else []


def _whole(plan: CurriculumPlan, store: ObjectStore) -> bool:
    files = {plan_features_key(plan.name, plan.version): plan.features_sha256}
    if plan.measured_sha256 is not None:
        files[plan_measured_key(plan.name, plan.version)] = plan.measured_sha256
    files |= {group.key: group.sha256 for group in plan.groups}
    return all(store.stat(key) is not None and store.sha256(key) == sha256 for key, sha256 in files.items())


def _remove_leftovers(plan: CurriculumPlan, store: ObjectStore) -> None:
    """Remove what an earlier plan of this version left that was never finished, or was deleted."""
    name, version = plan.name, plan.version
    folder = curriculum_folder(name, version)
    planned = {plan_key(name, version), plan_features_key(name, version), plan_measured_key(name, version)}
    planned.update(plan_cells_key(name, version, group.group) for group in plan.groups)
    shards = {shard_file(item.bin, plan.file_format) for item in plan.bins}
    planned.update(shard_record_key(name, version, item.bin) for item in plan.bins)
    for entry in list(store.entries(f"{folder}plan/")):
        if entry.key not in planned:
            store.delete(entry.key)
    for file in shard_sizes(store, folder).keys() - shards:
        delete_shard(store, f"{folder}{file}")
