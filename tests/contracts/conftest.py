"""Runners under the contract: each with a way to make the same jobs. A new runner joins as one more parameter."""

# kfp has no types.
# mypy: disable-error-code="untyped-decorator"

import contextlib
import os
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from kfp_components.catalog import BASE_IMAGE
from kfp_components.messages import open_messages
from kfp_components.progress import Progress, ProgressWriter
from kfp_components.results import write_failure
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.local import LocalPipelines
from nexus_resources.pipelines.observer import How, PipelineObserver
from nexus_resources.pipelines.runner import PipelineRunner, Polling
from nexus_resources.pipelines.scripted import Attempt, Look, ScriptedJob, ScriptedPipelines
from nexus_resources.pipelines.states import JobStatus, PipelineState, TaskState, TaskStatus
from nexus_resources.pipelines.vertex import VertexPipelines
from nexus_resources.pipelines.vertex_request import VertexOptions
from omics_datastore.errors import InputError
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.storage.open import open_store
from tests.emulators.vertex.server import RestServer
from tests.emulators.vertex.service import PipelineServiceEmulator

SENTENCE = "lung.h5ad holds no counts in X: name the layer that does in counts_from."


@dataclass
class Recorder(PipelineObserver):
    """Everything an observer was told, in order."""

    events: list[tuple[str, Any]] = field(default_factory=list)

    def submitted(self, job_id: str, link: str, how: How) -> None:
        self.events.append(("submitted", (job_id, link, how)))

    def state_changed(self, status: JobStatus) -> None:
        self.events.append(("state", status.state))

    def task_changed(self, task: TaskStatus) -> None:
        self.events.append(("task", (task.name, task.state)))

    def progress(self, progress: Progress) -> None:
        self.events.append(("progress", progress))

    def of(self, kind: str) -> list[Any]:
        return [what for name, what in self.events if name == kind]

    def wait_for(self, kind: str) -> None:
        deadline = time.monotonic() + (1800 if os.environ.get("NEXUS_TEST_GCP") == "1" else 20)
        while not self.of(kind):
            assert time.monotonic() < deadline, f"nothing was told of {kind}"
            time.sleep(0.01)


class Place(ABC):
    """Where jobs run. Each action of a job is one task:

    ok · fail (an exception) · refuse (an input error) · sleep (until cancelled) · die (killed) ·
    progress (writes some); ``a/b`` does a in the first attempt and b in the next.
    """

    def __init__(self, folder: Path) -> None:
        self.store: ObjectStore = FolderStore(folder / "store")

    @abstractmethod
    def runner(self) -> PipelineRunner:
        """Return a new runner of the same place, as another process would have."""

    @abstractmethod
    def spec(self) -> str:
        """Return the compiled pipeline."""

    def job(self, *actions: str, **changes: Any) -> PipelineJob:
        job = PipelineJob(
            pipeline="_".join(action.replace("/", "_then_") for action in actions),
            spec=self.spec(),
            parameters={"root": self.store.root, "actions": list(actions)},
            identity=JobIdentity("run-1", "step", "lung"),
            store=self.store,
            result_keys=tuple(f"results/{action.split('/')[0]}.json" for action in actions),
            messages_prefix="messages/",
        )
        return replace(job, **changes)

    @abstractmethod
    def wait_until_asleep(self) -> None:
        """Wait until a task has begun to sleep."""

    @abstractmethod
    def close(self) -> None:
        """End what still runs."""


class LocalPlace(Place):
    def __init__(self, folder: Path, spec: str) -> None:
        super().__init__(folder)
        self._jobs = folder / "jobs"
        self._spec = spec

    def runner(self) -> LocalPipelines:
        return LocalPipelines(self._jobs, polling=Polling(0.05, 0.1))

    def spec(self) -> str:
        return self._spec

    def wait_until_asleep(self) -> None:
        deadline = time.monotonic() + 20
        while self.store.stat("sleeping") is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def close(self) -> None:
        self.runner().close()


class ScriptedPlace(Place):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._jobs: dict[str, ScriptedJob] = {}
        self._scripts: dict[str, list[Attempt]] = {}

    def runner(self) -> PipelineRunner:
        return ScriptedPipelines(self._scripts, jobs=self._jobs, polling=Polling(0.001, 0.01))

    def spec(self) -> str:
        return "pipelineInfo: {name: scripted}"

    def job(self, *actions: str, **changes: Any) -> PipelineJob:
        job = super().job(*actions, **changes)
        attempts = max(len(action.split("/")) for action in actions)
        self._scripts[job.pipeline] = [
            self._attempt([action.split("/")[min(number, action.count("/"))] for action in actions], job.result_keys)
            for number in range(attempts)
        ]
        return job

    def wait_until_asleep(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _attempt(self, actions: list[str], result_keys: tuple[str, ...]) -> Attempt:
        def on_create(job: PipelineJob) -> None:
            for action, key in zip(actions, result_keys, strict=True):
                if action == "refuse":
                    write_failure(self.store, key, InputError(SENTENCE))
                if action == "progress":
                    with open_messages(self.store, "messages/0000") as messages:
                        ProgressWriter(messages, "cells", [30]).update(0, 1, 3)

        names = [f"act_job[{number}]" for number in range(len(actions))]
        running = Look(PipelineState.RUNNING, dict.fromkeys(names, TaskState.RUNNING))
        good = {"ok": True, "progress": True}
        states = {
            name: TaskState.SUCCEEDED if good.get(action) else TaskState.FAILED
            for name, action in zip(names, actions, strict=True)
        }
        if "sleep" in actions:
            return Attempt([Look(PipelineState.PENDING), running], on_create=on_create)
        bad = [action for action in actions if action not in good]
        if not bad:
            return Attempt(
                [Look(transient=True), Look(PipelineState.QUEUED), running, Look(PipelineState.SUCCEEDED, states)],
                on_create=on_create,
            )
        return Attempt(
            [running, Look(PipelineState.FAILED, states)],
            error="a task failed",
            failure="retryable" if "die" in bad else "permanent",
            log=("Traceback (most recent call last):", "RuntimeError: it does not work"),
            on_create=on_create,
        )


class VertexPlace(ScriptedPlace):
    """Vertex AI as the emulator plays it from the same scripts: the real client, a real socket."""

    def __init__(self, folder: Path, spec: str) -> None:
        super().__init__(folder)
        self._spec = spec
        scripted = ScriptedPipelines(self._scripts, jobs=self._jobs)
        self._server = RestServer(PipelineServiceEmulator(scripted))

    def runner(self) -> VertexPipelines:
        options = VertexOptions("nexus-test", "europe-west4", "gs://nexus-test/pipelines", "worker")
        return VertexPipelines(options, endpoint=self._server.endpoint, polling=Polling(0.01, 0.05))

    def spec(self) -> str:
        return self._spec

    def close(self) -> None:
        self._server.close()


class CloudPlace(Place):
    """A real project, of which ``NEXUS_ROOT``, ``NEXUS_PROJECT``, ``NEXUS_REGION``, ``NEXUS_WORKER_IMAGE`` speak.

    ``NEXUS_TEST_GCP=1 pytest --timeout 3600 tests/contracts/test_pipeline_runner.py -k cloud``; a job takes minutes.
    """

    def __init__(self, spec: str) -> None:
        self.store = open_store(f"{os.environ['NEXUS_ROOT'].rstrip('/')}/contract-tests/{uuid.uuid4().hex}")
        self._spec = spec
        self._submitted: list[str] = []

    def runner(self) -> VertexPipelines:
        options = VertexOptions(
            project=os.environ["NEXUS_PROJECT"],
            region=os.environ["NEXUS_REGION"],
            pipeline_root=f"{self.store.root}/pipelines",
            worker_image=os.environ["NEXUS_WORKER_IMAGE"],
            service_account=os.environ.get("NEXUS_SERVICE_ACCOUNT", ""),
        )
        return VertexPipelines(options)

    def spec(self) -> str:
        return self._spec.replace("python:3.11", BASE_IMAGE)

    def job(self, *actions: str, **changes: Any) -> PipelineJob:
        job = super().job(*actions, **changes)
        identity = replace(job.identity, root_run=f"{job.identity.root_run}-{self.store.root[-32:]}")
        job = replace(job, identity=identity)
        self._submitted.append(job.job_id(1))
        return job

    def wait_until_asleep(self) -> None:
        deadline = time.monotonic() + 900
        while self.store.stat("sleeping") is None:
            assert time.monotonic() < deadline
            time.sleep(5)

    def close(self) -> None:
        for job_id in self._submitted:
            with contextlib.suppress(KeyError):
                self.runner().cancel(job_id)


@pytest.fixture(scope="session")
def acting_pipeline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Compile a pipeline whose tasks do what their parameter says."""
    from kfp import compiler, dsl

    @dsl.component(base_image="python:3.11", install_kfp_package=False)
    def act_job(root: str, action: str) -> None:
        import os
        import signal
        import time

        from kfp_components.messages import open_messages
        from kfp_components.progress import ProgressWriter
        from kfp_components.results import write_failure
        from omics_datastore.errors import InputError
        from omics_datastore.storage.open import open_store

        store = open_store(root)
        first, _, then = action.partition("/")
        marker = f"seen-{action.replace('/', '-')}"
        now = then if then and store.stat(marker) is not None else first
        store.write(marker, b"")
        if now == "fail":
            raise RuntimeError("it does not work")
        if now == "refuse":
            sentence = "lung.h5ad holds no counts in X: name the layer that does in counts_from."
            write_failure(store, f"results/{first}.json", InputError(sentence))
            raise InputError(sentence)
        if now == "sleep":
            store.write("sleeping", str(os.getpid()).encode())
            time.sleep(120)
        if now == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if now == "progress":
            with open_messages(store, "messages/0000") as messages:
                ProgressWriter(messages, "cells", [30]).update(0, 1, 3)
            time.sleep(0.3)

    @dsl.pipeline(name="acting-pipeline")
    def acting_pipeline(root: str, actions: list[str]) -> None:
        with dsl.ParallelFor(actions) as action:
            act_job(root=root, action=action).set_caching_options(False)

    path = tmp_path_factory.mktemp("spec") / "acting.yaml"
    compiler.Compiler().compile(acting_pipeline, str(path))
    return path.read_text()


@pytest.fixture(params=["local", "scripted", "vertex", *(["cloud"] if os.environ.get("NEXUS_TEST_GCP") == "1" else [])])
def place(request: pytest.FixtureRequest, tmp_path: Path, acting_pipeline: str) -> Iterator[Place]:
    places: dict[str, Callable[[], Place]] = {
        "local": lambda: LocalPlace(tmp_path, acting_pipeline),
        "scripted": lambda: ScriptedPlace(tmp_path),
        "vertex": lambda: VertexPlace(tmp_path, acting_pipeline),
        "cloud": lambda: CloudPlace(acting_pipeline),
    }
    place = places[request.param]()
    yield place
    place.close()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def sentence() -> str:
    return SENTENCE


@pytest.fixture
def make_recorder() -> Callable[[], Recorder]:
    return Recorder
