"""The fake runner for tests: jobs follow a script, or call the components' functions in this process.

It keeps the contract of :class:`~nexus_resources.pipelines.runner.PipelineRunner` and starts no process.
"""

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from kfp_components.catalog import PIPELINES
from nexus_resources.pipelines.errors import JobExistsError, TransientServiceError
from nexus_resources.pipelines.job import PipelineJob
from nexus_resources.pipelines.runner import PipelineRunner, Polling
from nexus_resources.pipelines.states import JobStatus, ListedJob, PipelineState, TaskState, TaskStatus


@dataclass(frozen=True)
class Look:
    """What one look at a job shows; ``transient`` makes the look fail this once instead."""

    state: PipelineState = PipelineState.RUNNING
    tasks: Mapping[str, TaskState] = field(default_factory=dict)
    transient: bool = False


@dataclass(frozen=True)
class Attempt:
    """The script of one attempt: what looks at it show in turn (the last one for ever), and how it failed."""

    looks: Sequence[Look]
    error: str | None = None
    failure: Literal["retryable", "permanent"] | None = None
    log: tuple[str, ...] = ()
    on_create: Callable[[PipelineJob], None] | None = None


@dataclass
class ScriptedJob:
    """A job that was submitted to the fake."""

    job: PipelineJob
    attempt: Attempt
    created: float
    looked: int = 0
    cancelled: bool = False

    def now(self) -> Look:
        """Return what the next look shows."""
        return self.attempt.looks[min(self.looked, len(self.attempt.looks) - 1)]


class ScriptedPipelines(PipelineRunner):
    """Follow scripts.

    :param scripts: For a pipeline's name, its attempts in the order in which they are submitted; the last one repeats.
    :param components: For a component's name, its function of (root, config_key); a pipeline of the catalog that has
        no script calls them, in order, when it is submitted.
    :param jobs: Jobs by id; give two runners the same to make them see each other's, as two processes would.
    :param polling: How often to look.
    """

    polling: ClassVar[Polling] = Polling(0.0, 0.0)

    def __init__(
        self,
        scripts: Mapping[str, Sequence[Attempt]] | None = None,
        *,
        components: Mapping[str, Callable[[str, str], None]] | None = None,
        jobs: dict[str, ScriptedJob] | None = None,
        polling: Polling | None = None,
    ) -> None:
        super().__init__(polling=polling)
        self.jobs: dict[str, ScriptedJob] = {} if jobs is None else jobs
        self._scripts = {} if scripts is None else scripts
        self._components = dict(components or {})

    def link(self, job_id: str) -> str:
        return f"scripted:{job_id}"

    def active_jobs(self, labels: Mapping[str, str]) -> list[ListedJob]:
        return [
            ListedJob(job_id, scripted.now().state, scripted.created, scripted.job.labels)
            for job_id, scripted in self.jobs.items()
            if labels.items() <= scripted.job.labels.items() and not scripted.cancelled
            if not scripted.now().state.is_final
        ]

    def _create(self, job_id: str, job: PipelineJob) -> None:
        if job_id in self.jobs:
            raise JobExistsError(job_id)
        created = time.time()
        if job.pipeline in self._scripts:
            script = self._scripts[job.pipeline]
            before = sum(other.job.pipeline == job.pipeline for other in self.jobs.values())
            attempt = script[min(before, len(script) - 1)]
        else:
            attempt = self._execute(job)
        self.jobs[job_id] = ScriptedJob(job, attempt, created)
        if attempt.on_create is not None:
            attempt.on_create(job)

    def _get(self, job_id: str) -> JobStatus | None:
        scripted = self.jobs.get(job_id)
        if scripted is None:
            return None
        looks = scripted.attempt.looks
        look = scripted.now()
        before = looks[max(0, min(scripted.looked, len(looks)) - 1)]
        if scripted.cancelled and not (scripted.looked > 0 and before.state.is_final):
            tasks = tuple(TaskStatus(name, TaskState.CANCELLED) for name in look.tasks)
            return JobStatus(job_id, PipelineState.CANCELLED, scripted.created, tasks)
        scripted.looked += 1
        if look.transient:
            raise TransientServiceError(job_id)
        failed = look.state is PipelineState.FAILED
        return JobStatus(
            job_id,
            look.state,
            scripted.created,
            tuple(TaskStatus(name, state) for name, state in look.tasks.items()),
            scripted.attempt.error if failed else None,
            (scripted.attempt.failure or "permanent") if failed else None,
        )

    def _cancel(self, job_id: str) -> None:
        if job_id in self.jobs:
            self.jobs[job_id].cancelled = True

    def _log_tail(self, job_id: str, task: TaskStatus | None, lines: int) -> tuple[str, ...]:  # noqa: ARG002
        return self.jobs[job_id].attempt.log[-lines:] if job_id in self.jobs else ()

    def _execute(self, job: PipelineJob) -> Attempt:
        """Call the functions of a pipeline's components and write the script of what happened."""
        tasks: dict[str, TaskState] = {}
        for name, component, key in _calls(job.pipeline, job.parameters):
            try:
                self._components[component](str(job.parameters["root"]), key)
            except Exception as error:  # noqa: BLE001 - whatever a component raises fails its task
                tasks[name] = TaskState.FAILED
                log = tuple("".join(traceback.format_exception(error)).splitlines())
                looks = [Look(tasks=dict.fromkeys(tasks, TaskState.RUNNING)), Look(PipelineState.FAILED, tasks)]
                return Attempt(looks, error=f"{name} raised {type(error).__name__}", log=log)
            tasks[name] = TaskState.SUCCEEDED
        return Attempt([Look(tasks=dict.fromkeys(tasks, TaskState.RUNNING)), Look(PipelineState.SUCCEEDED, tasks)])


def _calls(pipeline: str, parameters: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """List the calls of a pipeline: name of the task, name of the component, key of the configuration."""
    calls: list[tuple[str, str, str]] = []
    for step in PIPELINES[pipeline]:
        value = parameters.get(step.parameter)
        if step.fan_out:
            calls += [(f"{step.component}[{number}]", step.component, key) for number, key in enumerate(value or [])]
        elif value:
            calls.append((step.component, step.component, str(value)))
    return calls
