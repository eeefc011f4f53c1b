"""``nexus doctor`` on Google Cloud, against the three emulators: what is there, and each thing that is not."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nexus_resources.pipelines.scripted import ScriptedPipelines
from omics_datastore.storage.cloud_storage import CloudStore
from tests.emulators.bigquery.process import BigQueryEmulator
from tests.emulators.storage.client import StorageEmulator
from tests.emulators.storage.faults import Fault
from tests.emulators.vertex.server import RestServer
from tests.emulators.vertex.service import PipelineServiceEmulator
from tests.nexus_assets.cli.conftest import Nexus
from tests.nexus_resources.gcp_environment import GCP
from tests.omics_datastore.storage.cloud_objects import objects


class Cloud:
    """A command line whose environment is a whole deployment; settings that a test changes."""

    def __init__(self, root: str, home: Path, endpoint: str) -> None:
        self.environment = {**GCP, "NEXUS_DAGSTER_HOME": str(home), "NEXUS_VERTEX_ENDPOINT": endpoint}
        self.root = root

    def doctor(self, root: str | None = None, **changed: str) -> tuple[int, dict[str, Any]]:
        """Return the exit code, and what was found by check; failures begin with ``FAILED``."""
        os.environ.update(self.environment | {f"NEXUS_{name.upper()}": value for name, value in changed.items()})
        nexus = Nexus(Path())
        nexus.root = root or self.root  # type: ignore[assignment] # a bucket
        outcome = nexus("doctor", "--json")
        assert outcome.err == ""
        rows = {}
        for row in json.loads(outcome.out):
            rows[row["check"]] = row["found"] if row["state"] == "ok" else f"FAILED {row['found']}"
        return outcome.code, rows


@pytest.fixture
def cloud(cloud_root: str, bigquery_emulator: BigQueryEmulator, tmp_path: Path) -> Iterator[Cloud]:
    server = RestServer(PipelineServiceEmulator(ScriptedPipelines({})))
    yield Cloud(cloud_root, tmp_path / "home", server.endpoint)
    server.close()


def failed(rows: dict[str, str]) -> set[str]:
    return {name for name, found in rows.items() if found.startswith("FAILED")}


def test_a_sound_deployment(cloud: Cloud, storage_emulator: StorageEmulator) -> None:
    code, rows = cloud.doctor()
    assert (code, failed(rows)) == (0, set()), rows
    assert rows["bucket"] == f"{cloud.root} in EU"
    assert rows["bigquery dataset"].startswith("my-project.atlas ")
    assert rows["vertex ai"] == "Vertex AI answers in europe-west4"
    assert rows["definitions"].endswith(" assets")
    assert rows["warehouse"] == "0 ingests, 0 current"
    assert rows["dagster instance"].startswith(cloud.environment["NEXUS_DAGSTER_HOME"])
    assert objects(CloudStore(cloud.root)) == set()


def test_what_is_missing_is_said_with_its_mending(cloud: Cloud, storage_emulator: StorageEmulator) -> None:
    code, rows = cloud.doctor(
        root="gs://no-such-bucket/x", region="us-central1", worker_image="worker", vertex_endpoint="http://127.0.0.1:9"
    )
    assert code == 2
    assert failed(rows) == {"locations", "bucket", "bucket writes", "vertex ai", "worker image"}, rows
    assert "choose NEXUS_REGION within NEXUS_LOCATION" in rows["locations"]
    assert rows["bucket"] == "FAILED there is no bucket no-such-bucket: make it, or correct NEXUS_ROOT."
    assert "check NEXUS_REGION" in rows["vertex ai"]
    assert "has no tag or digest" in rows["worker image"]


def test_places_that_differ(cloud: Cloud) -> None:
    code, rows = cloud.doctor(location="US", region="us-central1", bigquery_dataset="elsewhere")
    assert code == 2
    assert "bucket" in failed(rows)
    assert "lies in EU and NEXUS_LOCATION is US" in rows["bucket"]


def test_rights_that_lack(cloud: Cloud, storage_emulator: StorageEmulator) -> None:
    storage_emulator.expect(Fault("status", "^(POST|DELETE) .*/o", status=403, times=99))
    code, rows = cloud.doctor()
    assert code == 2
    assert failed(rows) == {"bucket writes"}, rows
    assert "grant this account roles/storage.objectAdmin" in rows["bucket writes"]


def test_no_home_of_dagster(cloud: Cloud) -> None:
    del cloud.environment["NEXUS_DAGSTER_HOME"]
    code, rows = cloud.doctor()
    assert code == 2
    assert failed(rows) == {"dagster instance"}
    assert "NEXUS_DAGSTER_HOME is not set" in rows["dagster instance"]
