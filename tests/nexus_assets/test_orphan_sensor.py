"""Pipeline jobs that no run waits for are told and cancelled, on Vertex AI and on this machine; all others are not."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kfp_components.catalog import compiled_pipeline
from nexus_assets.defs.ops.orphan_sensor import orphan_pipelines
from nexus_assets.instance_id import instance_id
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.labels import INSTANCE, ROOT_RUN
from nexus_resources.pipelines.local import LocalPipelines
from nexus_resources.pipelines.runner import PipelineRunner
from nexus_resources.pipelines.scripted import Attempt, Look, ScriptedPipelines
from nexus_resources.pipelines.states import PipelineState
from nexus_resources.pipelines.vertex import VertexPipelines
from nexus_resources.pipelines.vertex_request import VertexOptions
from tests.emulators.vertex.server import RestServer
from tests.emulators.vertex.service import PipelineServiceEmulator
from tests.nexus_assets.world import InProcessPipelines, World

STARTED = dg.DagsterRunStatus.STARTED


class Daemon:
    """Tick as the daemon does, and keep the cursor."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cursor: str | None = None

    def tick(self, grace_minutes: float = 0.0, **settings: Any) -> str:
        resource = InProcessPipelines(world=str(self.world.root), orphan_grace_minutes=grace_minutes, **settings)
        context = dg.build_sensor_context(
            instance=self.world.instance, cursor=self.cursor, resources={"pipelines": resource}
        )
        result = orphan_pipelines(context)
        assert isinstance(result, dg.SensorResult)
        assert not result.run_requests
        self.cursor = result.cursor
        assert isinstance(result.skip_reason, dg.SkipReason)
        return result.skip_reason.skip_message or ""


@pytest.fixture
def daemon(world: World) -> Daemon:
    return Daemon(world)


@pytest.fixture
def service(world: World) -> Iterator[PipelineServiceEmulator]:
    service = PipelineServiceEmulator(ScriptedPipelines({"validate_pipeline": [Attempt([Look()])]}))
    server = RestServer(service)
    options = VertexOptions("nexus-test", "europe-west4", "gs://nexus-test/pipelines", "worker:1")
    world.use(VertexPipelines(options, endpoint=server.endpoint))
    yield service
    server.close()


def runner_of(world: World) -> PipelineRunner:
    return InProcessPipelines(world=str(world.root)).runner()


def submit(world: World, root_run: str, instance: str | None = None) -> str:
    labels = {INSTANCE: instance or instance_id(world.instance), ROOT_RUN: root_run}
    spec = compiled_pipeline("validate_pipeline")
    job = PipelineJob("validate_pipeline", spec, {}, JobIdentity(root_run, "step"), labels)
    runner_of(world)._create(job.job_id(1), job)
    return job.job_id(1)


def state_of(world: World, job_id: str) -> PipelineState:
    status = runner_of(world)._get(job_id)
    assert status is not None
    return status.state


def add_run(world: World, status: dg.DagsterRunStatus, root: str | None = None) -> dg.DagsterRun:
    tags = {} if root is None else {"dagster/root_run_id": root, "dagster/parent_run_id": root}
    run = dg.DagsterRun("ingest_dataset", status=status, root_run_id=root, parent_run_id=root, tags=tags)
    return world.instance.add_run(run)


@pytest.mark.usefixtures("service")
def test_only_jobs_that_no_run_waits_for_are_cancelled(world: World, daemon: Daemon) -> None:
    running, ended = add_run(world, STARTED), add_run(world, dg.DagsterRunStatus.FAILURE)
    repeated = add_run(world, dg.DagsterRunStatus.FAILURE)
    add_run(world, dg.DagsterRunStatus.NOT_STARTED, root=repeated.run_id)
    waited = [submit(world, running.run_id), submit(world, repeated.run_id)]
    others = submit(world, "a-run-of-another-instance", instance="f" * 32)
    orphans = [submit(world, ended.run_id), submit(world, "a-run-that-was-deleted")]
    said = daemon.tick()
    for job_id in orphans:
        assert f"no run waits for pipeline job {job_id}" in said
        assert state_of(world, job_id) is PipelineState.CANCELLED
    for job_id in [*waited, others]:
        assert job_id not in said
        assert state_of(world, job_id) is PipelineState.RUNNING
    assert daemon.tick() == "a run waits for every pipeline job that is active"


@pytest.mark.usefixtures("service")
def test_there_is_a_grace_period_in_which_a_run_may_come_back(world: World, daemon: Daemon) -> None:
    ended = add_run(world, dg.DagsterRunStatus.FAILURE)
    job_id = submit(world, ended.run_id)
    assert daemon.tick(30).endswith("; it is cancelled in 30 minutes")
    assert state_of(world, job_id) is PipelineState.RUNNING
    again = add_run(world, STARTED, root=ended.run_id)
    assert job_id not in daemon.tick(0)
    world.instance.report_run_failed(again)
    assert daemon.tick(30).endswith("; it is cancelled in 30 minutes"), "the time begins anew"
    assert job_id in (daemon.cursor or "")
    assert daemon.tick(0).endswith("; it was cancelled")


def test_a_service_that_does_not_answer_is_not_taken_for_having_no_jobs(
    world: World, daemon: Daemon, service: PipelineServiceEmulator
) -> None:
    job_id = submit(world, "deleted")
    daemon.tick(30)
    before = daemon.cursor
    service.faults["ListPipelineJobs"] = deque(["UNAVAILABLE"])
    assert "did not answer" in daemon.tick(30)
    assert daemon.cursor == before
    service.faults["CancelPipelineJob"] = deque(["UNAVAILABLE"])
    assert "is tried again" in daemon.tick(0)
    assert job_id in (daemon.cursor or "")
    assert "it was cancelled" in daemon.tick(0)


def test_jobs_of_this_machine_are_cancelled_and_the_old_ones_removed(
    world: World, daemon: Daemon, shell_pipeline: str, tmp_path: Path
) -> None:
    world.use(LocalPipelines(tmp_path / "jobs"))
    labels = {INSTANCE: instance_id(world.instance), ROOT_RUN: "deleted"}
    parameters = {"codes": ["import time; time.sleep(60)"]}
    job = PipelineJob("shell_pipeline", shell_pipeline, parameters, JobIdentity("deleted", "step"), labels)
    runner_of(world)._create(job.job_id(1), job)
    assert "it is cancelled in 5 minutes" in daemon.tick(5)
    assert "it was cancelled" in daemon.tick()
    assert state_of(world, job.job_id(1)) is PipelineState.CANCELLED
    assert "removed what was kept of 1 old jobs" in daemon.tick(keep_jobs=0, keep_days=0)
    assert list((tmp_path / "jobs").iterdir()) == []
