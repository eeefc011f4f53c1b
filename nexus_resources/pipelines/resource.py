"""The pipeline runner as a Dagster resource, with how far work is spread."""

from abc import ABC, abstractmethod

import dagster as dg

from kfp_components.configurations import ReadLimits
from nexus_resources.pipelines.local import LocalPipelines
from nexus_resources.pipelines.observer import PipelineObserver
from nexus_resources.pipelines.runner import PipelineRunner
from omics_datastore.ingest.cellxgene_gate import CellxgeneEnvironment


class PipelinesResource(dg.ConfigurableResource, ABC):  # type: ignore[type-arg]
    """Give a pipeline runner and the settings of its fan-out.

    ``tasks`` is how many tasks of a pipeline run side by side, ``workers`` how many threads each uses,
    ``task_memory_bytes`` how much cell data each holds, ``bins_per_group`` how many bins a group of a plan has at most.
    A job that was lost (quota, preemption, a server's error) is submitted ``lost_job_retries`` times more, first after
    ``retry_seconds``, then after twice as many each time. A job older than ``timeout_seconds`` is cancelled, with 0
    none is; one that no run waits for is cancelled after ``orphan_grace_minutes``.
    Where we keep the history of jobs, the newest ``keep_jobs`` stay and all that are younger than ``keep_days``.
    ``cellxgene_python`` is the Python that tasks find cellxgene-schema with; ``read_seconds`` and ``read_memory_mb``
    limit what reading a source file takes.
    """

    tasks: int = 2
    workers: int = 1
    task_memory_bytes: int = 192 * 2**20
    bins_per_group: int = 32
    client_calls: str = "dagster"
    lost_job_retries: int = 0
    retry_seconds: float = 30.0
    timeout_seconds: float = 0.0
    orphan_grace_minutes: float = 30.0
    keep_jobs: int = 50
    keep_days: float = 14.0
    cellxgene_python: str = ""
    cellxgene_memory_mb: int = 8192
    cellxgene_seconds: float = 3600.0
    read_seconds: float = 300.0
    read_memory_mb: int = 8192

    @abstractmethod
    def runner(self) -> PipelineRunner:
        """Return the runner."""

    def cellxgene(self) -> CellxgeneEnvironment | None:
        """Return where tasks find cellxgene-schema; ``None`` when nobody said."""
        if not self.cellxgene_python:
            return None
        return CellxgeneEnvironment(
            python=self.cellxgene_python, memory_mb=self.cellxgene_memory_mb, seconds=self.cellxgene_seconds
        )

    def read_limits(self) -> ReadLimits | None:
        """Return what reading a source file may take; ``None`` where tasks are no processes of their own."""
        return ReadLimits(seconds=self.read_seconds, memory_mb=self.read_memory_mb)

    @property
    def tasks_share_cores(self) -> bool:
        """Return whether a task may use the threads of those that there are too few groups of work for."""
        return False

    def observers(self) -> list[PipelineObserver]:
        """Return who else hears of a job besides the Dagster log; a terminal's progress bar, for example."""
        return []


class LocalPipelinesResource(PipelinesResource):
    """Run pipelines with kfp.local in child processes."""

    folder: str

    @property
    def tasks_share_cores(self) -> bool:
        return True

    def runner(self) -> PipelineRunner:
        return LocalPipelines(self.folder)
