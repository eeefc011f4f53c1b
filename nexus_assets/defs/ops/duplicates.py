"""The job that looks for the same cell in two datasets."""

import dagster as dg
from pydantic import Field

from nexus_assets.report_metadata import table
from nexus_resources.stores import WarehouseResource


class DuplicatesConfig(dg.Config):
    """Which cells are compared."""

    least_features: int = Field(20, ge=1, description="Compare cells with at least so many genes.")


@dg.op(description="Compare all current cells by a digest of their counts; the pairs of datasets are in the metadata.")
def compare_cells(context: dg.OpExecutionContext, config: DuplicatesConfig, warehouse: WarehouseResource) -> None:
    """Look once."""
    from omics_datastore.duplicates import find_shared_cells

    found = find_shared_cells(
        warehouse.open(),
        least_features=config.least_features,
        on_progress=lambda done, total: context.log.info(f"{done:,} of {total:,} cells."),
    )
    rows = [{**pair.model_dump(exclude={"examples"}), "for example": str(pair.examples[0])} for pair in found]
    context.add_output_metadata({"pairs": len(found), "shared_cells": table(rows)})


@dg.job(
    name="find_duplicates",
    executor_def=dg.in_process_executor,
    config={"ops": {"compare_cells": {"config": {"least_features": 20}}}},
    description="Find the same cell, by its counts, in two datasets.",
)
def find_duplicates() -> None:
    """Find duplicates."""
    compare_cells()
