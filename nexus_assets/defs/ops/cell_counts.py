"""Counts of cells before anything is built: somebody asks with a filter, and the answer stays to be looked at."""

from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from nexus_assets.defs.warehouse.snapshot import SNAPSHOT
from nexus_assets.plots import bars
from nexus_assets.policy import AssetResult, input_failures
from nexus_assets.report_metadata import FIRST, picture, table
from nexus_assets.run_metadata import asset_result
from nexus_resources.stores import WarehouseResource
from omics_datastore.query.filter_text import read_filter

CELL_COUNTS = ["ops", "cell_counts"]
_BARS = 12


class CellQuestion(dg.Config):
    """What to count."""

    filter: Any = Field(None, description="A filter as in a curriculum's specification; all cells by default.")
    by: list[str] = Field([], description="Columns to count for every combination of values; none by default.")
    column: str = Field("cell_type", description="The column whose values are listed and drawn.")
    limit: int = Field(20, ge=1, le=FIRST, description=f"Rows of each table, at most {FIRST}.")


@dg.asset(
    key=CELL_COUNTS,
    deps=[dg.AssetDep(SNAPSHOT)],
    group_name="ops",
    kinds={"duckdb", "polars"},
    description="How many cells a filter selects, and of which kinds; launch describe_cells with a filter.",
)
def cell_counts(context: dg.AssetExecutionContext, config: CellQuestion, warehouse: WarehouseResource) -> AssetResult:
    """Count the cells of the current ingests that a filter selects."""
    from omics_datastore.query.cells import column_values, count_by, describe_cells, selected_cells

    opened = warehouse.open()
    current = opened.ingests().filter(pl.col("is_current"))["ingest_id"].to_list()
    with input_failures():
        chosen = read_filter(config.filter, "filter")
        cells = selected_cells(chosen, current)
        values = opened.query(column_values(cells, config.column))
        counts = opened.query(count_by(cells, config.by)) if config.by else None
        (summary,) = opened.query(describe_cells(cells)).to_dicts()
    metadata: dict[str, Any] = {
        "cells": summary.pop("cells"),
        "filter": table([{"condition": str(part)} for part in chosen.conditions]),
        "summary": table([{"what": name.replace("_", " "), "value": value} for name, value in summary.items()]),
        "distinct_values": values.height,
        "values": table(values.head(config.limit).to_dicts()),
    }
    if counts is not None:
        metadata["combinations"] = counts.height
        metadata["by"] = table(counts.head(config.limit).to_dicts())
    if values.height:
        top = values.head(_BARS)
        labels = [str(value) if value is not None else "(not given)" for value in top["value"]]
        title = f"Cells by {config.column.replace('_', ' ')}"
        metadata["plot"] = picture(bars(title, labels, top["cells"].to_list()))
    return asset_result(context, metadata)
