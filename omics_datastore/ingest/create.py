"""Make the ingest files of one source file, or check it only: the pass that everything in this package serves."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from omics_datastore.errors import CorruptionError
from omics_datastore.ingest.cellxgene_check import asked_version, check_cellxgene
from omics_datastore.ingest.cellxgene_gate import CellxgeneGate
from omics_datastore.ingest.checked import keep_checked, read_checked
from omics_datastore.ingest.configuration import DatasetConfig, ValidationConfig
from omics_datastore.ingest.conversion import Conversion, convert
from omics_datastore.ingest.formats.as_h5ad import as_h5ad
from omics_datastore.ingest.inbox import name_in_dataset
from omics_datastore.ingest.ingest_files import IngestFileWriter
from omics_datastore.ingest.local_source import LocalSource, State, local_source
from omics_datastore.ingest.manifest import FileReport, IngestManifest, SourceFile, read_manifest
from omics_datastore.ingest.refusal import RefusedSourceError, sort_findings
from omics_datastore.keys import make_ingest_id
from omics_datastore.storage.documents import write_document
from omics_datastore.storage.layout import ingest_manifest_key
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.version import NEXUS_VERSION
from omics_datastore.warehouse.parquet_layout import ParquetLayout

Progress = Callable[[int, int], None]
"""Called with the cells done and the cells in all."""

DEFAULT_MEMORY_LIMIT = 256 * 2**20


def create_ingest_files(
    source: SourceFile,
    dataset: str,
    config: DatasetConfig,
    store: ObjectStore,
    *,
    layout: ParquetLayout | None = None,
    memory_limit_bytes: int = DEFAULT_MEMORY_LIMIT,
    on_progress: Progress | None = None,
    gate: CellxgeneGate | None = None,
) -> FileReport:
    """Check a source file and write its ingest files, the manifest last.

    The same content and configuration give the same ingest id and the same bytes; an ingest whose files are
    there already is not made again.

    :param source: The source file, as observed in the store.
    :param dataset: Dataset key.
    :param config: Configuration of the dataset.
    :param store: Object store of the source and of the ingest files.
    :param layout: Row groups and encodings; by default those for range reads.
    :param memory_limit_bytes: Bytes of cell data to hold at once.
    :param on_progress: Called now and then.
    :param gate: The validator cellxgene-schema, for datasets that ask for it.
    :return: The report; a refused file is a report with errors and leaves nothing behind.
    :raise FileNotFoundError: When the source is gone.
    :raise InputError: When the dataset asks for cellxgene-schema and it is not there.
    """
    return _examine(source, dataset, config, store, layout or ParquetLayout(), memory_limit_bytes, on_progress, gate)


def validate_source(
    source: SourceFile,
    dataset: str,
    config: DatasetConfig,
    store: ObjectStore,
    *,
    memory_limit_bytes: int = DEFAULT_MEMORY_LIMIT,
    on_progress: Progress | None = None,
    gate: CellxgeneGate | None = None,
) -> FileReport:
    """Check a source file as :func:`create_ingest_files` does, and write nothing but what was found.

    A file of the same content under the same rules is not read again, only its content is hashed.

    :param source: The source file, as observed in the store.
    :param dataset: Dataset key.
    :param config: Configuration of the dataset.
    :param store: Object store of the source.
    :param memory_limit_bytes: Bytes of cell data to hold at once.
    :param on_progress: Called now and then.
    :param gate: The validator cellxgene-schema, for datasets that ask for it.
    :return: The report.
    :raise FileNotFoundError: When the source is gone.
    :raise InputError: When the dataset asks for cellxgene-schema and it is not there.
    """
    return _examine(source, dataset, config, store, None, memory_limit_bytes, on_progress, gate)


def _examine(
    source: SourceFile,
    dataset: str,
    config: DatasetConfig,
    store: ObjectStore,
    layout: ParquetLayout | None,
    memory_limit_bytes: int,
    on_progress: Progress | None,
    gate: CellxgeneGate | None,
) -> FileReport:
    config = config.of_source(name_in_dataset(dataset, source.key))
    cellxgene = asked_version(config, gate)
    ingest_id: str | None = None
    sha256: str | None = None
    checks_only = layout is None
    try:
        with local_source(store, source.key) as local:
            before = _check_size(local, config)
            sha256 = local.sha256()
            ingest_id = make_ingest_id(dataset, sha256, config.data_digest())
            known = _known_manifest(store, dataset, ingest_id)
            if known is not None:
                if ValidationConfig.model_validate(known.config["validation"]) == config.validation:
                    return _report(source, known)
                layout = None  # the files stay; whether they may enter is to be checked again
            checked = read_checked(store, source, sha256, dataset, config, cellxgene) if checks_only else None
            if checked is not None:
                return checked
            scratch = store.scratch_path("ingest")
            scratch.mkdir(parents=True)
            writer: IngestFileWriter | None = None
            try:
                if layout is not None:
                    writer = IngestFileWriter(ingest_id, layout, scratch)
                with (
                    _unchanged(local, before),
                    as_h5ad(local, config, memory_limit_bytes, scratch / "h5ad") as form,
                ):
                    conversion = convert(
                        form.path, dataset, sha256, config, writer, memory_limit_bytes, scratch / "order", on_progress
                    )
                    conversion.findings += form.findings
                    if cellxgene is not None and gate is not None:
                        path = form.path if form.same_content else None
                        conversion.findings += check_cellxgene(store, dataset, config, gate, sha256, path)
                manifest = _manifest(source, sha256, dataset, ingest_id, config, conversion)
                if writer is not None:
                    manifest.files = writer.finish(store, dataset)
                    write_document(store, ingest_manifest_key(dataset, ingest_id), manifest)
            finally:
                try:
                    if writer is not None:
                        writer.close()
                finally:  # on a full disk they cannot be closed
                    shutil.rmtree(scratch, ignore_errors=True)
            report = _report(source, manifest)
    except RefusedSourceError as refusal:
        report = FileReport(
            source=source,
            ingest_id=ingest_id,
            cell_count=0,
            feature_count=0,
            nnz=0,
            counts_from=None,
            findings=sort_findings(refusal.findings()),
        )
    if checks_only and sha256 is not None:
        keep_checked(store, report, sha256, dataset, config, cellxgene)
    return report


def _check_size(local: LocalSource, config: DatasetConfig) -> State:
    state = local.state()
    size = sum(size for _, size, _ in state)
    limit = config.validation.max_file_bytes
    if limit is not None and size > limit:
        raise RefusedSourceError(
            "size_limit",
            f"the file has {size} bytes, more than the {limit} of validation.max_file_bytes; split it.",
        )
    return state


@contextmanager
def _unchanged(local: LocalSource, before: State) -> Iterator[None]:
    """Refuse the file when it changed meanwhile, whatever else was found wrong with it."""
    change = "the file changed while it was read; run again when it is complete."
    try:
        yield
    except RefusedSourceError as refusal:
        if local.state() != before:
            raise RefusedSourceError("readable", change) from refusal
        raise
    if local.state() != before:
        raise RefusedSourceError("readable", change)


def _known_manifest(store: ObjectStore, dataset: str, ingest_id: str) -> IngestManifest | None:
    """Return the manifest of ingest files that are there byte for byte; what is damaged is made again."""
    try:
        manifest = read_manifest(store, dataset, ingest_id)
        for file in manifest.files:
            stored = store.stat(file.key)
            if stored is None or stored.size != file.size or store.sha256(file.key) != file.sha256:
                return None
    except (FileNotFoundError, CorruptionError):
        return None
    return manifest


def _manifest(
    source: SourceFile, sha256: str, dataset: str, ingest_id: str, config: DatasetConfig, conversion: Conversion
) -> IngestManifest:
    return IngestManifest(
        ingest_id=ingest_id,
        dataset=dataset,
        source_uri=source.uri,
        source_key=source.key,
        source_generation=source.generation,
        source_sha256=sha256,
        source_size=source.size,
        config_digest=config.data_digest(),
        config=config.model_dump(mode="json"),
        counts_from=conversion.counts_from,
        cell_count=conversion.cell_count,
        feature_count=conversion.feature_count,
        nnz=conversion.nnz,
        total_mrna_umis=conversion.total_mrna_umis,
        empty_cells=conversion.empty_cells,
        organism=conversion.organism,
        schema_version=conversion.schema_version,
        tag=config.tag,
        uns=conversion.uns,
        findings=sort_findings(conversion.findings),
        files=[],
        nexus_version=NEXUS_VERSION,
    )


def _report(source: SourceFile, manifest: IngestManifest) -> FileReport:
    return FileReport(
        source=source,
        ingest_id=manifest.ingest_id,
        cell_count=manifest.cell_count,
        feature_count=manifest.feature_count,
        nnz=manifest.nnz,
        counts_from=manifest.counts_from,
        findings=manifest.findings,
    )
