"""What the CELLxGENE gate counts on in the environment of the validator: the real one, and the one that stands in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from omics_datastore.ingest.cellxgene_gate import CellxgeneEnvironment, CellxgeneGate
from tests.cellxgene_file import WRONG_TISSUE, make_cellxgene_file

MISSING = f"'{WRONG_TISSUE}' in 'tissue_ontology_term_id' is not a valid ontology term id of"


class CellxgeneContract:
    """Subclasses give ``python``, the Python of an environment."""

    @pytest.fixture
    def environment(self, python: str) -> CellxgeneEnvironment:
        return CellxgeneEnvironment(python=python, seconds=240)

    @pytest.fixture
    def gate(self, environment: CellxgeneEnvironment) -> Iterator[CellxgeneGate]:
        with CellxgeneGate(environment) as gate:
            yield gate

    @pytest.mark.timeout(600)
    def test_files_one_after_the_other(self, gate: CellxgeneGate, tmp_path: Path) -> None:
        good = make_cellxgene_file(tmp_path / "good ö.h5ad")
        bad = make_cellxgene_file(tmp_path / "bad.h5ad", tissue_ontology_term_id=WRONG_TISSUE)
        torn = tmp_path / "torn.h5ad"
        torn.write_bytes(good.read_bytes()[:1000])
        first = gate.check(good)
        assert first.version == gate.version()
        assert first.version[0].isdigit()
        assert (first.errors, first.failed) == ([], None)
        assert any("only has 5 rows" in text for text in first.warnings)
        refused = gate.check(bad)
        assert refused.failed is None
        assert [text for text in refused.errors if text.startswith(MISSING)]
        unread = gate.check(torn)
        assert unread.failed is None
        assert unread.errors
        assert all("\n" not in text for text in unread.errors)
        assert gate.check(good) == first

    def test_time_is_limited(self, environment: CellxgeneEnvironment, tmp_path: Path) -> None:
        path = make_cellxgene_file(tmp_path / "slow.h5ad")
        with CellxgeneGate(environment.model_copy(update={"seconds": 0.05})) as gate:
            assert gate.check(path).failed == "it took more than 0 seconds"

    def test_memory_is_limited(self, environment: CellxgeneEnvironment, tmp_path: Path) -> None:
        path = make_cellxgene_file(tmp_path / "large.h5ad")
        with CellxgeneGate(environment.model_copy(update={"memory_mb": 1500})) as gate:
            verdict = gate.check(path)
            assert verdict.failed
            assert (verdict.errors, verdict.warnings) == ([], [])
