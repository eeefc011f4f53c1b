"""A bar on the terminal for the pipelines of a run."""

from typing import Any

from kfp_components.progress import Progress
from nexus_resources.pipelines.observer import How, PipelineObserver
from nexus_resources.pipelines.resource import LocalPipelinesResource, PipelinesResource
from nexus_resources.pipelines.states import JobStatus
from nexus_resources.pipelines.vertex_resource import VertexPipelinesResource


class TerminalPipelines(LocalPipelinesResource):
    """Run pipelines locally and show how far they are."""

    def observers(self) -> list[PipelineObserver]:
        return [BarObserver()]


class TerminalVertexPipelines(VertexPipelinesResource):
    """Run pipelines on Vertex AI and show how far they are."""

    def observers(self) -> list[PipelineObserver]:
        return [BarObserver()]


def with_bar(pipelines: PipelinesResource) -> PipelinesResource:
    """Return the same pipelines with a bar on the terminal.

    :param pipelines: Pipelines resource of a deployment.
    :return: The pipelines with a bar.
    """
    kind = TerminalVertexPipelines if isinstance(pipelines, VertexPipelinesResource) else TerminalPipelines
    return kind(**pipelines.model_dump())


class BarObserver(PipelineObserver):
    """Draw one bar on standard error while a job runs."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None

    def submitted(self, job_id: str, link: str, how: How) -> None:  # noqa: ARG002
        import atexit

        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(job_id.rsplit("-", 2)[0].removeprefix("nexus-").replace("-", " "), total=None)
        self._bar.start()
        atexit.register(self._stop)  # or an interrupted command leaves the terminal without a cursor

    def progress(self, progress: Progress) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=progress.done, total=progress.total or None)

    def state_changed(self, status: JobStatus) -> None:
        if status.state.is_final:
            self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
