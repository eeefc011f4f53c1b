"""Fixtures that any test may ask for: the emulators, each started once in a process of its own when first asked for."""

import fcntl
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.emulators.bigquery.process import BigQueryEmulator, shared_bigquery
from tests.emulators.storage.client import StorageEmulator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that may take longest, lest one of them runs alone at the end."""
    items.sort(key=lambda item: not item.get_closest_marker("timeout"))


@contextmanager
def shared_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """Give a folder that all processes of a test run share, to one of them at a time."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


@pytest.fixture
def no_settings() -> Iterator[None]:
    """Take the settings of Nexus out of the environment, and put back what commands change in it."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(("NEXUS_", "DAGSTER_")):
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def storage_server() -> Iterator[StorageEmulator]:
    with StorageEmulator() as emulator:
        yield emulator


@pytest.fixture
def storage_emulator(storage_server: StorageEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageEmulator]:
    """The Cloud Storage emulator, to which this process and its children talk, without faults."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_server.address)
    storage_server.expect()
    yield storage_server
    storage_server.expect()


@pytest.fixture
def cloud_root(storage_emulator: StorageEmulator) -> str:
    """The root of an empty store in a new bucket of the emulator."""
    bucket = f"nexus-{uuid.uuid4().hex}"
    storage_emulator.make_bucket(bucket)
    return f"gs://{bucket}/some/prefix"


@pytest.fixture(scope="session")
def bigquery_server(tmp_path_factory: pytest.TempPathFactory) -> BigQueryEmulator:
    """The BigQuery emulator of this test run; the workers of pytest-xdist share one."""
    worker = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if worker else base) / "bigquery-emulator"
    return shared_bigquery(folder, os.getppid() if worker else os.getpid())


@pytest.fixture
def bigquery_emulator(bigquery_server: BigQueryEmulator, monkeypatch: pytest.MonkeyPatch) -> BigQueryEmulator:
    """The BigQuery emulator, to which this process and its children talk."""
    for name, value in bigquery_server.environment().items():
        monkeypatch.setenv(name, value)
    return bigquery_server


@pytest.fixture(scope="session")
def laptop_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``nexus demo --cells 400`` ran: ``nexus-data``, and ``said.txt``, what it printed.

    It is made once for all processes of a test run; do not write to it.
    """
    with shared_folder(tmp_path_factory, "laptop-demo") as folder:
        said = folder / "said.txt"
        if not said.exists():
            command = [str(Path(sys.executable).with_name("nexus")), "demo", "--cells", "400"]
            settings = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
            done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
            said.write_text(done.stdout)
    return folder
