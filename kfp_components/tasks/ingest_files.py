"""The tasks that read source files: make ingest files, or only check."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from kfp_components.configurations import DatasetSources, IngestTaskConfig, IngestTaskResult
from kfp_components.messages import TaskMessages
from kfp_components.progress import ProgressWriter
from kfp_components.tasks.task import run_task
from kfp_components.tasks.watched_reading import Read, Tell, read_side_by_side, read_watched
from omics_datastore.ingest.cellxgene_gate import CellxgeneGate
from omics_datastore.ingest.manifest import FileReport, Finding, SourceFile
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.storage.open import open_store

_Examine = Callable[
    [SourceFile, DatasetSources, IngestTaskConfig, ObjectStore, int, Callable[[int, int], None], CellxgeneGate | None],
    FileReport,
]


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
    return _read_all(store.root, config, messages, _create_one)


def _validate(store: ObjectStore, config: IngestTaskConfig, messages: TaskMessages) -> IngestTaskResult:
    return _read_all(store.root, config, messages, _validate_one)


def _create_one(
    source: SourceFile,
    of: DatasetSources,
    config: IngestTaskConfig,
    store: ObjectStore,
    memory: int,
    on_progress: Callable[[int, int], None],
    gate: CellxgeneGate | None,
) -> FileReport:
    from omics_datastore.ingest.create import create_ingest_files

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


def _validate_one(
    source: SourceFile,
    of: DatasetSources,
    config: IngestTaskConfig,  # noqa: ARG001 - what both ways of reading are given
    store: ObjectStore,
    memory: int,
    on_progress: Callable[[int, int], None],
    gate: CellxgeneGate | None,
) -> FileReport:
    from omics_datastore.ingest.create import validate_source

    return validate_source(
        source, of.dataset, of.config, store, memory_limit_bytes=memory, on_progress=on_progress, gate=gate
    )


def _read_all(root: str, config: IngestTaskConfig, messages: TaskMessages, examine: _Examine) -> IngestTaskResult:
    """Read all source files side by side, the largest first, with the task's memory divided among the threads."""
    sources = [source for of in config.datasets for source in of.sources]
    datasets = [of for of in config.datasets for _ in of.sources]
    progress = ProgressWriter(messages, "bytes", (source.size for source in sources))
    workers = max(1, min(config.workers, len(sources)))
    memory = max(1, config.memory_limit_bytes // workers)

    @contextmanager
    def open_read() -> Iterator[Read]:
        store = open_store(root)  # a process has clients of its own
        with ExitStack() as stack:
            gate = stack.enter_context(CellxgeneGate(config.cellxgene)) if config.cellxgene is not None else None

            def read(number: int, tell: Tell) -> str:
                report = examine(
                    sources[number],
                    datasets[number],
                    config,
                    store,
                    memory,
                    lambda done, total: tell(number, done, total),
                    gate,
                )
                tell(number, 1, 1)
                return report.model_dump_json()

            yield read

    def refuse(number: int, why: str) -> str:
        finding = Finding(rule="readable", severity="error", message=why)
        return FileReport(
            source=sources[number],
            ingest_id=None,
            cell_count=0,
            feature_count=0,
            nnz=0,
            counts_from=None,
            findings=[finding],
        ).model_dump_json()

    largest_first = sorted(range(len(sources)), key=lambda number: -sources[number].size)
    if config.limits is None:
        reports = dict(read_side_by_side(largest_first, open_read, progress.update, workers))
    else:
        reports = read_watched(largest_first, open_read, refuse, progress.update, config.limits, workers=workers)
    progress.finish()
    return IngestTaskResult(reports=[FileReport.model_validate_json(reports[number]) for number in range(len(sources))])
