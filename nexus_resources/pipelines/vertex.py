"""Vertex AI Pipelines through the plain client of its PipelineService.

``PipelineJob.submit`` of the high-level client is not used: it makes buckets and changes who may do what.
"""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from kfp_components.parameters import shorten
from nexus_resources.pipelines.job import PipelineJob
from nexus_resources.pipelines.labels import PROVISIONING, fit_label
from nexus_resources.pipelines.runner import PipelineRunner, Polling
from nexus_resources.pipelines.spec import container_tasks
from nexus_resources.pipelines.states import JobStatus, ListedJob, PipelineState, TaskStatus
from nexus_resources.pipelines.vertex_errors import call_error, was_preempted
from nexus_resources.pipelines.vertex_logs import log_tail
from nexus_resources.pipelines.vertex_request import VertexOptions, create_request
from nexus_resources.pipelines.vertex_status import job_status, log_jobs, messages_of

_T = TypeVar("_T")
_CALL_SECONDS = 60.0
_ATTEMPT = re.compile(r"(.*-a)(\d+)")
_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


class VertexPipelines(PipelineRunner):
    """Run pipelines on Vertex AI.

    :param options: How jobs run.
    :param endpoint: Address of an emulator; Google's own when left out.
    :param client: A client to use in place of one made here.
    :param polling: How often to look.
    :param sleep: Waits some seconds.
    """

    polling: ClassVar[Polling] = Polling(5.0, 60.0)

    def __init__(
        self,
        options: VertexOptions,
        *,
        endpoint: str | None = None,
        client: Any = None,
        polling: Polling | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        default = self.polling if endpoint is None else Polling(0.2, 1.0)
        super().__init__(polling=polling or default, sleep=sleep)
        self._options = options
        self._endpoint = endpoint.rstrip("/") if endpoint else None
        self._made_client = client
        self._tasks: dict[str, dict[str, bool]] = {}
        self._log_jobs: dict[str, dict[str, str]] = {}

    def link(self, job_id: str) -> str:
        if self._endpoint is not None:
            return f"{self._endpoint}/v1/{self._name(job_id)}"
        where = f"{self._options.region}/pipelines/runs/{job_id}?project={self._options.project}"
        return f"https://console.cloud.google.com/vertex-ai/locations/{where}"

    def describe(self, job: PipelineJob, attempt: int = 1) -> dict[str, Any]:
        return create_request(self._options, job.job_id(attempt), job, spot=self._options.spot)

    def active_jobs(self, labels: Mapping[str, str]) -> list[ListedJob]:
        terms = [f'labels.{key}="{fit_label(value)}"' for key, value in labels.items()]
        terms += [f'state!="PIPELINE_STATE_{state}"' for state in _ENDED]
        request = {
            "parent": self._options.parent,
            "filter": " AND ".join(terms),
            "page_size": 100,
            "read_mask": {"paths": ["name", "state", "labels", "create_time"]},
        }
        listed = self._call(lambda client: list(client.list_pipeline_jobs(request, **_once())))
        jobs = [
            ListedJob(
                job.name.rpartition("/")[2],
                PipelineState.from_name(job.state.name),
                float(job.create_time.timestamp()) if job.create_time else None,
                dict(job.labels),
            )
            for job in listed
        ]
        return [job for job in jobs if not job.state.is_final]

    def _create(self, job_id: str, job: PipelineJob) -> None:
        _, files = shorten(job.parameters)
        if job.store is not None:
            for key, content in files.items():
                job.store.write(key, content)
        document = create_request(self._options, job_id, job, spot=self._may_use_spot(job_id))

        def create(client: Any) -> None:
            from google.cloud.aiplatform_v1.types import CreatePipelineJobRequest
            from google.protobuf import json_format

            request = CreatePipelineJobRequest()
            json_format.ParseDict(document, CreatePipelineJobRequest.pb(request))
            client.create_pipeline_job(request, **_once())

        self._call(create)

    def _get(self, job_id: str) -> JobStatus | None:
        job = self._job(job_id)
        if job is None:
            return None
        if job_id not in self._tasks:
            from google.protobuf import json_format

            self._tasks[job_id] = container_tasks(json_format.MessageToDict(type(job).pb(job).pipeline_spec))
        self._log_jobs[job_id] = log_jobs(job, self._tasks[job_id])
        return job_status(job, self._tasks[job_id], self._options.project)

    def _cancel(self, job_id: str) -> None:
        from google.api_core import exceptions

        def cancel(client: Any) -> None:
            try:
                client.cancel_pipeline_job({"name": self._name(job_id)}, **_once())
            except (exceptions.NotFound, exceptions.FailedPrecondition):
                return  # there is none, or it ended; whoever looks next sees which

        self._call(cancel)

    def _log_tail(self, job_id: str, task: TaskStatus | None, lines: int) -> tuple[str, ...]:
        number = None if task is None else self._log_jobs.get(job_id, {}).get(task.name)
        return tuple(log_tail(self._options.project, job_id, number, lines, endpoint=self._endpoint))

    def _may_use_spot(self, job_id: str) -> bool:
        """Tell whether an attempt goes to spot machines: not any more once one of its like was preempted."""
        match = _ATTEMPT.fullmatch(job_id)
        if not self._options.spot or match is None or int(match[2]) == 1:
            return self._options.spot
        before = self._job(f"{match[1]}{int(match[2]) - 1}")
        if before is None:
            return True
        return before.labels.get(PROVISIONING) == "spot" and not was_preempted(messages_of(before))

    def _job(self, job_id: str) -> Any:
        from google.api_core import exceptions

        def get(client: Any) -> Any:
            try:
                return client.get_pipeline_job({"name": self._name(job_id)}, **_once())
            except exceptions.NotFound:
                return None

        return self._call(get)

    def _name(self, job_id: str) -> str:
        return f"{self._options.parent}/pipelineJobs/{job_id}"

    def _call(self, call: Callable[[Any], _T]) -> _T:
        try:
            return call(self._client())
        except Exception as error:
            meaning = call_error(error, self._options.parent)
            if meaning is error:
                raise
            raise meaning from error

    def _client(self) -> Any:
        if self._made_client is None:
            from google.cloud.aiplatform_v1.services.pipeline_service import PipelineServiceClient

            if self._endpoint is not None:
                from google.auth.credentials import AnonymousCredentials

                self._made_client = PipelineServiceClient(
                    credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call, unused-ignore]
                    transport="rest",
                    client_options={"api_endpoint": self._endpoint},
                )
            else:
                address = f"{self._options.region}-aiplatform.googleapis.com"
                self._made_client = PipelineServiceClient(client_options={"api_endpoint": address})
        return self._made_client


def _once() -> dict[str, Any]:
    """Return how a call is made: once, for the base class asks again."""
    return {"retry": None, "timeout": _CALL_SECONDS}
