"""VertexPipelines through the real client and a socket, against the emulator with scripted states."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format

from kfp_components.catalog import compiled_pipeline
from nexus_resources.pipelines.errors import (
    PipelineCancelledError,
    PipelineFailedError,
    PipelineRetryableError,
    TransientServiceError,
)
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.observer import PipelineObserver
from nexus_resources.pipelines.runner import Polling
from nexus_resources.pipelines.scripted import Attempt, Look, ScriptedPipelines
from nexus_resources.pipelines.states import JobStatus, PipelineState, TaskState
from nexus_resources.pipelines.vertex import VertexPipelines
from nexus_resources.pipelines.vertex_request import VertexOptions
from omics_datastore.errors import InputError
from omics_datastore.storage.folder import FolderStore
from tests.emulators.vertex.server import RestServer, grpc_server
from tests.emulators.vertex.service import PipelineServiceEmulator

OPTIONS = VertexOptions("nexus-test", "europe-west4", "gs://nexus-test/pipelines", "worker:1")
SUCCEEDED = Attempt([Look(PipelineState.SUCCEEDED)])
S = PipelineState


@dataclass
class Vertex:
    """The emulator, its scripts, and runners that talk to it."""

    scripts: dict[str, list[Attempt]]
    service: PipelineServiceEmulator
    endpoint: str

    def runner(self, **changes: Any) -> VertexPipelines:
        polling = Polling(0.001, 0.01, patience=4)
        return VertexPipelines(replace(OPTIONS, **changes), endpoint=self.endpoint, polling=polling)

    def job(self, *attempts: Attempt, **changes: Any) -> PipelineJob:
        self.scripts["validate_pipeline"] = list(attempts or [SUCCEEDED])
        job = PipelineJob(
            "validate_pipeline",
            compiled_pipeline("validate_pipeline"),
            {"root": "/data", "config_keys": ["a", "b"]},
            JobIdentity("run", "step", "lung"),
        )
        return replace(job, **changes)

    def message(self, job: PipelineJob, attempt: int = 1) -> Any:
        return self.service.get(f"{OPTIONS.parent}/pipelineJobs/{job.job_id(attempt)}")


@pytest.fixture
def vertex() -> Iterator[Vertex]:
    scripts: dict[str, list[Attempt]] = {}
    service = PipelineServiceEmulator(ScriptedPipelines(scripts))
    server = RestServer(service)
    yield Vertex(scripts, service, server.endpoint)
    server.close()


def failed(error: str, **rest: Any) -> Attempt:
    return Attempt([Look(S.FAILED, {"validate_anndata_job[0]": TaskState.FAILED})], error=error, **rest)


def test_every_state_of_a_job_is_told_apart_and_only_success_is_success(vertex: Vertex) -> None:
    ends: dict[str, str] = {}
    for state in v1.PipelineState:
        name = state.name.removeprefix("PIPELINE_STATE_")
        looks = (
            [Look(PipelineState[name])]
            if PipelineState[name].is_final or name == "PAUSED"
            else [Look(PipelineState[name]), Look(S.SUCCEEDED)]
        )
        job = vertex.job(Attempt(looks, error="e"), identity=JobIdentity(f"run-{name}", "step"))
        seen: list[PipelineState] = []

        class Recorder(PipelineObserver):
            def state_changed(self, status: JobStatus, seen: list[PipelineState] = seen) -> None:
                seen.append(status.state)

        # One script serves all jobs, so each state is the first that its job is seen in.
        vertex.scripts["validate_pipeline"] = [Attempt(looks, error="e")] * 99
        try:
            vertex.runner().run(job, Recorder())
            ends[name] = "succeeded"
        except PipelineFailedError as error:
            ends[name] = type(error).__name__
        assert seen[0] is PipelineState[name]
    assert ends == {
        "UNSPECIFIED": "succeeded",
        "QUEUED": "succeeded",
        "PENDING": "succeeded",
        "RUNNING": "succeeded",
        "CANCELLING": "succeeded",
        "SUCCEEDED": "succeeded",
        "FAILED": "PipelineFailedError",
        "CANCELLED": "PipelineCancelledError",
        "PAUSED": "PipelineFailedError",
    }


def test_every_state_of_a_task_is_told_apart(vertex: Vertex) -> None:
    states = [TaskState.from_name(state.name) for state in v1.PipelineTaskDetail.State]
    assert len(set(states)) == len(v1.PipelineTaskDetail.State)
    look = Look(S.SUCCEEDED, {f"validate_anndata_job[{n}]": state for n, state in enumerate(states)})
    tasks = vertex.runner().run(vertex.job(Attempt([look]))).tasks
    assert [task.state for task in tasks] == states
    assert [task.cache_hit for task in tasks] == [state is TaskState.SKIPPED for state in states]
    assert all(task.log and "logs/query" in task.log for task in tasks)


def test_the_dry_run_is_what_is_submitted(vertex: Vertex) -> None:
    changes = {
        "service_account": "worker@nexus-test.iam.gserviceaccount.com",
        "network": "projects/1/global/networks/nexus",
        "cmek_key": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "labels": {"team": "atlas", "environment": "test"},
        "failure_policy": "slow",
        "caching": "on",
    }
    job = vertex.job(labels={"nexus-partition": "Lung Cells.v1", "nexus-run": "R" * 80})
    said = vertex.runner(**changes).describe(job)
    assert vertex.service.calls["CreatePipelineJob"] == 0
    vertex.runner(**changes).run(job)
    content = json_format.MessageToDict(v1.PipelineJob.pb(vertex.message(job)))
    assert {name: content[name] for name in said["pipelineJob"]} == said["pipelineJob"]
    assert content["name"] == f"{said['parent']}/pipelineJobs/{said['pipelineJobId']}"
    assert content["labels"]["team"] == "atlas"
    assert content["labels"]["nexus-partition"] == "lung-cells-v1"
    assert len(content["labels"]["nexus-run"]) == 63
    assert content["serviceAccount"] == changes["service_account"]
    assert content["network"] == changes["network"]
    assert content["encryptionSpec"] == {"kmsKeyName": changes["cmek_key"]}
    assert content["runtimeConfig"]["failurePolicy"] == "PIPELINE_FAILURE_POLICY_FAIL_SLOW"
    assert content["runtimeConfig"]["gcsOutputDirectory"] == "gs://nexus-test/pipelines"
    assert "nexus-worker:python3.11" not in str(content)
    executor = content["pipelineSpec"]["deploymentSpec"]["executors"]["exec-validate-anndata-job"]
    assert executor["container"]["image"] == "worker:1"


@pytest.mark.parametrize("status", ["RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL"])
def test_a_service_that_is_busy_is_asked_again(vertex: Vertex, status: str) -> None:
    vertex.service.faults = {method: deque([status] * 3) for method in ("CreatePipelineJob", "GetPipelineJob")}
    assert vertex.runner().run(vertex.job()).how == "submitted"
    assert vertex.service.calls["CreatePipelineJob"] == 4
    vertex.service.faults = {"GetPipelineJob": deque([status] * 9)}
    with pytest.raises(TransientServiceError, match="GetPipelineJob failed"):
        vertex.runner().run(vertex.job())


def test_a_submission_whose_answer_was_lost_is_not_made_twice(vertex: Vertex) -> None:
    vertex.service.lost_answers.append("CreatePipelineJob")
    job = vertex.job()
    result = vertex.runner().run(job)
    assert result.job_id == job.job_id(1)
    assert vertex.service.calls["CreatePipelineJob"] == 2
    assert vertex.runner().run(job).how == "adopted"
    assert vertex.service.calls["CreatePipelineJob"] == 2


@pytest.mark.parametrize(
    ("status", "advice"),
    [("PERMISSION_DENIED", "roles/aiplatform.user"), ("NOT_FOUND", "NEXUS_REGION"), ("INVALID_ARGUMENT", "doctor")],
)
def test_a_refusal_is_one_sentence_with_advice(vertex: Vertex, status: str, advice: str) -> None:
    vertex.service.faults["CreatePipelineJob"] = deque([status])
    with pytest.raises(InputError, match=f"refused the call for projects/nexus-test.*{advice}"):
        vertex.runner().run(vertex.job())
    assert vertex.service.calls["CreatePipelineJob"] == 1


def test_a_job_that_is_deleted_while_it_is_watched_may_be_tried_again(vertex: Vertex) -> None:
    job = vertex.job(Attempt([Look()]))

    class Deleting(PipelineObserver):
        def state_changed(self, status: JobStatus) -> None:
            vertex.service.lose(f"{OPTIONS.parent}/pipelineJobs/{status.job_id}")

    with pytest.raises(PipelineRetryableError, match="the job was deleted"):
        vertex.runner().run(job, Deleting())


def test_a_failure_shows_its_tasks_and_the_log_of_the_one_that_failed(vertex: Vertex) -> None:
    with pytest.raises(PipelineFailedError) as caught:
        vertex.runner().run(vertex.job(failed("a task failed", log=("one", "two"))))
    assert caught.value.log_tail == ("one", "two")
    task = caught.value.status.failed_task()
    assert task is not None
    assert task.minutes is not None
    assert task.error == "The task failed."


def test_a_log_that_cannot_be_read_hides_nothing(vertex: Vertex, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(number: str, lines: int) -> list[str]:
        raise RuntimeError("no log")

    monkeypatch.setattr(vertex.service, "log_lines", broken)
    with pytest.raises(PipelineFailedError, match="a task failed") as caught:
        vertex.runner().run(vertex.job(failed("a task failed")))
    assert caught.value.log_tail == ()


def test_spot_machines_are_left_after_a_preemption_and_not_before(vertex: Vertex) -> None:
    attempts = [failed("broken"), failed("the machine was preempted"), failed("broken"), SUCCEEDED]
    job = vertex.job(*attempts)
    spot = vertex.runner(spot=True, spot_launcher_image="launcher:1")
    kinds: list[type[Exception]] = []
    for _ in range(3):
        with pytest.raises(PipelineFailedError) as caught:
            spot.run(job)
        kinds.append(caught.type)
    assert kinds == [PipelineFailedError, PipelineRetryableError, PipelineFailedError]
    assert spot.run(job).job_id == job.job_id(4)
    used = [vertex.message(job, attempt).labels["nexus-provisioning"] for attempt in (1, 2, 3, 4)]
    assert used == ["spot", "spot", "on-demand", "on-demand"]
    images = [
        executor["container"]["image"]
        for attempt in (2, 3)
        for executor in v1.PipelineJob.to_dict(vertex.message(job, attempt))["pipeline_spec"]["deploymentSpec"][
            "executors"
        ].values()
    ]
    assert images == ["launcher:1", "worker:1"]


def test_active_jobs_are_those_with_the_labels_that_have_not_ended(vertex: Vertex) -> None:
    mine, other = {"nexus-instance": "me", "nexus-root-run": "r"}, {"nexus-instance": "you"}
    runner = vertex.runner()
    running = Attempt([Look()])
    for number, labels in enumerate([mine, mine, other]):
        job = vertex.job(running, labels=labels, identity=JobIdentity(f"run-{number}", "step"))
        runner._create(job.job_id(1), job)
    done = vertex.job(Attempt([Look(S.SUCCEEDED)]), labels=mine)
    vertex.scripts["validate_pipeline"] = [SUCCEEDED] * 9
    runner.run(done)
    listed = runner.active_jobs({"nexus-instance": "me"})
    assert len(listed) == 2
    assert {(job.state, job.labels["nexus-root-run"], job.created is not None) for job in listed} == {
        (S.RUNNING, "r", True)
    }
    runner.cancel(listed[0].job_id)
    assert [job.job_id for job in runner.active_jobs({"nexus-instance": "me"})] == [listed[1].job_id]


def test_a_long_list_goes_into_a_file_of_the_store(vertex: Vertex, tmp_path: Any) -> None:
    from kfp_components.parameters import resolve

    store = FolderStore(tmp_path)
    keys = [f"tasks/run/{'x' * 150}/{number:04d}/config.yaml" for number in range(500)]
    job = vertex.job(parameters={"root": store.root, "config_keys": keys}, store=store)
    vertex.runner().run(job)
    values = json_format.MessageToDict(v1.PipelineJob.pb(vertex.message(job)))["runtimeConfig"]["parameterValues"]
    assert values["root"] == store.root
    assert len(str(values)) < len(str(keys)) / 2
    assert [resolve(store, value) for value in values["config_keys"]] == keys


def test_links_are_those_of_the_console_without_an_endpoint() -> None:
    assert VertexPipelines(OPTIONS).link("nexus-a1") == (
        "https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines/runs/nexus-a1?project=nexus-test"
    )


@pytest.fixture
def grpc_runner(vertex: Vertex) -> Iterator[Callable[[], VertexPipelines]]:
    import grpc  # type: ignore[import-untyped, unused-ignore]
    from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient
    from google.cloud.aiplatform_v1.services.pipeline_service.transports import PipelineServiceGrpcTransport

    server, address = grpc_server(vertex.service)
    with grpc.insecure_channel(address) as channel:
        client = PipelineServiceClient(transport=PipelineServiceGrpcTransport(channel=channel))
        yield lambda: VertexPipelines(OPTIONS, client=client, polling=Polling(0.001, 0.01, patience=4))
    server.stop(None).wait()


def test_it_is_the_same_over_grpc(vertex: Vertex, grpc_runner: Callable[[], VertexPipelines]) -> None:
    vertex.service.faults = {"CreatePipelineJob": deque(["RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL"])}
    vertex.service.lost_answers.append("CreatePipelineJob")
    job = vertex.job(Attempt([Look()]), labels={"nexus-instance": "me"})

    class Cancelling(PipelineObserver):
        def state_changed(self, status: JobStatus) -> None:
            if status.state is S.RUNNING:
                assert [job.job_id for job in runner.active_jobs({"nexus-instance": "me"})] == [status.job_id]
                assert runner.cancel(status.job_id) is S.CANCELLED

    runner = grpc_runner()
    with pytest.raises(PipelineCancelledError):
        runner.run(job, Cancelling())
    assert vertex.service.calls["CreatePipelineJob"] == 5
    vertex.scripts["validate_pipeline"] = [SUCCEEDED] * 9
    assert runner.run(job).job_id == job.job_id(2)
    assert runner.run(job).how == "adopted"
    with pytest.raises(KeyError):
        runner.cancel("nexus-never-a1")
    vertex.service.faults["GetPipelineJob"] = deque(["PERMISSION_DENIED"])
    with pytest.raises(InputError, match=r"roles/aiplatform\.user"):
        runner.run(job)
