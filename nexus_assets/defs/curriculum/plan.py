"""Plans of curricula: what is pinned, which bins there are.

The Dagster process plans itself: it is one ordered query of the warehouse, and the refusal of a specification is
wanted here. With ``client_calls: pipeline`` the component of the same name plans.
"""

from typing import TYPE_CHECKING

import dagster as dg

from nexus_assets.defs.curriculum.feature_schema import FEATURE_SCHEMA
from nexus_assets.defs.warehouse.snapshot import SNAPSHOT
from nexus_assets.partitions import CURRICULA, check_partition
from nexus_assets.pipeline_run import request_writer, run_pipeline
from nexus_assets.policy import AssetResult, blocking_check, check_result, input_failures
from nexus_assets.report_metadata import place, table
from nexus_assets.run_metadata import asset_result
from nexus_assets.warehouse_cost import cost_metadata
from nexus_resources.pipelines.resource import PipelinesResource
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.keys import parse_curriculum_partition
from omics_datastore.storage.layout import plan_key

if TYPE_CHECKING:
    from omics_datastore.curriculum.plan_model import CurriculumPlan

PLAN = ["curriculum", "plan"]


@dg.asset(
    key=PLAN,
    partitions_def=CURRICULA,
    deps=[
        dg.AssetDep(SNAPSHOT),
        dg.AssetDep(FEATURE_SCHEMA, partition_mapping=dg.AllPartitionMapping()),
    ],
    group_name="curriculum",
    kinds={"duckdb", "parquet"},
    check_specs=[blocking_check("bins_cover_all_cells", PLAN, "Every selected cell is in exactly one bin.", CURRICULA)],
    description="The pinned ingests, genes, obs columns and bins of a curriculum, before any count is read.",
)
def plan(
    context: dg.AssetExecutionContext, store: StoreResource, warehouse: WarehouseResource, pipelines: PipelinesResource
) -> AssetResult:
    """Plan a version of a curriculum, or find that it is planned."""
    from omics_datastore.curriculum.plan import plan_curriculum, read_plan
    from omics_datastore.curriculum.versions import load_specification

    name, version = parse_curriculum_partition(check_partition(CURRICULA, context.partition_key))
    objects = store.open()
    cost: dict[str, dg.MetadataValue] = {}
    with input_failures():
        if pipelines.client_calls == "pipeline":
            requests = request_writer(context, objects, pipelines, "plan")
            run_pipeline(
                context, pipelines, requests.plan(warehouse.uri, name, version, pipelines.bins_per_group), PLAN
            )
            planned = read_plan(objects, name, version)
        else:
            specification = load_specification(objects, name, version)
            opened = warehouse.open()
            planned = plan_curriculum(specification, version, opened, objects, bins_per_group=pipelines.bins_per_group)
            cost = cost_metadata(opened.usage())
    for warning in planned.warnings:
        context.log.warning(warning)
    for sentence in _retired(planned, warehouse):
        context.log.warning(sentence)
    return _result(context, planned, objects.uri(plan_key(name, version)), cost)


def _retired(planned: "CurriculumPlan", warehouse: WarehouseResource) -> list[str]:
    """Say which pinned ingests were retired: the version is made from them all the same."""
    ingests = warehouse.open().ingests()
    retired = set(ingests.filter(ingests["retired_at"].is_not_null())["ingest_id"].to_list())
    return [
        f"{ingest.ingest_id} was retired; {planned.name}.v{planned.version} pinned it and is made from it."
        for ingest in planned.ingests
        if ingest.ingest_id in retired
    ]


def _result(
    context: dg.AssetExecutionContext, planned: "CurriculumPlan", address: str, cost: dict[str, dg.MetadataValue]
) -> AssetResult:
    binned = sum(item.cells for item in planned.bins)
    pinned = sum(ingest.cells for ingest in planned.ingests)
    full = _only_last_bins_are_short(planned)
    return asset_result(
        context,
        {
            "plan": place(address),
            "dagster/partition_row_count": planned.total_cells,
            "left_out_not_primary": planned.left_out_not_primary,
            "left_out_by_caps": sum(left_out.cells for left_out in planned.left_out_by_caps),
            "caps": table([{"cap": left_out.by, "left_out": left_out.cells} for left_out in planned.left_out_by_caps]),
            "bins": len(planned.bins),
            "bin_size": planned.bin_size,
            "features": planned.feature_count,
            "feature_schema": planned.feature_schema,
            "specification": dg.MetadataValue.json(planned.specification),
            "ingests": table(
                [
                    {
                        "ingest_id": ingest.ingest_id,
                        "cells": ingest.cells,
                        "features_measured": ingest.features_measured,
                        "source": ingest.source_uri,
                    }
                    for ingest in planned.ingests
                ]
            ),
            "obs_columns": table(
                [
                    {"column": column.name, "kind": column.kind, "categories": len(column.categories or [])}
                    for column in planned.obs_columns
                ]
            ),
            "dagster/column_schema": _cells_schema(planned),
            "splits": table(
                [{"split": split.name, "cells": split.cells, "bins": split.bins} for split in planned.splits]
            ),
            "warnings": table([{"warning": warning} for warning in planned.warnings]),
            **cost,
        },
        data_version=planned.specification_digest[:16],
        checks=[
            check_result(
                "bins_cover_all_cells",
                PLAN,
                passed=binned == planned.total_cells == pinned and full,
                cells=planned.total_cells,
                in_bins=binned,
                of_pinned_ingests=pinned,
            )
        ],
    )


def _cells_schema(planned: "CurriculumPlan") -> dg.TableSchema:
    """Describe the files that list the cells of the bins."""
    fixed = {
        "bin": ("int64", "number of the shard"),
        "position": ("int64", "place in the curriculum, the cell's name in its shard"),
        "ingest_id": ("string", "where the cell is from"),
        "cell_index": ("int64", "its row in the source file"),
        "shuffle_key": ("int64", "its place in the shuffled order of the ingest"),
        "n_features": ("int64", "genes with counts"),
    }
    columns = [dg.TableColumn(name, kind, text) for name, (kind, text) in fixed.items()]
    columns += [dg.TableColumn(f"obs.{column.name}", column.kind) for column in planned.obs_columns]
    return dg.TableSchema(columns=columns)


def _only_last_bins_are_short(planned: "CurriculumPlan") -> bool:
    """Tell whether every bin is full but at most one of each group of each split."""
    short = [str((item.split, item.group)) for item in planned.bins if item.cells != planned.bin_size]
    return len(short) == len(set(short)) and all(0 < item.cells <= planned.bin_size for item in planned.bins)
