"""What is made of source files: validation reports and ingest files. One pass makes both."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from kfp_components.configurations import DatasetSources
from nexus_assets.batches import each, halves
from nexus_assets.partition_results import Made, PartitionResults
from nexus_assets.partitions import DATASETS, check_partition
from nexus_assets.pipeline_run import request_writer, run_pipeline
from nexus_assets.plots import bars
from nexus_assets.policy import blocking_check, check_result, is_input_failure
from nexus_assets.report_metadata import picture, place, table
from nexus_assets.run_lookup import made_in_this_run
from nexus_assets.run_metadata import pipeline_metadata
from nexus_resources.pipelines.job import PipelineJob
from nexus_resources.pipelines.requests import ingest_reports
from nexus_resources.pipelines.resource import PipelinesResource
from nexus_resources.pipelines.runner import PipelineResult
from omics_datastore.errors import InputError
from omics_datastore.ingest.inbox import Drop, read_config, read_drop
from omics_datastore.ingest.ingest_set import write_ingest_set
from omics_datastore.ingest.manifest import FileReport
from omics_datastore.ingest.report_table import findings_by_rule, write_report_csv
from omics_datastore.ingest.validation_report import ValidationReport, write_validation_report
from omics_datastore.storage.layout import INGEST
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.parquet_layout import layout_for

REPORT = ["ingest", "validation_report"]
INGEST_FILES = ["ingest", "ingest_files"]


def source_specs(source_files: list[str]) -> list[dg.AssetSpec]:
    """Return the specs of what is made here.

    :param source_files: Key of the source files.
    :return: Specs.
    """
    return [
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
    ]


def source_checks() -> list[dg.AssetCheckSpec]:
    """Return the checks of what is made here."""
    return [
        blocking_check("all_files_valid", REPORT, "No source file of the dataset is refused.", DATASETS),
        blocking_check(
            "files_complete", INGEST_FILES, "Every source file has a manifest and its three files.", DATASETS
        ),
    ]


@dataclass(frozen=True)
class _Dataset:
    """A dataset to read: its drop, how it is read, and the ids of the ingests that it has files of."""

    drop: Drop
    request: DatasetSources
    kept: set[str]


def read_sources(
    context: dg.AssetExecutionContext,
    results: PartitionResults,
    objects: ObjectStore,
    warehouse_uri: str,
    pipelines: PipelinesResource,
) -> Iterator[Made]:
    """Check the source files of datasets and make their ingest files, or only check.

    :param context: Context of the step.
    :param results: Which datasets; those that are refused fail there.
    :param objects: Object store.
    :param warehouse_uri: Where the ingest files will be loaded.
    :param pipelines: Pipelines resource.
    :return: Reports and ingest files.
    """
    validate_only = not results.is_selected(INGEST_FILES)
    asset = REPORT if validate_only else INGEST_FILES
    done = made_in_this_run(context, asset)
    found = each(results.remaining, lambda name: _look(objects, name))
    results.failures.update({name: error for name, error in found.items() if isinstance(error, InputError)})
    datasets = {
        name: dataset
        for name, dataset in found.items()
        if isinstance(dataset, _Dataset) and done.get(name) != _version(dataset.drop)
    }
    if len(datasets) < len(results.remaining):
        context.log.info(f"{len(results.remaining) - len(datasets)} datasets were read before this run was repeated.")
    requests = request_writer(context, objects, pipelines, "validate" if validate_only else "ingest")

    def ask(some: dict[str, _Dataset]) -> PipelineJob:
        return requests.ingest(
            [dataset.request for dataset in some.values()],
            validate_only=validate_only,
            parquet=layout_for(warehouse_uri),
            cellxgene=pipelines.cellxgene(),
            limits=pipelines.read_limits(),
        )

    waiting = [datasets] if datasets else []
    while waiting:
        some = waiting.pop(0)
        job, started = ask(some), time.monotonic()
        try:
            ran = run_pipeline(context, pipelines, job, asset)
        except dg.Failure as failure:
            if not is_input_failure(failure):
                raise
            if len(some) == 1:
                results.failures.update(dict.fromkeys(some, InputError(*(failure.description or "").splitlines())))
            else:  # one of them is at fault, and the others shall not suffer from it
                waiting += halves(some)
            continue
        yield from _passed(results, objects, some, job, ran, time.monotonic() - started)


def _passed(
    results: PartitionResults,
    objects: ObjectStore,
    datasets: dict[str, _Dataset],
    job: PipelineJob,
    ran: PipelineResult,
    seconds: float,
) -> Iterator[Made]:
    """Keep and report what a pass over datasets found."""
    validate_only = not results.is_selected(INGEST_FILES)
    owners = {source.key: name for name, dataset in datasets.items() for source in dataset.drop.sources}
    files: dict[str, list[FileReport]] = {name: [] for name in datasets}
    for file in ingest_reports(job):
        files[owners[file.source.key]].append(file)
    new = {
        file.ingest_id: file.cell_count
        for name, reports in files.items()
        for file in reports
        if file.ingest_id not in datasets[name].kept
    }
    read = sum(file.cell_count for reports in files.values() for file in reports)
    about_report = pipeline_metadata(ran, read if validate_only else 0, seconds)
    about_files = pipeline_metadata(ran, sum(new.values()), seconds)
    written = each(
        list(datasets),
        lambda name: _write(objects, name, datasets[name], files[name], validate_only=validate_only),
    )
    for name, outcome in written.items():
        if isinstance(outcome, InputError):
            raise outcome
        report, places, about = outcome
        yield _report(report, {**places, **about_report}, plot=len(results.partitions) == 1)
        if not report.valid:
            results.failures[name] = InputError(*report.headline().splitlines())
        elif not validate_only:
            yield _ingest_files(name, datasets[name].drop, report.files, {**about, **about_files})


def _look(objects: ObjectStore, name: str) -> _Dataset:
    drop = read_drop(objects, check_partition(DATASETS, name))
    request = DatasetSources(dataset=name, sources=list(drop.sources), config=read_config(objects, drop))
    return _Dataset(drop, request, set(objects.folders(f"{INGEST}{name}/")))


def _write(
    objects: ObjectStore, name: str, dataset: _Dataset, files: list[FileReport], *, validate_only: bool
) -> tuple[ValidationReport, dict[str, Any], dict[str, Any]]:
    """Keep what a pass found, and say where it lies and how much it is."""
    report = ValidationReport(dataset=name, drop_digest=dataset.drop.digest, files=files)
    places = {
        "report": place(objects.uri(write_validation_report(objects, report))),
        "report_csv": place(objects.uri(write_report_csv(objects, report))),
    }
    if validate_only or not report.valid:
        return report, places, {}
    write_ingest_set(objects, name, dataset.drop.digest, files)
    ids = {file.ingest_id for file in files if file.ingest_id}
    about = {
        "folder": place(objects.uri(f"{INGEST}{name}"), folder=True),
        "ingests": len(ids),
        "created_now": len(ids - dataset.kept),
        "bytes": sum(item.size for item in objects.entries(f"{INGEST}{name}/") if item.key.split("/")[2] in ids),
    }
    return report, places, about


def _version(drop: Drop) -> str:
    return drop.digest[:16]


def _report(report: ValidationReport, about: dict[str, Any], *, plot: bool) -> Made:
    findings = [
        {"file": file.source.key, "severity": finding.severity, "rule": finding.rule, "message": finding.message}
        for file in report.files
        for finding in file.findings
    ]
    refused = [file for file in report.files if not file.valid]
    rules = findings_by_rule(report)
    # A plot takes a tenth of a second: nothing for a dataset, too long for each of a thousand.
    drawn = bars("Findings by rule", list(rules), list(rules.values())) if plot and rules else None
    return Made(
        REPORT,
        report.dataset,
        {
            **about,
            "status": "refused" if refused else "valid",
            "files": len(report.files),
            "refused_files": len(refused),
            "warnings": sum(finding["severity"] == "warning" for finding in findings),
            "findings": table(findings),
            "cells": sum(file.cell_count for file in report.files),
            **({"plot_findings": picture(drawn)} if drawn else {}),
        },
        report.drop_digest[:16],
        [
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


def _ingest_files(name: str, drop: Drop, reports: Sequence[FileReport], about: dict[str, Any]) -> Made:
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
    return Made(
        INGEST_FILES,
        name,
        {
            **about,
            "source_files": len(drop.sources),
            "dagster/partition_row_count": sum(report.cell_count for report in reports),
            "nonzeros": sum(report.nnz for report in reports),
            "source_bytes": sum(source.size for source in drop.sources),
            "files": table(rows),
        },
        _version(drop),
        [
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
