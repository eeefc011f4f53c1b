"""Requests to the pipelines: task configurations written to the store, as one pipeline job; and the results read back.

How work is spread over tasks is decided here and nowhere else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from kfp_components.catalog import compiled_pipeline
from kfp_components.configurations import (
    DatasetSources,
    ExtractTaskConfig,
    ExtractTaskResult,
    FinishTaskConfig,
    FinishTaskResult,
    IngestTaskConfig,
    IngestTaskResult,
    LoadTaskConfig,
    LoadTaskResult,
    PrepareExtractTaskConfig,
    ReadLimits,
    TaskConfig,
)
from kfp_components.results import read_result
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from omics_datastore.ingest.cellxgene_gate import CellxgeneEnvironment
from omics_datastore.ingest.manifest import FileReport, SourceFile
from omics_datastore.keys import digest
from omics_datastore.storage.documents import content_digest, write_configuration
from omics_datastore.storage.layout import messages_prefix, task_folder
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.parquet_layout import RANGE_READS, ParquetLayout

Result = TypeVar("Result", bound=BaseModel)


@dataclass(frozen=True)
class _Task:
    """Where the configuration and the result of a task lie, and the session of its messages."""

    config_key: str
    result_key: str
    messages_prefix: str


@dataclass(frozen=True)
class Spread:
    """How work is spread: tasks side by side, threads in each, bytes of cell data in each.

    Where tasks share the cores of one machine, fewer tasks have more threads each.
    """

    tasks: int
    workers: int
    task_memory_bytes: int
    tasks_share_cores: bool = False

    def threads(self, tasks: int) -> int:
        """Return the threads of each of so many tasks.

        :param tasks: Tasks that there is work for.
        :return: At least ``workers``.
        """
        return self.workers * max(1, self.tasks // max(1, tasks)) if self.tasks_share_cores else self.workers


class RequestWriter:
    """Write the task configurations of one request.

    A task's folder is named by what its configuration says. So a request that is made again finds the job that ran
    for it, and one that says anything else, of a source file that was mended for example, is another job with
    results of its own.

    :param store: Object store.
    :param identity: Who asks; decides where the configurations lie.
    :param spread: How work is spread.
    :param labels: Labels of the job.
    """

    def __init__(self, store: ObjectStore, identity: JobIdentity, spread: Spread, labels: Mapping[str, str]) -> None:
        self._store = store
        self._identity = identity
        self._spread = spread
        self._labels = dict(labels)

    def ingest(
        self,
        datasets: Sequence[DatasetSources],
        *,
        validate_only: bool,
        parquet: ParquetLayout = RANGE_READS,
        cellxgene: CellxgeneEnvironment | None = None,
        limits: ReadLimits | None = None,
    ) -> PipelineJob:
        """Ask for ingest files, or for reports only. The source files of all datasets are spread over the tasks.

        :param datasets: Source files of each dataset with its configuration.
        :param validate_only: Write no ingest files.
        :param parquet: How ingest files are laid out, for the warehouse they go to.
        :param cellxgene: Where tasks find cellxgene-schema; they are told when a dataset asks for it.
        :param limits: What reading a source file may take.
        :return: The job.
        """
        shares = spread_by_size([source for each in datasets for source in each.sources], self._spread.tasks)
        common: dict[str, Any] = {"parquet": parquet, "limits": limits}
        if any(each.config.validation.cellxgene_schema != "off" for each in datasets):
            common["cellxgene"] = cellxgene
        tasks = self._write(IngestTaskConfig, [{**common, "datasets": _among(datasets, share)} for share in shares])
        keys = [task.config_key for task in tasks]
        if validate_only:
            return self._job("validate_pipeline", {"config_keys": keys}, tasks)
        return self._job("ingest_data_pipeline", {"create_config_keys": keys, "load_config_key": ""}, tasks)

    def load(self, warehouse_uri: str, ingest_ids: Sequence[str]) -> PipelineJob:
        """Ask for a load and commit.

        :param warehouse_uri: Address of the warehouse.
        :param ingest_ids: Ingests, of any datasets.
        :return: The job.
        """
        fields = {"warehouse_uri": warehouse_uri, "ingest_ids": list(ingest_ids)}
        (task,) = self._write(LoadTaskConfig, [fields])
        return self._job("ingest_data_pipeline", {"create_config_keys": [], "load_config_key": task.config_key}, [task])

    def plan(self, warehouse_uri: str, name: str, version: int, bins_per_group: int) -> PipelineJob:
        """Ask for the plan of a curriculum version.

        :param warehouse_uri: Address of the warehouse.
        :param name: Curriculum key.
        :param version: Its version.
        :param bins_per_group: Bins that one group of the plan has at most.
        :return: The job.
        """
        fields = {
            "warehouse_uri": warehouse_uri,
            "name": name,
            "version": version,
            "bins_per_group": bins_per_group,
        }
        (task,) = self._write(PrepareExtractTaskConfig, [fields])
        return self._extract_job([task], prepare=task.config_key)

    def extract(self, warehouse_uri: str, name: str, version: int, groups: Sequence[int]) -> PipelineJob:
        """Ask for the shards of a planned curriculum version.

        :param warehouse_uri: Address of the warehouse.
        :param name: Curriculum key.
        :param version: Its version.
        :param groups: Groups of its plan.
        :return: The job.
        """
        shares = [list(groups[first :: self._spread.tasks]) for first in range(min(self._spread.tasks, len(groups)))]
        same = {"warehouse_uri": warehouse_uri, "name": name, "version": version}
        tasks = self._write(ExtractTaskConfig, [{**same, "groups": share} for share in shares])
        return self._extract_job(tasks, extract=[task.config_key for task in tasks])

    def finish(self, name: str, version: int) -> PipelineJob:
        """Ask for the release of an extracted curriculum version.

        :param name: Curriculum key.
        :param version: Its version.
        :return: The job.
        """
        (task,) = self._write(FinishTaskConfig, [{"name": name, "version": version}])
        return self._extract_job([task], finish=task.config_key)

    def _extract_job(
        self, tasks: Sequence[_Task], prepare: str = "", extract: Sequence[str] = (), finish: str = ""
    ) -> PipelineJob:
        parameters = {
            "prepare_config_key": prepare,
            "extract_config_keys": list(extract),
            "finish_config_key": finish,
        }
        return self._job("extract_data_pipeline", parameters, tasks)

    def _job(self, pipeline: str, parameters: Mapping[str, object], tasks: Sequence[_Task]) -> PipelineJob:
        return PipelineJob(
            pipeline=pipeline,
            spec=compiled_pipeline(pipeline),
            parameters={"root": self._store.root, **parameters},
            identity=self._identity,
            labels=self._labels,
            store=self._store,
            result_keys=tuple(task.result_key for task in tasks),
            messages_prefix=tasks[0].messages_prefix if tasks else None,
        )

    def _write(self, kind: type[TaskConfig], tasks: Sequence[Mapping[str, Any]]) -> list[_Task]:
        """Write the configurations of all tasks of a request, whose messages are one session."""
        threads = self._spread.threads(len(tasks))
        spread = {"memory_limit_bytes": self._spread.task_memory_bytes, "workers": threads}
        said = [content_digest(kind.model_validate({"result_key": "", **spread, **task}))[:12] for task in tasks]
        place = f"{self._identity.step}/{self._identity.partition}"
        session = messages_prefix(self._identity.root_run, f"{place}/{digest(said)[:12]}")
        written: list[_Task] = []
        for number, (mark, fields) in enumerate(zip(said, tasks, strict=True)):
            folder = task_folder(self._identity.root_run, f"{place}/{mark}", number)
            task = _Task(f"{folder}config.yaml", f"{folder}result.json", session)
            keys = {"result_key": task.result_key, "messages": f"{session}{number:04d}"}
            write_configuration(self._store, task.config_key, kind.model_validate({**keys, **spread, **fields}))
            written.append(task)
        return written


def ingest_reports(job: PipelineJob) -> list[FileReport]:
    """Read the reports of a finished ingest or validation.

    :param job: The job.
    :return: One report a source file, ordered by key.
    """
    reports = [report for result in _results(job, IngestTaskResult) for report in result.reports]
    return sorted(reports, key=lambda report: report.source.key)


def load_result(job: PipelineJob) -> LoadTaskResult:
    """Read what a finished load did.

    :param job: The job.
    :return: The result.
    """
    return _results(job, LoadTaskResult)[0]


def extract_result(job: PipelineJob) -> ExtractTaskResult:
    """Read what a finished extraction did, over all of its tasks.

    :param job: The job.
    :return: Bins written and bins kept, each in order.
    """
    results = _results(job, ExtractTaskResult)
    return ExtractTaskResult(
        written=sorted(number for result in results for number in result.written),
        kept=sorted(number for result in results for number in result.kept),
    )


def finish_result(job: PipelineJob) -> FinishTaskResult:
    """Read where a finished release lies.

    :param job: The job.
    :return: The result.
    """
    return _results(job, FinishTaskResult)[0]


def spread_by_size(sources: Sequence[SourceFile], tasks: int) -> list[list[SourceFile]]:
    """Spread source files over tasks so that the largest share is small: largest first, each to the smallest share.

    :param sources: Source files.
    :param tasks: Tasks side by side.
    :return: At most ``tasks`` shares, none empty, each ordered by key.
    """
    shares: list[list[SourceFile]] = [[] for _ in range(min(tasks, len(sources)))]
    sizes = [0] * len(shares)
    for source in sorted(sources, key=lambda source: (-source.size, source.key)):
        smallest = min(range(len(shares)), key=lambda share: (sizes[share], len(shares[share])))
        shares[smallest].append(source)
        sizes[smallest] += source.size
    return [sorted(share, key=lambda source: source.key) for share in shares]


def _among(datasets: Sequence[DatasetSources], share: Sequence[SourceFile]) -> list[DatasetSources]:
    keys = {source.key for source in share}
    chosen = {number: [s for s in each.sources if s.key in keys] for number, each in enumerate(datasets)}
    return [datasets[number].model_copy(update={"sources": found}) for number, found in chosen.items() if found]


def _results(job: PipelineJob, kind: type[Result]) -> list[Result]:
    if job.store is None:
        raise ValueError("the job has no store to read results from")
    return [read_result(job.store, key, kind) for key in job.result_keys]
