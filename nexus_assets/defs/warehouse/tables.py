"""The four tables of the warehouse: one load and one commit, of one dataset or of many.

The Dagster process makes the load itself: it is a client call that waits for the warehouse, and the job's links and
counts are wanted here. With ``client_calls: pipeline`` the component of the same name makes it.
"""

from collections.abc import Iterator, Sequence

import dagster as dg
import polars as pl

from nexus_assets.batches import each, halves
from nexus_assets.defs.ingest.source_reading import INGEST_FILES
from nexus_assets.partition_results import Made, PartitionResults
from nexus_assets.partitions import DATASETS
from nexus_assets.pipeline_run import request_writer, run_pipeline
from nexus_assets.policy import blocking_check, check_result
from nexus_assets.report_metadata import place, table
from nexus_assets.run_metadata import changes
from nexus_assets.warehouse_cost import cost_metadata
from nexus_resources.pipelines.requests import load_result
from nexus_resources.pipelines.resource import PipelinesResource
from nexus_resources.stores import WarehouseResource
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.ingest.ingest_set import read_ingest_set, read_ingest_set_record
from omics_datastore.ingest.manifest import IngestManifest
from omics_datastore.schema.tables import CELL_INFO, DATA_TABLES, FEATURE_INFO, INGEST_INFO, RAW_COUNTS, Table
from omics_datastore.storage.object_store import ObjectStore

TABLE_KEYS = [["warehouse", table_.name] for table_ in (*DATA_TABLES, INGEST_INFO)]


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
        skippable=True,
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


def table_specs() -> list[dg.AssetSpec]:
    """Return the specs of the tables, each after those it depends on."""
    return [_spec(table_) for table_ in (*DATA_TABLES, INGEST_INFO)]


def table_checks() -> list[dg.AssetCheckSpec]:
    """Return the checks of the tables."""
    return [blocking_check(name, _key(table_), text, DATASETS) for name, table_, text in _CHECKS]


def load_datasets(
    context: dg.AssetExecutionContext,
    results: PartitionResults,
    objects: ObjectStore,
    warehouse: WarehouseResource,
    pipelines: PipelinesResource,
) -> Iterator[Made]:
    """Load the ingest files of datasets and make them visible, all at once.

    :param context: Context of the step.
    :param results: Which datasets; those that cannot be loaded fail there.
    :param objects: Object store.
    :param warehouse: Warehouse resource.
    :param pipelines: Pipelines resource, for a deployment whose loads are pipelines.
    :return: The tables of each dataset.
    """
    found = each(results.remaining, lambda name: _stored(objects, name))
    results.failures.update({name: error for name, error in found.items() if isinstance(error, InputError)})
    stored = {name: read for name, read in found.items() if not isinstance(read, InputError)}
    manifests = {name: read for name, (_, read) in stored.items()}
    opened = warehouse.open()
    before = _current(opened.ingests())

    def load(some: dict[str, list[IngestManifest]]) -> set[str]:
        chosen = [manifest for read in some.values() for manifest in read]
        if pipelines.client_calls == "pipeline":
            requests = request_writer(context, objects, pipelines, "load")
            job = requests.load(warehouse.uri, [manifest.ingest_id for manifest in chosen])
            run_pipeline(context, pipelines, job, _key(INGEST_INFO))
            return set(load_result(job).committed)
        return set(opened.load(chosen, objects.now()).committed)

    committed: set[str] = set()
    waiting = [manifests] if manifests else []
    while waiting:
        some = waiting.pop(0)
        try:
            committed |= load(some)
        except (CorruptionError, InputError) as error:
            if len(some) == 1:
                results.failures.update(dict.fromkeys(some, error))
            else:  # one of them is at fault, and the others shall not suffer from it
                waiting += halves(some)
    loaded = {name: read for name, read in manifests.items() if name not in results.failures}
    ids = [manifest.ingest_id for read in loaded.values() for manifest in read]
    context.log.info(f"{len(committed)} ingests committed, {len(ids) - len(committed)} were there already.")
    totals = opened.count_totals(ids)
    after = _current(opened.ingests())
    cost = cost_metadata(opened.usage())
    for name, read in loaded.items():
        yield from _tables(name, stored[name][0], read, committed, totals, before, after, opened.uri, cost)


def _stored(objects: ObjectStore, name: str) -> tuple[str, list[IngestManifest]]:
    """Return the version of a dataset's drop that was read last, and the manifests of its ingests."""
    try:
        return read_ingest_set_record(objects, name).drop_digest[:16], read_ingest_set(objects, name)
    except FileNotFoundError:
        raise InputError(
            f"the dataset {name!r} has no ingest files to load; materialize ingest/ingest_files of it first."
        ) from None


def _tables(
    name: str,
    version: str,
    manifests: list[IngestManifest],
    committed: set[str],
    totals: pl.DataFrame,
    before: pl.DataFrame,
    after: pl.DataFrame,
    address: str,
    cost: dict[str, dg.MetadataValue],
) -> Iterator[Made]:
    """Say what each table holds of a dataset."""
    ids = [manifest.ingest_id for manifest in manifests]
    now = after.filter(pl.col("dataset") == name)
    counted = totals.filter(pl.col("ingest_id").is_in(ids))
    checks = _check_totals(manifests, counted, now["ingest_id"].to_list())
    rows = _expected_rows(manifests)
    new = len(committed.intersection(ids))
    for table_ in (*DATA_TABLES, INGEST_INFO):
        yield Made(
            _key(table_),
            name,
            {
                "dagster/partition_row_count": rows[table_.name],
                "warehouse": place(address),
                "committed": new,
                "unchanged": len(ids) - new,
                **changes(_size(before.filter(pl.col("dataset") == name)), _size(now)),
                **({} if table_ is INGEST_INFO else {"bytes": sum(m.file(table_.name).size for m in manifests)}),
                "ingests": table(_ingest_rows(manifests)),
                **(cost if table_ is INGEST_INFO else {}),
            },
            data_version=version if table_ is INGEST_INFO else None,
            checks=checks[table_.name],
        )


def _current(ingests: pl.DataFrame) -> pl.DataFrame:
    return ingests.filter("is_current").select("dataset", "ingest_id", "cell_count")


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
