"""Reports as tables, and checks that are not made twice."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from omics_datastore.ingest.conversion import convert
from omics_datastore.ingest.manifest import FileReport, Finding, SourceFile
from omics_datastore.ingest.report_table import COLUMNS, findings_by_rule, report_csv, report_rows
from omics_datastore.ingest.validation_report import ValidationReport
from tests.nexus_assets.world import make_source
from tests.omics_datastore.ingest.ingest_run import IngestRun


def report(*messages: tuple[str, str]) -> ValidationReport:
    source = SourceFile(key="inbox/=a.h5ad", uri="=a.h5ad", size=1, generation="1")
    findings = [Finding(rule=rule, severity="warning", message=message) for rule, message in messages]
    shared: dict[str, Any] = {"cell_count": 1, "feature_count": 2, "nnz": 3, "counts_from": "X", "ingest_id": None}
    files = [FileReport(source=source, findings=findings, **shared), FileReport(source=source, findings=[], **shared)]
    return ValidationReport(dataset="lung", drop_digest="x", files=files)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_formulas_are_neutral_in_csv(start: str) -> None:
    made = report(("empty_cells", f"{start}1+1"), ("other", "fine, 'quoted'"))
    rows = list(csv.DictReader(io.StringIO(report_csv(made), newline="")))
    assert [row["message"] for row in rows] == [f"'{start}1+1", "fine, 'quoted'", ""]
    assert {row["file"] for row in rows} == {"'=a.h5ad"}
    assert [row["message"] for row in report_rows(made)] == [f"{start}1+1", "fine, 'quoted'", None]
    assert tuple(rows[0]) == COLUMNS


def test_findings_are_counted_by_rule() -> None:
    assert findings_by_rule(report(("b", "1"), ("a", "2"), ("b", "3"))) == {"b": 2, "a": 1}


def test_an_unchanged_file_is_not_checked_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = IngestRun(tmp_path)
    passes: list[Path] = []

    def counted(path: Path, *rest: Any) -> Any:
        passes.append(path)
        return convert(path, *rest)

    monkeypatch.setattr("omics_datastore.ingest.create.convert", counted)
    for source, valid in ((make_source(), True), (make_source(negative=True), False)):
        source.write_h5ad(run.source)
        passes.clear()
        first = run.validate()
        assert first.valid is valid
        run.source.touch()
        again = run.validate()
        assert again.model_copy(update={"source": first.source}) == first
        assert again.source == run.observed()
        assert len(passes) == 1
        run.validate(validation={"required_obs": ["donor_id"]})
        run.validate(tag="other")
        assert len(passes) == 3
    kept = next((tmp_path / "reports").rglob("*.json"))
    kept.write_text("{}")
    assert run.validate().findings == first.findings
