"""The snapshot: what the warehouse shows now, with plots. The barrier between ingest and curricula."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from nexus_assets.kept_plots import Plot, bar_plot, keep_plots
from nexus_assets.plots import histogram
from nexus_assets.policy import AssetResult
from nexus_assets.report_metadata import place, table
from nexus_assets.run_lookup import READING_JOBS, runs_by_dataset
from nexus_assets.run_metadata import asset_result, changes
from nexus_assets.warehouse_cost import cost_metadata
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.keys import digest
from omics_datastore.query.filters import CellFilter

if TYPE_CHECKING:
    from omics_datastore.warehouse.warehouse import Warehouse

SNAPSHOT = ["warehouse", "snapshot"]


@dg.asset(
    key=SNAPSHOT,
    deps=[
        dg.AssetDep(["warehouse", name], partition_mapping=dg.AllPartitionMapping())
        for name in ("ingest_info", "cell_info", "feature_info", "raw_counts")
    ],
    group_name="warehouse",
    kinds={"duckdb", "polars"},
    output_required=False,
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=26)),
    description="The committed ingests that new curricula see, their totals and their composition.",
)
def snapshot(
    context: dg.AssetExecutionContext, store: StoreResource, warehouse: WarehouseResource
) -> Iterator[AssetResult]:
    """Sum up the current ingests; of several ingests that run or wait, only the last does."""
    others = {run.run_id for run in runs_by_dataset(context.instance).values()} - {context.run.run_id}
    if others and context.run.job_name in READING_JOBS:
        context.log.info(f"{len(others)} other runs ingest or wait to; the snapshot is left to the last of them.")
        return
    yield _snapshot(context, store, warehouse)


def _snapshot(context: dg.AssetExecutionContext, store: StoreResource, warehouse: WarehouseResource) -> AssetResult:
    opened = warehouse.open()
    ingests = opened.ingests()
    current = ingests.filter(pl.col("is_current"))
    datasets = (
        current.group_by("dataset")
        .agg(
            pl.len().alias("ingests"),
            pl.col("cell_count", "nnz").sum(),
            pl.col("organism").unique().sort().first(),
            pl.col("feature_count").max().alias("genes"),
        )
        .sort("cell_count", "dataset", descending=[True, False])
    )
    totals = {
        "datasets": datasets.height,
        "ingests": current.height,
        "superseded_ingests": ingests.height - current.height,
        "cells": int(current["cell_count"].sum()),
        "nonzeros": int(current["nnz"].sum()),
    }
    metadata: dict[str, dg.MetadataValue | int] = {
        "warehouse": place(opened.uri),
        **totals,
        **changes(_latest(context), totals),
        "by_dataset": table(datasets.to_dicts()),
    }
    if current.height:
        plots = dict(_plots(opened, current["ingest_id"].to_list()))
        most = datasets.sort("genes", "dataset", descending=[True, False])
        plots["genes"] = bar_plot("Genes measured", most["dataset"].to_list(), most["genes"].to_list())
        metadata.update(keep_plots(store.open(), SNAPSHOT, plots))
    metadata.update(cost_metadata(opened.usage()))
    version = digest(sorted(current["ingest_id"].to_list()))[:16]
    return asset_result(context, metadata, data_version=version)


def _latest(context: dg.AssetExecutionContext) -> dict[str, int]:
    """Return the whole numbers of the snapshot before this one."""
    event = context.instance.get_latest_materialization_event(dg.AssetKey(SNAPSHOT))
    found = event.asset_materialization.metadata if event and event.asset_materialization else {}
    return {
        name: value.value
        for name, value in found.items()
        if isinstance(value, dg.IntMetadataValue) and value.value is not None
    }


def _plots(opened: "Warehouse", ingest_ids: list[str]) -> Iterator[tuple[str, Plot | bytes]]:
    from omics_datastore.query.cells import column_values, selected_cells
    from omics_datastore.query.distribution import CLASSES_PER_DECADE, log_histogram

    cells = selected_cells(CellFilter(), ingest_ids)
    for column in ("dataset", "tissue", "cell_type", "assay"):
        counts = opened.query(column_values(cells, column))
        labels = [str(value) if value is not None else "(not given)" for value in counts["value"]]
        title = f"Cells by {column.replace('_', ' ')}"
        yield column, bar_plot(title, labels, counts["cells"].to_list())
    for column, title in (("total_mrna_umis", "UMIs per cell"), ("n_features", "Genes per cell")):
        found = opened.query(log_histogram(cells, column))
        if found.height:
            first, last = int(found["bucket"][0]), int(found["bucket"][-1])
            by_class = dict(zip(found["bucket"].to_list(), found["cells"].to_list(), strict=True))
            edges = [10 ** (k / CLASSES_PER_DECADE) for k in range(first, last + 2)]
            heights = [by_class.get(k, 0) for k in range(first, last + 1)]
            yield column, histogram(title, edges, heights, title.lower())
