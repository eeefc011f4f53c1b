"""Dagster is stopped in every way while a pipeline job runs on the emulated Vertex AI, a program of its own.

The web server's GraphQL starts, ends and repeats runs; each run is a process of the real launcher.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import requests  # type: ignore[import-untyped, unused-ignore]

from nexus_assets.partitions import DATASETS, add_partition
from nexus_assets.policy import PIPELINE_JOB
from nexus_resources.pipelines.vertex_request import VertexOptions
from tests.emulators.vertex.program import ROOT, running_emulator
from tests.nexus_assets.world import World, make_source, tree

PARENT = VertexOptions("nexus-test", "europe-west4", "gs://nexus-test/nexus", "worker:1").parent
ASSETS = [{"path": ["ingest", name]} for name in ("validation_report", "ingest_files")]
SELECTOR = {
    "repositoryLocationName": "nexus",
    "repositoryName": "__repository__",
    "jobName": "ingest_dataset",
    "assetSelection": ASSETS,
    "assetCheckSelection": None,
}
LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
AGAIN = """mutation($params: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
TERMINATE = "mutation($id: String!) { terminateRun(runId: $id, terminatePolicy: SAFE_TERMINATE) { __typename } }"
GATE = """
import os, pathlib, time
if os.environ.get("_KFP_RUNTIME") == "true":
    while not pathlib.Path(os.environ["NEXUS_TEST_GATE"]).exists():
        time.sleep(0.05)
"""
"""Python runs this when it starts: the tasks of pipelines wait until the test lets them go."""


class Place:
    """A root with a Dagster instance, its web server, and the emulator."""

    def __init__(self, root: Path, endpoint: str, gate: Path, instance: dg.DagsterInstance, address: str) -> None:
        self.root, self.endpoint, self.gate = root, endpoint, gate
        self.instance, self._address = instance, address

    def launch(self) -> str:
        tags = [{"key": "dagster/partition", "value": "lung"}]
        return self._run_id(LAUNCH, {"selector": SELECTOR, "runConfigData": {}, "executionMetadata": {"tags": tags}})

    def again(self, run_id: str) -> str:
        return self._run_id(AGAIN, {"parentRunId": run_id, "strategy": "ALL_STEPS"})

    def terminate(self, run_id: str) -> None:
        assert self._ask(TERMINATE, {"id": run_id})["terminateRun"]["__typename"] == "TerminateRunSuccess"

    def job_of(self, run_id: str) -> tuple[str, str]:
        """Wait until a run has named its pipeline job, and return how it came to it."""
        named = re.compile(r"Pipeline job (\S+) (submitted|attached|adopted)")
        self.wait(lambda: named.search(self.log(run_id)), f"run {run_id} does not name a job")
        match = named.search(self.log(run_id))
        assert match is not None
        return match[1], match[2]

    def ends(self, run_id: str) -> dg.DagsterRunStatus:
        self.wait(lambda: self.run(run_id).is_finished, "the run does not end")
        return self.run(run_id).status

    def run(self, run_id: str) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def log(self, run_id: str) -> str:
        return "\n".join(record.message for record in self.instance.all_logs(run_id))

    def state(self, job_id: str) -> str:
        answer = requests.get(f"{self.endpoint}/v1/{PARENT}/pipelineJobs/{job_id}", timeout=10)
        return str(answer.json()["state"]).removeprefix("PIPELINE_STATE_")

    def creates(self) -> int:
        return int(requests.get(f"{self.endpoint}/calls", timeout=10).json().get("CreatePipelineJob", 0))

    def stop_worker(self, run_id: str, number: signal.Signals) -> None:
        """Send a signal to the process that executes a run, and wait until it is gone."""
        said = re.search(r"\(pid: (\d+)\)", self.log(run_id))
        assert said is not None, self.log(run_id)
        pid = int(said[1])
        os.kill(pid, number)
        self.wait(lambda: not _lives(pid), "the process of the run lives on")

    def wait(self, true: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 60
        while not true():
            assert time.monotonic() < deadline, what
            time.sleep(0.05)

    def _run_id(self, query: str, params: dict[str, Any]) -> str:
        (answer,) = self._ask(query, {"params": params}).values()
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        answer = requests.post(
            f"{self._address}/graphql", json={"query": query, "variables": variables}, timeout=60
        ).json()
        assert "errors" not in answer, answer
        return dict(answer["data"])


def _lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def web_server(home: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run the web server over the location of the tests; its log is in the Dagster home."""
    (home / "workspace.yaml").write_text(
        "load_from: [{python_module: {module_name: tests.nexus_assets.vertex_location, location_name: nexus}}]\n"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with (home / "webserver.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "nexus_assets.web_server"),
                *("--port", port, "--workspace", str(home / "workspace.yaml")),
            ],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 90
        while not _answers(f"{address}/server_info"):
            assert process.poll() is None, (home / "webserver.log").read_text()
            assert time.monotonic() < deadline, "the web server does not answer"
            time.sleep(0.1)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _answers(address: str) -> bool:
    try:
        return bool(requests.get(address, timeout=5).ok)
    except requests.ConnectionError:
        return False


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    root, home, gate, start = (tmp_path / name for name in ("nexus", "home", "gate", "start"))
    for folder in (root / "inbox", home, start):
        folder.mkdir(parents=True)
    (start / "sitecustomize.py").write_text(GATE)
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}\n"
    )
    make_source().write_h5ad(root / "inbox/lung.h5ad")
    gated = {"PYTHONPATH": os.pathsep.join([str(start), str(ROOT)]), "NEXUS_TEST_GATE": str(gate)}
    with running_emulator(tmp_path / "jobs", gated) as endpoint:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("NEXUS_", "DAGSTER_"))}
        environment |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
            "DAGSTER_HOME": str(home),
            "NEXUS_ROOT": str(root),
            "TEST_VERTEX_ENDPOINT": endpoint,
        }
        with (
            dg.DagsterInstance.from_config(str(home)) as instance,
            web_server(home, environment) as address,
        ):
            add_partition(instance, DATASETS, "lung")
            yield Place(root, endpoint, gate, instance, address)


@pytest.mark.timeout(240)
def test_a_job_outlives_dagster_and_ends_with_a_cancelled_run_only(place: Place) -> None:
    first = place.launch()
    job, how = place.job_of(first)
    assert how == "submitted"
    place.stop_worker(first, signal.SIGTERM)
    assert place.ends(first) is dg.DagsterRunStatus.FAILURE
    assert place.state(job) == "RUNNING"

    second = place.again(first)
    assert place.job_of(second) == (job, "attached")
    place.stop_worker(second, signal.SIGKILL)
    assert place.state(job) == "RUNNING"
    place.instance.report_run_failed(place.run(second))  # as run monitoring does

    third = place.again(second)
    assert place.job_of(third) == (job, "attached")
    place.gate.touch()
    assert place.ends(third) is dg.DagsterRunStatus.SUCCESS, place.log(third)
    assert place.creates() == 1
    assert place.run(third).tags[PIPELINE_JOB] == job
    made = tree(place.root / "ingest")

    place.gate.unlink()
    fourth = place.launch()
    other, how = place.job_of(fourth)
    assert (other != job, how, place.creates()) == (True, "submitted", 2)
    place.terminate(fourth)
    assert place.ends(fourth) is dg.DagsterRunStatus.CANCELED
    assert place.state(other) == "CANCELLED"

    # What is made without any disturbance, at the same path, which is part of the bytes.
    place.root.rename(place.root.with_name("disturbed"))
    world = World(place.root)
    shutil.copytree(place.root.with_name("disturbed") / "inbox", place.root / "inbox")
    selection = [dg.AssetKey(asset["path"]) for asset in ASSETS]
    assert world.run("ingest_dataset", "lung", asset_selection=selection).success
    assert len(made) > 3
    assert tree(place.root / "ingest") == made
