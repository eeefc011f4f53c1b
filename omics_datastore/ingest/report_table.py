"""A validation report as a table: a row a file and rule, for people, JSON and spreadsheets."""

import csv
import io
from typing import Any

from omics_datastore.errors import InputError
from omics_datastore.ingest.validation_report import ValidationReport, read_validation_report
from omics_datastore.shown_text import spreadsheet_text
from omics_datastore.storage.layout import REPORTS, report_csv_key
from omics_datastore.storage.object_store import ObjectStore

COLUMNS = ("file", "status", "rule", "severity", "message", "ingest_id", "cells", "features", "nonzeros")


def report_rows(report: ValidationReport) -> list[dict[str, Any]]:
    """List what a report says.

    :param report: The report.
    :return: A row a finding with :data:`COLUMNS`; a file without findings has one row without a rule.
    """
    rows = []
    for file in report.files:
        shared = {
            "file": file.source.uri,
            "status": "valid" if file.valid else "refused",
            "ingest_id": file.ingest_id,
            "cells": file.cell_count,
            "features": file.feature_count,
            "nonzeros": file.nnz,
        }
        nothing: dict[str, Any] = dict.fromkeys(("rule", "severity", "message"))
        for said in [finding.model_dump() for finding in file.findings] or [nothing]:
            row = {**shared, **said}
            rows.append({name: row[name] for name in COLUMNS})
    return rows


def report_csv(report: ValidationReport) -> str:
    """Write a report as CSV.

    Text that a spreadsheet would take for a formula gets an apostrophe before it.

    :param report: The report.
    :return: The CSV with a header.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(
        text, COLUMNS
    )  # with lines as RFC 4180 ends them; bare line feeds would leave carriage returns unquoted
    writer.writeheader()
    writer.writerows({name: _neutral(value) for name, value in row.items()} for row in report_rows(report))
    return text.getvalue()


def write_report_csv(store: ObjectStore, report: ValidationReport) -> str:
    """Keep a report as CSV beside the document.

    :param store: Object store.
    :param report: The report.
    :return: Its key.
    """
    key = report_csv_key(report.dataset)
    store.write(key, report_csv(report).encode())
    return key


def findings_by_rule(report: ValidationReport) -> dict[str, int]:
    """Count the findings of each rule.

    :param report: The report.
    :return: Findings by rule, the most frequent first.
    """
    counts: dict[str, int] = {}
    for file in report.files:
        for finding in file.findings:
            counts[finding.rule] = counts.get(finding.rule, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def list_reports(store: ObjectStore) -> list[dict[str, Any]]:
    """Sum up the latest report of every dataset.

    :param store: Object store.
    :return: A row a dataset with ``dataset``, ``status``, ``files``, ``refused``, ``warnings``, ``cells``.
    """
    rows = []
    for dataset in store.folders(REPORTS):
        try:
            report = read_validation_report(store, dataset)
        except FileNotFoundError:
            continue
        findings = [finding for file in report.files for finding in file.findings]
        rows.append(
            {
                "dataset": dataset,
                "status": "valid" if report.valid else "refused",
                "files": len(report.files),
                "refused": sum(not file.valid for file in report.files),
                "warnings": sum(finding.severity == "warning" for finding in findings),
                "cells": sum(file.cell_count for file in report.files),
            }
        )
    return rows


def read_named_report(store: ObjectStore, dataset: str) -> ValidationReport:
    """Read the latest report of a dataset that somebody named.

    :param store: Object store.
    :param dataset: Dataset key.
    :return: The report.
    :raise InputError: When there is none; the message names those that are there.
    """
    known = [row["dataset"] for row in list_reports(store)]
    if dataset not in known:
        raise InputError(f"there is no validation report of {dataset!r}; there are {', '.join(known) or 'none'}.")
    return read_validation_report(store, dataset)


def _neutral(value: Any) -> Any:
    return spreadsheet_text(value) if isinstance(value, str) else value
