"""The four tables of the warehouse: one load and one commit a dataset.

The Dagster process makes the load itself: it is a client call that waits for the warehouse, and the job's links and
counts are wanted here. With ``client_calls: pipeline`` the component of the same name makes it.
"""

from collections.abc import Iterator, Sequence

import dagster as dg
import polars as pl

from nexus_assets.defs.ingest.assets import INGEST_FILES
from nexus_assets.partitions import DATASETS
from nexus_assets.pipeline_run import request_writer, run_pipeline
from nexus_assets.policy import AssetResult, blocking_check, check_result, input_failures
from nexus_assets.report_metadata import place, table
from nexus_assets.run_metadata import asset_result, changes
from nexus_assets.warehouse_cost import cost_metadata
from nexus_resources.pipelines.requests import load_result
from nexus_resources.pipelines.resource import PipelinesResource
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.ingest.ingest_set import read_ingest_set
from omics_datastore.ingest.manifest import IngestManifest
from omics_datastore.schema.tables import CELL_INFO, DATA_TABLES, FEATURE_INFO, INGEST_INFO, RAW_COUNTS, TABLES, Table


def _key(table_: Table) -> list[str]:
    return ["warehouse", table_.name]


def _schema(table_: Table) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                column.type.value,
                column.description,
                dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table_.columns
        ]
    )


def _spec(table_: Table) -> dg.AssetSpec:
    others = [_key(other) for other in DATA_TABLES] if table_ is INGEST_INFO else []
    return dg.AssetSpec(
        _key(table_),
        deps=[INGEST_FILES, *others],
        group_name="warehouse",
        kinds={"duckdb", "parquet", "table"},
        description=table_.description,
        metadata={"dagster/column_schema": _schema(table_), "dagster/table_name": table_.name},
    )


_CHECKS = (
    ("rows_match_manifests", CELL_INFO, "As many rows as the manifests say."),
    ("cells_unique", CELL_INFO, "No cell of an ingest stands twice."),
    ("rows_match_manifests", RAW_COUNTS, "As many rows as the manifests say."),
    ("nonzeros_match_manifests", RAW_COUNTS, "As many counts as the manifests say."),
    ("no_orphan_cells", RAW_COUNTS, "Every cell stands in cell_info and in raw_counts."),
    ("rows_match_manifests", FEATURE_INFO, "As many rows as the manifests say."),
    ("all_committed", INGEST_INFO, "Every ingest of the dataset is visible and current."),
)


@dg.multi_asset(
    name="load_warehouse",
    partitions_def=DATASETS,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    specs=[_spec(table_) for table_ in TABLES],
    check_specs=[blocking_check(name, _key(table_), text, DATASETS) for name, table_, text in _CHECKS],
)
def load_warehouse(
    context: dg.AssetExecutionContext, store: StoreResource, warehouse: WarehouseResource, pipelines: PipelinesResource
) -> Iterator[AssetResult]:
    """Load the ingest files of a dataset and make them visible, all at once."""
    objects = store.open()
    manifests = read_ingest_set(objects, context.partition_key)
    opened = warehouse.open()
    ids = [manifest.ingest_id for manifest in manifests]
    before = _current(opened.ingests(), context.partition_key)
    if pipelines.client_calls == "pipeline":
        job = request_writer(context, objects, pipelines, "load").load(warehouse.uri, context.partition_key, ids)
        run_pipeline(context, pipelines, job, _key(INGEST_INFO))
        result = load_result(job)
        committed, unchanged = result.committed, result.unchanged
    else:
        with input_failures():
            loaded = opened.load(manifests, objects.now())
        committed, unchanged = list(loaded.committed), list(loaded.unchanged)
    context.log.info(f"{len(committed)} ingests committed, {len(unchanged)} were there already.")
    totals = opened.count_totals(ids)
    after = _current(opened.ingests(), context.partition_key)
    checks = _check_totals(manifests, totals, after["ingest_id"].to_list())
    deltas = changes(_size(before), _size(after))
    rows = _expected_rows(manifests)
    cost = cost_metadata(opened.usage())
    for table_ in (*DATA_TABLES, INGEST_INFO):  # an asset must come after those it depends on
        yield asset_result(
            context,
            {
                "dagster/partition_row_count": rows[table_.name],
                "warehouse": place(opened.uri),
                "committed": len(committed),
                "unchanged": len(unchanged),
                **deltas,
                **({} if table_ is INGEST_INFO else {"bytes": sum(m.file(table_.name).size for m in manifests)}),
                "ingests": table(_ingest_rows(manifests)),
                **(cost if table_ is INGEST_INFO else {}),
            },
            asset=_key(table_),
            checks=checks[table_.name],
        )


def _current(ingests: pl.DataFrame, dataset: str) -> pl.DataFrame:
    return ingests.filter(pl.col("is_current") & (pl.col("dataset") == dataset))


def _size(ingests: pl.DataFrame) -> dict[str, int]:
    return {"ingests": ingests.height, "cells": int(ingests["cell_count"].sum())}


def _expected_rows(manifests: Sequence[IngestManifest]) -> dict[str, int]:
    cells = sum(manifest.cell_count for manifest in manifests)
    return {
        INGEST_INFO.name: len(manifests),
        CELL_INFO.name: cells,
        RAW_COUNTS.name: cells,
        FEATURE_INFO.name: sum(manifest.feature_count for manifest in manifests),
    }


def _check_totals(
    manifests: Sequence[IngestManifest], totals: pl.DataFrame, current: list[str]
) -> dict[str, list[dg.AssetCheckResult]]:
    expected = _expected_rows(manifests)
    found = {name: int(totals[name].sum()) for name in totals.columns if name != "ingest_id"}
    nonzeros = sum(manifest.nnz for manifest in manifests)
    missing = [manifest.ingest_id for manifest in manifests if manifest.ingest_id not in current]

    def same(name: str, table_: Table, seen: int, wanted: int) -> dg.AssetCheckResult:
        return check_result(name, _key(table_), passed=seen == wanted, found=seen, expected=wanted)

    return {
        CELL_INFO.name: [
            same("rows_match_manifests", CELL_INFO, found["cell_info_rows"], expected[CELL_INFO.name]),
            same("cells_unique", CELL_INFO, found["distinct_cells"], expected[CELL_INFO.name]),
        ],
        RAW_COUNTS.name: [
            same("rows_match_manifests", RAW_COUNTS, found["raw_counts_rows"], expected[RAW_COUNTS.name]),
            same("nonzeros_match_manifests", RAW_COUNTS, found["nnz"], nonzeros),
            same("no_orphan_cells", RAW_COUNTS, found["orphan_cells"], 0),
        ],
        FEATURE_INFO.name: [
            same("rows_match_manifests", FEATURE_INFO, found["feature_info_rows"], expected[FEATURE_INFO.name])
        ],
        INGEST_INFO.name: [
            check_result(
                "all_committed", _key(INGEST_INFO), passed=not missing, ingests=len(manifests), missing=len(missing)
            )
        ],
    }


def _ingest_rows(manifests: Sequence[IngestManifest]) -> list[dict[str, str | int]]:
    return [
        {
            "ingest_id": manifest.ingest_id,
            "source": manifest.source_uri,
            "cells": manifest.cell_count,
            "features": manifest.feature_count,
            "nonzeros": manifest.nnz,
        }
        for manifest in manifests
    ]
