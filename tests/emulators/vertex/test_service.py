"""The emulator answers the real client as the service does (errors, listings, deletion), and executes what it gets."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform_v1 as v1

from kfp_components.catalog import compiled_pipeline
from nexus_resources.pipelines.errors import PipelineFailedError, PipelineRetryableError
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.labels import PROVISIONING
from nexus_resources.pipelines.scripted import Attempt, Look, ScriptedPipelines
from nexus_resources.pipelines.states import PipelineState, TaskState
from nexus_resources.pipelines.vertex import VertexPipelines
from nexus_resources.pipelines.vertex_request import VertexOptions, create_request
from tests.emulators.vertex.program import running_emulator
from tests.emulators.vertex.server import RestServer
from tests.emulators.vertex.service import PipelineServiceEmulator

OPTIONS = VertexOptions("nexus-test", "europe-west4", "gs://nexus-test/pipelines", "worker:1")


@pytest.fixture
def service() -> PipelineServiceEmulator:
    return PipelineServiceEmulator(ScriptedPipelines({"validate_pipeline": [Attempt([Look()])]}))


@pytest.fixture
def client(service: PipelineServiceEmulator) -> Iterator[Any]:
    server = RestServer(service)
    yield v1.PipelineServiceClient(
        credentials=AnonymousCredentials(), transport="rest", client_options={"api_endpoint": server.endpoint}
    )
    server.close()


def submit(client: Any, job_id: str, **changes: Any) -> Any:
    job = PipelineJob("validate_pipeline", compiled_pipeline("validate_pipeline"), {}, JobIdentity("run", "step"))
    document = create_request(OPTIONS, job_id, job, spot=False)
    message = v1.PipelineJob(
        display_name="validate_pipeline",
        pipeline_spec=document["pipelineJob"]["pipelineSpec"],
        runtime_config={"gcs_output_directory": OPTIONS.pipeline_root},
        **changes,
    )
    return client.create_pipeline_job(parent=OPTIONS.parent, pipeline_job=message, pipeline_job_id=job_id)


def test_an_id_is_taken_once(client: Any) -> None:
    assert submit(client, "a").name == f"{OPTIONS.parent}/pipelineJobs/a"
    with pytest.raises(exceptions.Conflict, match="already exists"):
        submit(client, "a")


@pytest.mark.parametrize(
    ("job_id", "changes"),
    [
        ("A", {}),
        ("a" * 129, {}),
        ("a", {"labels": {"Key": "v"}}),
        ("a", {"labels": {"key": "v" * 65}}),
        ("a", {"labels": {f"k{n}": "v" for n in range(65)}}),
    ],
)
def test_what_the_service_refuses_is_refused(client: Any, job_id: str, changes: dict[str, Any]) -> None:
    with pytest.raises(exceptions.BadRequest, match="Invalid argument"):
        submit(client, job_id, **changes)


def test_a_listing_is_filtered_masked_and_comes_in_pages(client: Any) -> None:
    for number in range(5):
        submit(client, f"job-{number}", labels={"kind": "odd" if number % 2 else "even"})
    client.cancel_pipeline_job(name=f"{OPTIONS.parent}/pipelineJobs/job-2")
    request = {"parent": OPTIONS.parent, "page_size": 2, "filter": 'labels.kind="even"'}
    pages = list(client.list_pipeline_jobs(request).pages)
    assert [[job.name[-1] for job in page.pipeline_jobs] for page in pages] == [["4", "2"], ["0"]]
    assert all(job.pipeline_spec and not job.job_detail.task_details for page in pages for job in page.pipeline_jobs)
    request |= {"filter": 'labels.kind="even" AND state!="PIPELINE_STATE_CANCELLED"', "read_mask": "name,state"}
    masked = list(client.list_pipeline_jobs(request))
    assert [job.name[-1] for job in masked] == ["4", "0"]
    assert not any(job.pipeline_spec or job.labels for job in masked)
    with pytest.raises(exceptions.BadRequest, match="Invalid filter"):
        list(client.list_pipeline_jobs({"parent": OPTIONS.parent, "filter": "create_time>yesterday"}))


def test_only_what_ended_is_deleted(client: Any, service: PipelineServiceEmulator) -> None:
    name = submit(client, "a").name
    with pytest.raises(exceptions.BadRequest, match="has not ended"):
        client.delete_pipeline_job(name=name)
    client.cancel_pipeline_job(name=name)
    assert client.get_pipeline_job(name=name).state is v1.PipelineState.PIPELINE_STATE_CANCELLED
    client.delete_pipeline_job(name=name)
    with pytest.raises(exceptions.NotFound):
        client.get_pipeline_job(name=name)
    assert service.calls["DeletePipelineJob"] == 2


def test_the_program_executes_what_is_submitted(tmp_path: Path, shell_pipeline: str) -> None:
    def job(*codes: str) -> PipelineJob:
        return PipelineJob("shell_pipeline", shell_pipeline, {"codes": list(codes)}, JobIdentity("run", "step"))

    with running_emulator(tmp_path / "jobs") as endpoint:
        spot = replace(OPTIONS, spot=True, spot_launcher_image="launcher:1")
        runner = VertexPipelines(spot, endpoint=endpoint)
        faults = {"CreatePipelineJob": ["RESOURCE_EXHAUSTED", "UNAVAILABLE"]}
        assert requests.post(f"{endpoint}/faults", json=faults, timeout=10).ok
        codes = ["print('well done')", f"open({str(tmp_path / 'made')!r}, 'w')"]
        result = runner.run(job(*codes))
        assert [(task.name, task.state) for task in result.tasks] == [
            ("python_job[0]", TaskState.SUCCEEDED),
            ("python_job[1]", TaskState.SUCCEEDED),
        ]
        assert all((task.minutes or 0) > 0 for task in result.tasks)
        assert (tmp_path / "made").exists()
        assert requests.get(f"{endpoint}/calls", timeout=10).json()["CreatePipelineJob"] == 3
        kept = runner._job(result.job_id)
        assert kept.labels[PROVISIONING] == "spot"
        assert '"image_uri": "worker:1"' in str(v1.PipelineJob.to_dict(kept)["pipeline_spec"])

        plain = VertexPipelines(OPTIONS, endpoint=endpoint)
        with pytest.raises(PipelineFailedError) as broken:
            plain.run(job("raise ValueError('broken')"))
        assert not broken.value.retryable
        assert broken.value.log_tail[-1] == "ValueError: broken"
        with pytest.raises(PipelineRetryableError, match="non-zero status of 137"):
            plain.run(job("import os; os.kill(os.getpid(), 9)"))
        assert plain.cancel(result.job_id) is PipelineState.SUCCEEDED
