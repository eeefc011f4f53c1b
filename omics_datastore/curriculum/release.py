"""Release a curriculum: check that it is whole, write its tables and metadata, and last the release itself."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any

import polars as pl

from omics_datastore.curriculum.extract import planned_digests, read_shard_record
from omics_datastore.curriculum.loaders import loader_snippets
from omics_datastore.curriculum.plan import read_plan
from omics_datastore.curriculum.plan_cells import read_features, read_measured
from omics_datastore.curriculum.plan_model import CurriculumPlan, PlannedSplit, ShardRecord
from omics_datastore.curriculum.release_model import (
    CurriculumRelease,
    ExtractMetadata,
    ReleasedShard,
    ReleasedSplit,
    read_release,
)
from omics_datastore.curriculum.released_files import read_released
from omics_datastore.curriculum.shard_files import shard_sizes
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.zarr_shard import collection_metadata
from omics_datastore.errors import CorruptionError
from omics_datastore.keys import make_curriculum_partition
from omics_datastore.query.filters import CellFilter, Condition
from omics_datastore.storage.documents import write_document
from omics_datastore.storage.layout import (
    GENES,
    collection_key,
    curriculum_folder,
    extract_metadata_key,
    genes_key,
    measured_genes_key,
    release_key,
    shard_file,
    shard_name,
    split_metadata_key,
)
from omics_datastore.storage.object_store import ObjectStore

_SHARD = re.compile(r"extract_\d+\.h5ad|dataset_\d+")


def release_curriculum(
    name: str,
    version: int,
    store: ObjectStore,
    *,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> CurriculumRelease:
    """Check the shards of a version and release it; releasing again gives the same bytes.

    :param name: Curriculum key.
    :param version: Version.
    :param store: Object store.
    :param workers: Threads that check shards.
    :param on_progress: Called with the cells checked and the cells in all.
    :return: The release.
    :raise FileNotFoundError: When the version was not planned.
    :raise CorruptionError: When a shard is missing, not as planned, or not of the plan.
    """
    plan = read_plan(store, name, version)
    records = _checked_records(plan, store, workers, on_progress)
    features = read_features(store, plan)
    genes = features.write_csv().encode()
    metadata = _json(extract_metadata(plan).model_dump(mode="json"))
    measured = read_measured(store, plan)
    store.write(genes_key(name, version), genes)
    if measured is not None:
        store.write(measured_genes_key(name, version), measured)
    store.write(extract_metadata_key(name, version), metadata)
    splits = [_release_split(plan, split, store) for split in plan.splits]
    release = _release(plan, records, hashlib.sha256(genes).hexdigest(), hashlib.sha256(metadata).hexdigest(), splits)
    if plan.file_format == "zarr":
        store.write(collection_key(name, version), collection_metadata())
    write_document(store, release_key(name, version), release)
    return release


def _release_split(plan: CurriculumPlan, split: PlannedSplit, store: ObjectStore) -> ReleasedSplit:
    key = split_metadata_key(plan.name, plan.version, split.name)
    metadata = _json(extract_metadata(plan, split.name).model_dump(mode="json"))
    store.write(key, metadata)
    return ReleasedSplit(
        name=split.name,
        cells=split.cells,
        shards=split.bins,
        values=split.values,
        extract_metadata=key.removeprefix(curriculum_folder(plan.name, plan.version)),
        extract_metadata_sha256=hashlib.sha256(metadata).hexdigest(),
        loaders=loader_snippets(plan, split.name),
    )


def extract_metadata(plan: CurriculumPlan, split: str | None = None) -> ExtractMetadata:
    """Sum up a plan as training clients read it.

    :param plan: The plan.
    :param split: Sum up this split only; by default the whole.
    :return: The content of ``extract_metadata.json``.
    """
    bins = plan.bins_of(split)
    sizes = [item.cells for item in bins]
    specification = CurriculumSpecification.model_validate(plan.specification)
    return ExtractMetadata(
        total_bins=len(sizes),
        last_bin_size=sizes[-1],
        total_cells=sum(sizes),
        filters=old_filter_form(specification.cell_filter),
        extract_bin_size=plan.bin_size,
        category_metadata={
            column.name: column.categories or [] for column in plan.obs_columns if column.kind == "category"
        },
        # Relative to the curriculum's folder, so that a path or a gs:// address before it makes it whole.
        filenames=[shard_file(item.bin, plan.file_format) for item in bins],
        limits=list(accumulate(sizes)),
        shard_size=plan.bin_size,
        last_shard_size=sizes[-1],
    )


def old_filter_form(cell_filter: CellFilter) -> dict[str, Any]:
    """Write a filter as ``{"column__op": value}``, as the system before did.

    Two conditions with one column and operator become the one that means both. What nests, which it could not, is
    under the key ``all``, and so is a second ``descendant_of`` of a column.

    :param cell_filter: The filter.
    :return: The mapping, which is a filter again; ``True`` is the value of the null operators.
    """
    found: dict[str, Any] = {}
    nested: list[dict[str, Any]] = []
    for condition in cell_filter.conditions:
        if not isinstance(condition, Condition) or f"{condition.column}__descendant_of" in found:
            nested.append(condition.model_dump(mode="json"))
            continue
        column, op = condition.column, condition.op
        value: Any = True if condition.value is None else condition.value
        if isinstance(value, tuple):
            value = list(value)
        if op == "not_eq" and f"{column}__not_eq" in found:
            op, value = "not_in", [value]
        key = f"{column}__{op}"
        found[key] = _both(op, found[key], value) if key in found else value
    return {**found, "all": nested} if nested else found


def _both(op: str, one: Any, other: Any) -> Any:
    if op in ("gt", "gte"):
        return max(one, other)
    if op in ("lt", "lte"):
        return min(one, other)
    if op == "in":
        return [value for value in one if value in other]
    if op == "not_in":
        return sorted({*one, *other})
    return one  # eq and the null operators: another value would select nothing


def _checked_records(
    plan: CurriculumPlan, store: ObjectStore, workers: int, on_progress: Callable[[int, int], None] | None
) -> list[ShardRecord]:
    partition = make_curriculum_partition(plan.name, plan.version)
    marks = planned_digests(plan)
    records: list[ShardRecord] = []
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="release") as pool:
        found = pool.map(lambda item: read_shard_record(plan, item, marks[item.bin], store), plan.bins)
        for item, record in zip(plan.bins, found, strict=True):
            if record is None or record.cells != item.cells:
                pool.shutdown(wait=False, cancel_futures=True)
                shard = shard_name(item.bin, plan.file_format)
                raise CorruptionError(f"{partition} lacks {shard} as it was planned; extract again, then release.")
            records.append(record)
            if on_progress is not None:
                on_progress(sum(done.cells for done in records), plan.total_cells)
    _refuse_others(plan, store, partition)
    return records


def _refuse_others(plan: CurriculumPlan, store: ObjectStore, partition: str) -> None:
    folder = curriculum_folder(plan.name, plan.version)
    planned = {shard_file(item.bin, plan.file_format) for item in plan.bins}
    for file in shard_sizes(store, folder):
        if file not in planned and _SHARD.fullmatch(file.rpartition("/")[2]):
            raise CorruptionError(f"{store.uri(folder + file)} is no shard of {partition}; delete it, then release.")


def _release(
    plan: CurriculumPlan,
    records: list[ShardRecord],
    genes_sha256: str,
    metadata_sha256: str,
    splits: list[ReleasedSplit],
) -> CurriculumRelease:
    specification = CurriculumSpecification.model_validate(plan.specification)
    return CurriculumRelease(
        name=plan.name,
        version=plan.version,
        specification=plan.specification,
        specification_digest=plan.specification_digest,
        order=specification.order,
        seed=specification.seed,
        ingests=plan.ingests,
        citations=_distinct(ingest.citation for ingest in plan.ingests),
        feature_schema=plan.feature_schema,
        feature_schema_digest=plan.feature_schema_digest,
        features_digest=plan.features_digest,
        feature_count=plan.feature_count,
        obs_columns=plan.obs_columns,
        bin_size=plan.bin_size,
        total_cells=plan.total_cells,
        total_nnz=sum(record.nnz for record in records),
        shards=[
            ReleasedShard(
                file=shard_file(record.bin, plan.file_format),
                cells=record.cells,
                group=item.group,
                split=item.split,
                nnz=record.nnz,
                size=record.size,
                sha256=record.sha256,
                min_key=record.min_key,
                max_key=record.max_key,
            )
            for item, record in zip(plan.bins, records, strict=True)
        ],
        genes_sha256=genes_sha256,
        extract_metadata_sha256=metadata_sha256,
        warnings=plan.warnings,
        loaders=loader_snippets(plan),
        ontology=plan.ontology,
        left_out_not_primary=plan.left_out_not_primary,
        left_out_by_caps=plan.left_out_by_caps,
        measured_genes_sha256=plan.measured_sha256,
        splits=tuple(splits),
        nexus_version=plan.nexus_version,
    )


def _distinct(texts: Iterable[str | None]) -> list[str]:
    return sorted({text for text in texts if text})


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read_genes(store: ObjectStore, name: str, version: int) -> pl.DataFrame:
    """Read the table of genes of a released version.

    :param store: Object store.
    :param name: Curriculum key.
    :param version: Version.
    :return: ``feature_id``, ``feature_name``, ``sources_measured``, ``cells_measured``, one row a feature in order.
    :raise FileNotFoundError: When the version was not released.
    :raise CorruptionError: When the table is not what was released.
    """
    types = {
        "feature_id": pl.String,
        "feature_name": pl.String,
        "sources_measured": pl.Int64,
        "cells_measured": pl.Int64,
    }
    content = read_released(store, curriculum_folder(name, version), read_release(store, name, version), GENES)
    return pl.read_csv(content, schema=types)
