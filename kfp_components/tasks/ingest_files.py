"""The tasks that read source files: make ingest files, or only check."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from kfp_components.configurations import DatasetSources, IngestTaskConfig, IngestTaskResult
from kfp_components.messages import TaskMessages
from kfp_components.progress import ProgressWriter
from kfp_components.tasks.task import run_task
from omics_datastore.ingest.cellxgene_gate import CellxgeneGate
from omics_datastore.ingest.manifest import FileReport, SourceFile
from omics_datastore.storage.object_store import ObjectStore

_Read = Callable[[SourceFile, DatasetSources, int, Callable[[int, int], None], CellxgeneGate | None], FileReport]


def create_ingest_files_job(root: str, config_key: str) -> None:
    """Make the ingest files of source files.

    A refused file is a report with errors in the result, not a failure of the task.

    :param root: Root of the object store.
    :param config_key: Key of an :class:`~kfp_components.configurations.IngestTaskConfig`.
    """
    run_task(root, config_key, IngestTaskConfig, _create)


def validate_anndata_job(root: str, config_key: str) -> None:
    """Check source files and write nothing but their reports.

    :param root: Root of the object store.
    :param config_key: Key of an :class:`~kfp_components.configurations.IngestTaskConfig`.
    """
    run_task(root, config_key, IngestTaskConfig, _validate)


def _create(store: ObjectStore, config: IngestTaskConfig, messages: TaskMessages) -> IngestTaskResult:
    from omics_datastore.ingest.create import create_ingest_files

    def read(
        source: SourceFile,
        of: DatasetSources,
        memory: int,
        on_progress: Callable[[int, int], None],
        gate: CellxgeneGate | None,
    ) -> FileReport:
        return create_ingest_files(
            source,
            of.dataset,
            of.config,
            store,
            layout=config.parquet,
            memory_limit_bytes=memory,
            on_progress=on_progress,
            gate=gate,
        )

    return _read_all(config, messages, read)


def _validate(store: ObjectStore, config: IngestTaskConfig, messages: TaskMessages) -> IngestTaskResult:
    from omics_datastore.ingest.create import validate_source

    def read(
        source: SourceFile,
        of: DatasetSources,
        memory: int,
        on_progress: Callable[[int, int], None],
        gate: CellxgeneGate | None,
    ) -> FileReport:
        return validate_source(
            source, of.dataset, of.config, store, memory_limit_bytes=memory, on_progress=on_progress, gate=gate
        )

    return _read_all(config, messages, read)


def _read_all(config: IngestTaskConfig, messages: TaskMessages, read: _Read) -> IngestTaskResult:
    """Read all source files side by side, the largest first, with the task's memory divided among the threads."""
    sources = [source for of in config.datasets for source in of.sources]
    datasets = [of for of in config.datasets for _ in of.sources]
    progress = ProgressWriter(messages, "bytes", (source.size for source in sources))
    workers = max(1, min(config.workers, len(sources)))
    memory = max(1, config.memory_limit_bytes // workers)

    def read_one(number: int) -> FileReport:
        report = read(
            sources[number], datasets[number], memory, lambda done, total: progress.update(number, done, total), gate
        )
        progress.update(number, 1, 1)
        return report

    largest_first = sorted(range(len(sources)), key=lambda number: -sources[number].size)
    with ExitStack() as stack:
        gate = stack.enter_context(CellxgeneGate(config.cellxgene)) if config.cellxgene is not None else None
        pool = stack.enter_context(ThreadPoolExecutor(workers, thread_name_prefix="source"))
        futures = {number: pool.submit(read_one, number) for number in largest_first}
        try:
            reports = [futures[number].result() for number in range(len(sources))]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    progress.finish()
    return IngestTaskResult(reports=reports)
