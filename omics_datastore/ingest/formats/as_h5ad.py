"""A source of any kind opened as one local ``.h5ad`` file: what every check and reader goes on from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree

from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.local_source import LocalSource
from omics_datastore.ingest.manifest import Finding
from omics_datastore.ingest.source_kinds import SourceKind


@dataclass(frozen=True)
class H5adForm:
    """An ``.h5ad`` file with the content of a source, and warnings of what is not in it.

    ``same_content`` tells whether it is the source itself, or the source unpacked.
    """

    path: Path
    findings: list[Finding] = field(default_factory=list)
    same_content: bool = False


@contextmanager
def as_h5ad(source: LocalSource, config: DatasetConfig, memory_limit_bytes: int, scratch: Path) -> Iterator[H5adForm]:
    """Give a source as an ``.h5ad`` file while a ``with`` block runs: itself when it is one.

    :param source: The source.
    :param config: Configuration of its dataset.
    :param memory_limit_bytes: Bytes of cell data to hold at once.
    :param scratch: Free path for a folder of what is made.
    :return: A context manager that yields the file.
    :raise RefusedSourceError: When the source is damaged, contradicts itself or is not of its kind.
    """
    if source.kind is SourceKind.H5AD:
        yield H5adForm(source.path, same_content=True)
        return
    scratch.mkdir(parents=True)
    try:
        yield _convert(source, config, memory_limit_bytes, scratch)
    finally:
        rmtree(scratch, ignore_errors=True)


def _convert(source: LocalSource, config: DatasetConfig, memory_limit_bytes: int, scratch: Path) -> H5adForm:
    target = scratch / "source.h5ad"
    largest = config.validation.max_file_bytes
    if source.kind is SourceKind.GZIP:
        from omics_datastore.ingest.formats.unpack import unpack, unpacked_limit

        unpack(source.path, target, unpacked_limit(source.path.stat().st_size, largest))
        return H5adForm(target, same_content=True)
    if source.kind is SourceKind.TENX:
        from omics_datastore.ingest.formats.tenx import convert_tenx

        findings = convert_tenx(source.path, target, memory_limit_bytes)
        return H5adForm(source.path, same_content=True) if findings is None else H5adForm(target, findings)
    if source.kind is SourceKind.MATRIX_MARKET:
        from omics_datastore.ingest.formats.matrix_market import convert_matrix_market

        return H5adForm(
            target, convert_matrix_market(source.files, target, largest, memory_limit_bytes, scratch / "entries")
        )
    from omics_datastore.ingest.formats.zarr_store import convert_zarr

    convert_zarr(source.path, target, config, memory_limit_bytes)
    return H5adForm(target)
