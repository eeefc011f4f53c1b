"""Launch every Dagster run as an execution of one Cloud Run job; nothing about what a run does.

The job is made by Terraform with the platform image; an execution overrides its arguments with the run's own command.
The API is the `Cloud Run Admin API v2 <https://cloud.google.com/run/docs/reference/rest>`_ over REST.

Terminating a run first reports it as canceling and then cancels the execution: Cloud Run sends SIGTERM and ten seconds
later SIGKILL, and the run's process finds its run CANCELING, cancels its pipeline job and reports the end itself. A
process that gets SIGTERM for any other reason finds its run STARTED and leaves the pipeline job to the run's retry.
"""

import os
import random
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from omics_datastore.errors import InputError, NexusError

EXECUTION = "nexus/execution"
"""Run tag: full name of the Cloud Run execution, ``projects/…/locations/…/jobs/…/executions/…``."""
ENDPOINT = "NEXUS_CLOUD_RUN_ENDPOINT"
"""Variable: address of a stand-in for the API, spoken to without credentials."""
_API = "https://run.googleapis.com"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_SECONDS = 60
_NOT_FOUND = 404
_BUSY = (429, 503)
_WAITS = (1, 2, 4, 8, 15, 30)
"""Seconds between tries while the API is busy: it takes few calls a minute, and a refused launch ends a run."""


class CloudRunError(NexusError):
    """Say what the Cloud Run API refused."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class CloudRunLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """Run each run in an execution of a Cloud Run job."""

    def __init__(self, job: str, inst_data: ConfigurableClassData | None = None) -> None:
        parts = job.split("/")
        if len(parts) != 6 or parts[::2] != ["projects", "locations", "jobs"] or not all(parts):
            raise InputError(f"{job!r} is not a Cloud Run job: use projects/<project>/locations/<region>/jobs/<job>.")
        super().__init__()  # type: ignore[no-untyped-call]
        self.job = job
        self._inst_data = inst_data

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """Return how the instance's configuration named this launcher."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return the fields of the launcher in ``dagster.yaml``."""
        return {"job": dg.Field(dg.StringSource, description="projects/<project>/locations/<region>/jobs/<job>")}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Make the launcher of a ``dagster.yaml``."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start an execution whose arguments are the run's command; the job's own command is ``dagster``."""
        run = context.dagster_run
        origin = context.job_code_origin
        if origin is None:
            raise CloudRunError(0, f"run {run.run_id} has no code origin: launch it from a code location.")
        whole = ExecuteRunArgs(
            job_origin=origin, run_id=run.run_id, instance_ref=self._instance.get_ref()
        ).get_command_args()
        override = {
            "args": list(whole[whole.index("api") :]),
            "env": [{"name": "DAGSTER_RUN_JOB_NAME", "value": run.job_name}],
        }
        answer = self._call("POST", f"{self.job}:run", {"overrides": {"containerOverrides": [override]}})
        execution = answer["metadata"]["name"]
        self._instance.add_run_tags(run.run_id, {EXECUTION: execution})
        self._instance.report_engine_event(f"Launched in Cloud Run execution {execution}.", run, cls=self.__class__)

    def terminate(self, run_id: str) -> bool:
        """Report a run as canceling and cancel its execution.

        :return: Whether the execution was asked to stop.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or EXECUTION not in run.tags:
            return False
        self._instance.report_run_canceling(run)
        try:
            self._call("POST", f"{run.tags[EXECUTION]}:cancel", {})
        except CloudRunError as error:
            self._instance.report_engine_event(f"The execution was not canceled: {error}", run, cls=self.__class__)
            return False
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Let Dagster's run monitoring ask after a run's process."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Say how the process of a run is; a call that fails says nothing about the run."""
        execution = run.tags.get(EXECUTION)
        if execution is None:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, "The run has no Cloud Run execution yet.")
        try:
            seen = self._call("GET", execution)
        except CloudRunError as error:
            status = WorkerStatus.NOT_FOUND if error.status == _NOT_FOUND else WorkerStatus.UNKNOWN
            return CheckRunHealthResult(status, str(error))
        if "completionTime" not in seen:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if int(seen.get("succeededCount", 0)) > 0:
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        ends = [f"{kind} {seen[kind]}" for kind in ("failedCount", "cancelledCount") if seen.get(kind)]
        log = f", log: {seen['logUri']}" if seen.get("logUri") else ""
        return CheckRunHealthResult(WorkerStatus.FAILED, f"The execution ended ({', '.join(ends)}){log}.")

    @cached_property
    def _session(self) -> Any:
        import google.auth
        from google.auth.credentials import AnonymousCredentials
        from google.auth.transport.requests import AuthorizedSession

        if os.environ.get(ENDPOINT):
            return AuthorizedSession(AnonymousCredentials())
        return AuthorizedSession(google.auth.default(scopes=_SCOPES)[0])

    def _call(self, method: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        address = f"{os.environ.get(ENDPOINT) or _API}/v2/{name}"
        for wait in (*_WAITS, None):
            response = self._session.request(method, address, json=body, timeout=_SECONDS)
            if response.status_code not in _BUSY or wait is None:
                break
            time.sleep(wait * (1 + random.random()) / 2)  # noqa: S311
        if response.ok:
            answer: dict[str, Any] = response.json()
            return answer
        try:
            message = response.json()["error"]["message"]
        except (ValueError, KeyError, TypeError):
            message = response.reason
        raise CloudRunError(
            response.status_code, f"Cloud Run refused {method} {name}: {response.status_code} {message}."
        )
