"""The CELLxGENE gate over a real child program: the protocol, the levels of a dataset, what is kept by content."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from omics_datastore.errors import InputError
from omics_datastore.ingest.cellxgene_gate import CellxgeneEnvironment, CellxgeneGate
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.create import create_ingest_files, validate_source
from omics_datastore.ingest.manifest import FileReport
from omics_datastore.storage.documents import parse_yaml
from tests.cellxgene_file import WRONG_TISSUE, make_cellxgene_file
from tests.cellxgene_stand_in import checked_files, make_stand_in
from tests.contracts.cellxgene_contract import CellxgeneContract
from tests.omics_datastore.ingest.ingest_run import DATASET, IngestRun
from tests.other_sources import make_zarr

FOUND = (
    "cellxgene-schema 0.0.7: 'UBERON:9999999' in 'tissue_ontology_term_id' is not a valid ontology term id of 'UBERON'."
)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_stand_in(tmp_path_factory.mktemp("stand-in") / "environment")


class TestStandIn(CellxgeneContract):
    def test_a_child_that_breaks_down_is_replaced(self, gate: CellxgeneGate, python: str, tmp_path: Path) -> None:
        good = make_cellxgene_file(tmp_path / "good.h5ad")
        crash = make_cellxgene_file(tmp_path / "crash.h5ad", donor_id="CRASH")
        assert gate.check(good).failed is None
        before = len(checked_files(python))
        assert gate.check(crash).failed == "RuntimeError: it broke"
        assert checked_files(python)[before:] == ["crash.h5ad", "crash.h5ad"]  # once more in a child of its own
        assert gate.check(good).failed is None


@pytest.fixture
def gate(python: str) -> Iterator[CellxgeneGate]:
    with CellxgeneGate(CellxgeneEnvironment(python=python, seconds=60)) as gate:
        yield gate


def config(level: str) -> DatasetConfig:
    return DatasetConfig.model_validate({"validation": {"cellxgene_schema": level}})


def create(run: IngestRun, level: str, gate: CellxgeneGate | None) -> FileReport:
    return create_ingest_files(run.observed(), DATASET, config(level), run.store, gate=gate)


def validate(run: IngestRun, level: str, gate: CellxgeneGate | None) -> FileReport:
    return validate_source(run.observed(), DATASET, config(level), run.store, gate=gate)


def said(report: FileReport) -> list[tuple[str, str]]:
    return [(f.severity, f.message) for f in report.findings if f.rule.startswith("cellxgene")]


def test_levels_and_what_is_kept(tmp_path: Path, gate: CellxgeneGate, python: str) -> None:
    run = IngestRun(tmp_path)
    make_cellxgene_file(run.source, tissue_ontology_term_id=WRONG_TISSUE)
    before = len(checked_files(python))
    assert said(validate(run, "off", None)) == []
    warned = validate(run, "warn", gate)
    warning = ("warning", "cellxgene-schema 0.0.7: Dataframe 'var' only has 5 rows.")
    assert warned.valid
    assert said(warned) == [("warning", FOUND), warning]
    blocked = validate(run, "block", gate)
    assert (blocked.errors, said(blocked)) == ([FOUND], [("error", FOUND)])
    assert not create(run, "block", gate).valid
    assert not (run.root / "ingest").exists()
    made = create(run, "warn", gate)
    assert (made.valid, said(made)) == (True, said(warned))
    assert not create(run, "block", gate).valid  # the files are there, and may not enter all the same
    assert create(run, "off", None).ingest_id == made.ingest_id
    assert len(checked_files(python)) == before + 1
    packed = IngestRun(tmp_path, f"inbox/{DATASET}.h5ad.gz")
    packed.source.write_bytes(gzip.compress(run.source.read_bytes()))
    assert said(validate(packed, "block", gate)) == [("error", FOUND)]
    assert len(checked_files(python)) == before + 2


def test_a_file_that_could_not_be_checked(tmp_path: Path, gate: CellxgeneGate, python: str) -> None:
    run = IngestRun(tmp_path)
    make_cellxgene_file(run.source, donor_id="CRASH")
    sentence = "cellxgene-schema 0.0.7 could not check the file: RuntimeError: it broke; run again."
    assert said(validate(run, "warn", gate)) == [("warning", sentence)]
    before = len(checked_files(python))
    assert said(validate(run, "warn", gate)) == [("warning", sentence)]
    assert len(checked_files(python)) == before + 1  # nothing of it was kept
    assert create(run, "block", gate).errors == [sentence]


def test_another_kind_of_source(tmp_path: Path, gate: CellxgeneGate) -> None:
    plain = make_cellxgene_file(tmp_path / "plain.h5ad")
    run = IngestRun(tmp_path, f"inbox/{DATASET}.zarr")
    make_zarr(run.source, plain, 2)
    assert said(validate(run, "block", gate))[0][1].startswith("cellxgene-schema 0.0.7: the source is no .h5ad file")
    assert validate(run, "warn", gate).valid


@pytest.mark.parametrize("level", ["warn", "block"])
def test_an_environment_that_is_not_there(tmp_path: Path, level: str) -> None:
    run = IngestRun(tmp_path)
    make_cellxgene_file(run.source)
    (tmp_path / "python").write_text("#!/bin/sh\necho 'no  package.' >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    nowhere = CellxgeneGate(CellxgeneEnvironment(python="/nowhere/python"))
    empty = CellxgeneGate(CellxgeneEnvironment(python=str(tmp_path / "python")))
    reasons = {"/nowhere/python: No such file or directory": nowhere, "python: no package": empty, "(no Python": None}
    for reason, gate in reasons.items():
        with pytest.raises(InputError, match=re.escape(reason)) as caught:
            create(run, level, gate)
        assert "; make it with 'make cellxgene', or set NEXUS_CELLXGENE_PYTHON" in str(caught.value)


def test_what_yaml_makes_of_off() -> None:
    read = parse_yaml(DatasetConfig, "validation: {cellxgene_schema: off}", "lung.yaml")
    assert read == DatasetConfig()
    with pytest.raises(InputError, match=r"validation.cellxgene_schema: Input should be 'off', 'warn' or 'block'"):
        parse_yaml(DatasetConfig, "validation: {cellxgene_schema: on}", "lung.yaml")
