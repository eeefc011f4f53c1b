"""Source files, their validation reports and their ingest files; one pass makes both of the latter."""

import time
from collections.abc import Iterator
from typing import Any

import dagster as dg

from nexus_assets.partitions import DATASETS, check_partition
from nexus_assets.pipeline_run import request_writer, run_pipeline
from nexus_assets.plots import bars
from nexus_assets.policy import AssetResult, blocking_check, check_result, input_failure, input_failures
from nexus_assets.report_metadata import picture, place, table
from nexus_assets.run_metadata import asset_result, pipeline_metadata
from nexus_resources.pipelines.requests import ingest_reports
from nexus_resources.pipelines.resource import PipelinesResource
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.ingest.inbox import Drop, read_config, read_drop
from omics_datastore.ingest.ingest_set import write_ingest_set
from omics_datastore.ingest.manifest import FileReport
from omics_datastore.ingest.report_table import findings_by_rule, write_report_csv
from omics_datastore.ingest.validation_report import ValidationReport, write_validation_report
from omics_datastore.storage.layout import INGEST
from omics_datastore.warehouse.parquet_layout import layout_for

SOURCE_FILES = ["ingest", "source_files"]
REPORT = ["ingest", "validation_report"]
INGEST_FILES = ["ingest", "ingest_files"]

source_files = dg.AssetSpec(
    SOURCE_FILES,
    partitions_def=DATASETS,
    group_name="ingest",
    kinds={"anndata", "file"},
    description="The source files of a dataset as somebody dropped them into the inbox, with their sidecar.",
)


@dg.multi_asset(
    name="create_ingest_files",
    partitions_def=DATASETS,
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    specs=[
        dg.AssetSpec(
            REPORT,
            deps=[source_files],
            group_name="ingest",
            kinds={"anndata", "kfp"},
            skippable=True,
            description="What the checks found in every source file: errors refuse it, warnings lose no data.",
        ),
        dg.AssetSpec(
            INGEST_FILES,
            deps=[source_files, REPORT],
            group_name="ingest",
            kinds={"parquet", "kfp"},
            skippable=True,
            description="The immutable Parquet files of an ingest, rows in shuffle order, a folder a source file.",
        ),
    ],
    check_specs=[
        blocking_check("all_files_valid", REPORT, "No source file of the dataset is refused.", DATASETS),
        blocking_check(
            "files_complete", INGEST_FILES, "Every source file has a manifest and its three files.", DATASETS
        ),
    ],
)
def create_ingest_files(
    context: dg.AssetExecutionContext, store: StoreResource, warehouse: WarehouseResource, pipelines: PipelinesResource
) -> Iterator[AssetResult]:
    """Check the source files of a dataset and make their ingest files."""
    dataset = check_partition(DATASETS, context.partition_key)
    objects = store.open()
    with input_failures():
        drop = read_drop(objects, dataset)
        config = read_config(objects, drop)
    validate_only = dg.AssetKey(INGEST_FILES) not in context.selected_asset_keys
    requests = request_writer(context, objects, pipelines, "validate" if validate_only else "ingest")
    layout = layout_for(warehouse.uri)
    job = requests.ingest(
        dataset, drop.sources, config, validate_only=validate_only, parquet=layout, cellxgene=pipelines.cellxgene()
    )
    kept = set(objects.folders(f"{INGEST}{dataset}/"))
    started = time.monotonic()
    ran = run_pipeline(context, pipelines, job, REPORT if validate_only else INGEST_FILES)
    seconds = time.monotonic() - started
    report = ValidationReport(dataset=dataset, drop_digest=drop.digest, files=ingest_reports(job))
    key = write_validation_report(objects, report)
    csv_key = write_report_csv(objects, report)
    if dg.AssetKey(REPORT) in context.selected_asset_keys:
        read = sum(file.cell_count for file in report.files) if validate_only else 0
        places = {"report": place(objects.uri(key)), "report_csv": place(objects.uri(csv_key))}
        yield _report_result(context, report, {**places, **pipeline_metadata(ran, read, seconds)})
    if not report.valid:
        raise input_failure(report.headline())
    if not validate_only:
        write_ingest_set(objects, dataset, drop.digest, report.files)
        ids = {file.ingest_id for file in report.files if file.ingest_id}
        made = sum({file.ingest_id: file.cell_count for file in report.files if file.ingest_id not in kept}.values())
        written = {
            "folder": place(objects.uri(f"{INGEST}{dataset}"), folder=True),
            "ingests": len(ids),
            "created_now": len(ids - kept),
            "bytes": sum(item.size for item in objects.entries(f"{INGEST}{dataset}/") if item.key.split("/")[2] in ids),
        }
        yield _ingest_files_result(context, drop, report.files, {**written, **pipeline_metadata(ran, made, seconds)})


def _report_result(context: dg.AssetExecutionContext, report: ValidationReport, about: dict[str, Any]) -> AssetResult:
    findings = [
        {"file": file.source.key, "severity": finding.severity, "rule": finding.rule, "message": finding.message}
        for file in report.files
        for finding in file.findings
    ]
    refused = [file for file in report.files if not file.valid]
    rules = findings_by_rule(report)
    plot = bars("Findings by rule", list(rules), list(rules.values())) if rules else None
    return asset_result(
        context,
        {
            **about,
            "status": "refused" if refused else "valid",
            "files": len(report.files),
            "refused_files": len(refused),
            "warnings": sum(finding["severity"] == "warning" for finding in findings),
            "findings": table(findings),
            "cells": sum(file.cell_count for file in report.files),
            **({"plot_findings": picture(plot)} if plot else {}),
        },
        asset=REPORT,
        data_version=report.drop_digest[:16],
        checks=[
            check_result(
                "all_files_valid",
                REPORT,
                passed=not refused,
                files=len(report.files),
                refused=len(refused),
                **({"reason": report.headline()} if refused else {}),
            )
        ],
    )


def _ingest_files_result(
    context: dg.AssetExecutionContext, drop: Drop, reports: list[FileReport], about: dict[str, Any]
) -> AssetResult:
    rows = [
        {
            "source": report.source.key,
            "ingest_id": report.ingest_id,
            "cells": report.cell_count,
            "features": report.feature_count,
            "nonzeros": report.nnz,
            "counts_from": report.counts_from,
        }
        for report in reports
    ]
    return asset_result(
        context,
        {
            **about,
            "source_files": len(drop.sources),
            "dagster/partition_row_count": sum(report.cell_count for report in reports),
            "nonzeros": sum(report.nnz for report in reports),
            "source_bytes": sum(source.size for source in drop.sources),
            "files": table(rows),
        },
        asset=INGEST_FILES,
        data_version=drop.digest[:16],
        checks=[
            check_result(
                "files_complete",
                INGEST_FILES,
                passed=all(report.ingest_id is not None and report.valid for report in reports)
                and len(reports) == len(drop.sources),
                source_files=len(drop.sources),
                ingest_ids=about["ingests"],
            )
        ],
    )
