"""Shards of curricula: a KFP pipeline fans out over groups of bins."""

import time
from typing import TYPE_CHECKING

import dagster as dg

from nexus_assets.defs.curriculum.plan import PLAN
from nexus_assets.kept_plots import keep_plots
from nexus_assets.partitions import CURRICULA
from nexus_assets.pipeline_run import request_writer, run_pipeline
from nexus_assets.plots import shares, steps
from nexus_assets.policy import AssetResult, blocking_check, check_result
from nexus_assets.report_metadata import place, table
from nexus_assets.run_metadata import asset_result, pipeline_metadata
from nexus_resources.pipelines.requests import extract_result
from nexus_resources.pipelines.resource import PipelinesResource
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.keys import parse_curriculum_partition
from omics_datastore.storage.layout import curriculum_folder, shard_name

if TYPE_CHECKING:
    from omics_datastore.curriculum.plan_model import CurriculumPlan, ShardRecord
    from omics_datastore.storage.object_store import ObjectStore

EXTRACT = ["curriculum", "extract"]
_SAMPLED_CELLS = 24


@dg.asset(
    key=EXTRACT,
    partitions_def=CURRICULA,
    deps=[PLAN],
    group_name="curriculum",
    kinds={"anndata", "kfp"},
    check_specs=[
        blocking_check("all_shards_present", EXTRACT, "Every bin has its shard, as its writer left it.", CURRICULA),
        blocking_check(
            "cells_round_trip", EXTRACT, "Sampled cells equal their source files, count by count.", CURRICULA
        ),
    ],
    description="The shards of a curriculum, `.h5ad` files or zarr groups, equal in genes, obs columns and categories.",
)
def extract(
    context: dg.AssetExecutionContext, store: StoreResource, warehouse: WarehouseResource, pipelines: PipelinesResource
) -> AssetResult:
    """Write the shards that are missing."""
    from omics_datastore.curriculum.extract import planned_digests, read_shard_record
    from omics_datastore.curriculum.plan import read_plan
    from omics_datastore.curriculum.round_trip import compare_with_sources

    name, version = parse_curriculum_partition(context.partition_key)
    objects = store.open()
    plan = read_plan(objects, name, version)
    requests = request_writer(context, objects, pipelines, "extract")
    job = requests.extract(warehouse.uri, name, version, [group.group for group in plan.groups])
    started = time.monotonic()
    ran = run_pipeline(context, pipelines, job, EXTRACT)
    seconds = time.monotonic() - started
    done = extract_result(job)
    marks = planned_digests(plan)
    records = [read_shard_record(plan, item, marks[item.bin], objects) for item in plan.bins]
    present = [record for record in records if record is not None]
    compared = compare_with_sources(plan, objects, cells=_SAMPLED_CELLS)
    for note in compared.notes:
        context.log.warning(note)
    return asset_result(
        context,
        {
            "folder": place(objects.uri(f"{curriculum_folder(name, version)}extract_files"), folder=True),
            "dagster/partition_row_count": sum(record.cells for record in present),
            "shards": len(present),
            "written_now": len(done.written),
            "kept": len(done.kept),
            "bytes": sum(record.size for record in present),
            "nonzeros": sum(record.nnz for record in present),
            "first_shards": table(
                [
                    {
                        "shard": shard_name(r.bin, plan.file_format),
                        "cells": r.cells,
                        "nonzeros": r.nnz,
                        "bytes": r.size,
                        "sha256": r.sha256,
                    }
                    for r in present
                ]
            ),
            **keep_plots(objects, EXTRACT, _plots(plan, present, objects), context.partition_key),
            **pipeline_metadata(ran, sum(plan.bins[number].cells for number in done.written), seconds),
        },
        checks=[
            check_result(
                "all_shards_present",
                EXTRACT,
                passed=len(present) == len(plan.bins),
                shards=len(present),
                bins=len(plan.bins),
            ),
            check_result(
                "cells_round_trip",
                EXTRACT,
                passed=not compared.differences,
                compared_cells=compared.cells,
                different_cells=len(compared.differences),
                first_difference=compared.differences[0] if compared.differences else "none",
                notes="; ".join(compared.notes) or "none",
            ),
        ],
    )


def _plots(plan: "CurriculumPlan", records: "list[ShardRecord]", objects: "ObjectStore") -> dict[str, bytes]:
    from omics_datastore.curriculum.composition import shard_composition

    plots: dict[str, bytes] = {}
    if records:
        sizes = [record.size / 1e6 for record in records]
        plots["shard_sizes"] = steps("Size of shards", sizes, "shard", "MB")
    found = shard_composition(plan, objects)
    if found is not None:
        rows = {"all cells" if found.is_all else "these shards": found.whole}
        rows |= {f"shard {number}": cells for number, cells in found.shards.items()}
        title = f"Shards against the whole, by {found.column.replace('_', ' ')}"
        plots["composition"] = shares(title, rows, found.parts)
    return plots
