"""``nexus up``: the web UI answers, a drop becomes green assets without another action, and all of it ends."""

import json
import os
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance

from tests.nexus_assets.cli.conftest import Nexus
from tests.nexus_assets.cli.processes import processes_of, start, wait_until
from tests.nexus_assets.world import make_source

GREEN = [
    "ingest/source_files",
    "ingest/validation_report",
    "ingest/ingest_files",
    "warehouse/cell_info",
    "warehouse/feature_info",
    "warehouse/raw_counts",
    "warehouse/ingest_info",
]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def served(tmp_path: Path, port: int) -> Iterator[tuple[Path, "subprocess.Popen[str]"]]:
    root = tmp_path / "nexus"
    process = start(root, "up", "--port", str(port), quiet_seconds="1")
    yield root, process
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


@pytest.mark.timeout(400)
def test_a_drop_turns_green(tmp_path: Path, port: int, served: tuple[Path, "subprocess.Popen[str]"]) -> None:
    root, process = served
    assert process.stderr is not None
    assert f"http://127.0.0.1:{port}" in process.stderr.readline()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=30) as answer:
        assert "dagster_version" in json.load(answer)
    make_source().write_h5ad(tmp_path / "a.h5ad")
    (root / "inbox/lung").mkdir()
    shutil.move(tmp_path / "a.h5ad", root / "inbox/lung/a.h5ad")
    with DagsterInstance.from_config(str(root / "dagster")) as instance:
        wait_until(lambda: green(instance) == GREEN, 120, f"only {green(instance)} are green")
        wait_until(lambda: all(run.is_finished for run in instance.get_runs()), 60, "the run does not end")
        (run,) = instance.get_runs()
        assert run.tags["nexus/requested_by"] == "landing_sensor"
        assert run.is_success
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "Stopping.\n")
    assert processes_of(root) == []


def green(instance: DagsterInstance) -> list[str]:
    return [key for key in GREEN if "lung" in instance.get_materialized_partitions(AssetKey(key.split("/")))]


def test_a_port_that_is_taken_is_said(nexus: Nexus) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sentence = nexus("up", "--port", str(port)).sentence()
    assert sentence == f"port {port} on 127.0.0.1 is taken (Address already in use); choose another with --port."
    assert not list((nexus.root / "dagster").glob("*.log"))
    assert os.environ["DAGSTER_HOME"] == str(nexus.root / "dagster")
