"""The instance of ``deploy/dagster.yaml`` over a real PostgreSQL, an emulated bucket and a Cloud Run of processes."""

import shutil
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from nexus_resources.cloud_run_launcher import ENDPOINT
from tests.deploy.postgres_server import Postgres, running_postgres
from tests.emulators.cloud_run.server import CloudRunJob, job_environment, serve
from tests.emulators.storage.client import StorageEmulator

ROOT = Path(__file__).resolve().parents[2]
JOB = "projects/nexus-test/locations/europe-west4/jobs/nexus-run"


@dataclass(frozen=True)
class Production:
    """What stands in for the cloud, and where Dagster's home is."""

    home: Path
    bucket: str
    postgres: Postgres
    cloud_run: CloudRunJob

    def open_instance(self) -> dg.DagsterInstance:
        """Open the instance anew, as every process of the deployment does."""
        return dg.DagsterInstance.from_config(str(self.home))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def production(
    postgres: Postgres, storage_server: StorageEmulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Production]:
    home = tmp_path_factory.mktemp("dagster-home")
    bucket = f"nexus-logs-{uuid.uuid4().hex}"
    shutil.copy(ROOT / "deploy/dagster.yaml", home)
    storage_server.make_bucket(bucket)
    with pytest.MonkeyPatch.context() as patch:
        settings = {
            **postgres.environment,
            "DAGSTER_HOME": str(home),
            "DAGSTER_LOG_BUCKET": bucket,
            "DAGSTER_RUN_JOB": JOB,
            "STORAGE_EMULATOR_HOST": storage_server.address,
            "PYTHONPATH": str(ROOT),
        }
        for name, value in settings.items():
            patch.setenv(name, value)
        job = CloudRunJob(JOB, [sys.executable, "-m", "dagster"], job_environment(), home)
        with serve(job) as address:
            patch.setenv(ENDPOINT, address)
            yield Production(home, bucket, postgres, job)
