"""The way of a run from the web UI to its end in production: who asked, the queue, a lost worker, the second try.

The parts of the daemon are run one after another, as the daemon does in its threads.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import httpx
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._daemon.auto_run_reexecution.auto_run_reexecution import consume_new_runs_for_automatic_reexecution
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster_webserver.webserver import DagsterWebserver

from nexus_assets import policy
from nexus_resources.cloud_run_launcher import EXECUTION
from nexus_resources.run_coordinator import REQUESTED_BY
from tests.deploy import sample_location
from tests.deploy.conftest import Production

LOG = logging.getLogger("test")
LAUNCH = """mutation($given: ExecutionParams!) {
  launchRun(executionParams: $given) {
    ... on LaunchRunSuccess { run { runId status } }
    ... on PythonError { message }
  }
}"""


@pytest.fixture
def workspace(production: Production) -> Iterator[WorkspaceProcessContext]:
    target = PythonFileTarget(sample_location.__file__, None, working_directory=None, location_name="sample")
    with production.open_instance() as instance, WorkspaceProcessContext(instance, target) as process:
        yield process


def _launch(workspace: WorkspaceProcessContext, job: str, headers: dict[str, str]) -> dg.DagsterRun:
    """Launch a run as the web UI does, by GraphQL over its own server."""
    selector = {"repositoryLocationName": "sample", "repositoryName": "__repository__", "jobName": job}
    body = {"query": LAUNCH, "variables": {"given": {"selector": selector, "runConfigData": {}}}}

    async def post() -> Any:
        web = httpx.ASGITransport(app=DagsterWebserver(workspace).create_asgi_app())
        async with httpx.AsyncClient(transport=web, base_url="http://nexus") as browser:
            return (await browser.post("/graphql", json=body, headers=headers, timeout=60)).json()

    return _run(workspace, asyncio.run(post())["data"]["launchRun"]["run"]["runId"])


def _run(workspace: WorkspaceProcessContext, run_id: str) -> dg.DagsterRun:
    run = workspace.instance.get_run_by_id(run_id)
    assert run is not None
    return run


def _wait(workspace: WorkspaceProcessContext, run_id: str, until: Callable[[dg.DagsterRun], bool]) -> dg.DagsterRun:
    end = time.monotonic() + 90
    while not until(run := _run(workspace, run_id)):
        assert time.monotonic() < end, run.status
        time.sleep(0.1)
    return run


def _started(run: dg.DagsterRun) -> bool:
    return run.status == dg.DagsterRunStatus.STARTED


def test_a_lost_worker_is_seen_and_its_run_tried_again(
    workspace: WorkspaceProcessContext, production: Production
) -> None:
    by_nobody = _launch(workspace, "ends", {})
    assert REQUESTED_BY not in by_nobody.tags
    workspace.instance.run_coordinator.cancel_run(by_nobody.run_id)

    first = _launch(workspace, "waits", {"X-Goog-Authenticated-User-Email": "accounts.google.com:ada@example.org"})
    assert (first.status, first.tags[REQUESTED_BY]) == (dg.DagsterRunStatus.QUEUED, "ada@example.org")
    assert REQUESTED_BY == policy.REQUESTED_BY
    with QueuedRunCoordinatorDaemon(interval_seconds=1) as queue:
        list(queue.run_iteration(workspace))
    first = _wait(workspace, first.run_id, _started)

    production.cloud_run.processes[first.tags[EXECUTION]].kill()
    production.cloud_run.processes[first.tags[EXECUTION]].wait()
    list(execute_run_monitoring_iteration(workspace, LOG))
    assert _run(workspace, first.run_id).status == dg.DagsterRunStatus.FAILURE

    lost = workspace.instance.get_run_records(dg.RunsFilter(run_ids=[first.run_id]))
    list(consume_new_runs_for_automatic_reexecution(workspace, lost, LOG))
    again = [run for run in workspace.instance.get_runs() if run.parent_run_id == first.run_id]
    assert [run.root_run_id for run in again] == [first.run_id]
    assert again[0].status == dg.DagsterRunStatus.QUEUED
    # Who asked is remembered; the try is for them.
    assert again[0].tags[REQUESTED_BY] == "ada@example.org"
    workspace.instance.run_coordinator.cancel_run(again[0].run_id)


def test_a_failed_step_is_not_tried_again(workspace: WorkspaceProcessContext) -> None:
    run = _launch(workspace, "fails", {})
    with QueuedRunCoordinatorDaemon(interval_seconds=1) as queue:
        list(queue.run_iteration(workspace))
    _wait(workspace, run.run_id, lambda seen: seen.is_finished)
    list(
        consume_new_runs_for_automatic_reexecution(
            workspace, workspace.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id])), LOG
        )
    )
    assert [seen for seen in workspace.instance.get_runs() if seen.parent_run_id == run.run_id] == []
