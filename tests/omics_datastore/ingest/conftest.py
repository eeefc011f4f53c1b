"""A store with an inbox for one source file."""

from pathlib import Path

import pytest

from tests.omics_datastore.ingest.ingest_run import IngestRun


@pytest.fixture
def run(tmp_path: Path) -> IngestRun:
    return IngestRun(tmp_path / "nexus")
