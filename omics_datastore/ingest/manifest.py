"""What an ingest is made of: the manifest written after its files, and the findings of its checks."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from omics_datastore.storage.documents import read_document
from omics_datastore.storage.layout import ingest_manifest_key
from omics_datastore.storage.object_store import ObjectStore


class SourceFile(BaseModel):
    """A source file as it was observed in a store."""

    model_config = ConfigDict(frozen=True)

    key: str
    uri: str
    size: int
    generation: str


class Finding(BaseModel):
    """One thing a check found in one file: an error refuses the file, a warning loses no data."""

    model_config = ConfigDict(frozen=True)

    rule: str
    severity: Literal["error", "warning"]
    message: str


class FileReport(BaseModel):
    """The checks of one source file."""

    source: SourceFile
    ingest_id: str | None
    cell_count: int
    feature_count: int
    nnz: int
    counts_from: str | None
    findings: list[Finding]

    @property
    def valid(self) -> bool:
        """Tell whether no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    @property
    def errors(self) -> list[str]:
        """Return the messages of the errors, the most telling first."""
        return [finding.message for finding in self.findings if finding.severity == "error"]


class IngestFile(BaseModel):
    """One Parquet file of an ingest."""

    model_config = ConfigDict(frozen=True)

    table: str
    key: str
    rows: int
    size: int
    sha256: str


class IngestManifest(BaseModel):
    """Everything known of an ingest before it is committed; the same source and configuration give the same bytes."""

    ingest_id: str
    dataset: str
    source_uri: str
    source_key: str
    source_generation: str
    source_sha256: str
    source_size: int
    config_digest: str
    config: dict[str, Any]
    counts_from: str
    cell_count: int
    feature_count: int
    nnz: int
    total_mrna_umis: int
    empty_cells: int
    organism: str | None
    schema_version: str | None
    tag: str | None
    uns: dict[str, Any]
    findings: list[Finding]
    files: list[IngestFile]
    nexus_version: str

    def file(self, table: str) -> IngestFile:
        """Return the file of a table.

        :param table: Table name.
        :return: The file.
        :raise KeyError: When the manifest has none.
        """
        for file in self.files:
            if file.table == table:
                return file
        raise KeyError(table)


def read_manifest(store: ObjectStore, dataset: str, ingest_id: str) -> IngestManifest:
    """Read the manifest of an ingest.

    :param store: Object store.
    :param dataset: Dataset key.
    :param ingest_id: The ingest.
    :return: The manifest.
    :raise FileNotFoundError: When its ingest files were never finished.
    :raise CorruptionError: When it does not match its digest.
    """
    return read_document(store, ingest_manifest_key(dataset, ingest_id), IngestManifest)
