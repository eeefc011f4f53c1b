"""What a check without ingest found, kept by content: an unchanged file under unchanged rules is not read again."""

import contextlib

from omics_datastore.errors import CorruptionError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.manifest import FileReport, SourceFile
from omics_datastore.ingest.refusal import CELLXGENE_UNCHECKED
from omics_datastore.keys import digest
from omics_datastore.storage.documents import read_document, write_document
from omics_datastore.storage.layout import checked_key
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.version import NEXUS_VERSION

_RULES_OF_A_MOMENT = ("readable", CELLXGENE_UNCHECKED)
"""Rules that may find something else in the same bytes: the file changed meanwhile, a disk or a process failed."""


def read_checked(
    store: ObjectStore, source: SourceFile, sha256: str, dataset: str, config: DatasetConfig, cellxgene: str | None
) -> FileReport | None:
    """Return what was found in a file of this content, under these rules, by this version of Nexus.

    :param store: Object store.
    :param source: The file as it is observed now.
    :param sha256: SHA-256 of its content.
    :param dataset: Dataset key.
    :param config: Configuration of the dataset.
    :param cellxgene: Version of cellxgene-schema that is asked for, if it is.
    :return: The report, or ``None`` when there is none.
    """
    with contextlib.suppress(FileNotFoundError, CorruptionError):
        report = read_document(store, _key(source, sha256, dataset, config, cellxgene), FileReport)
        return report.model_copy(update={"source": source})
    return None


def keep_checked(
    store: ObjectStore, report: FileReport, sha256: str, dataset: str, config: DatasetConfig, cellxgene: str | None
) -> None:
    """Keep what was found in a file.

    :param store: Object store.
    :param report: The report.
    :param sha256: SHA-256 of the content that was read.
    :param dataset: Dataset key.
    :param config: Configuration of the dataset.
    :param cellxgene: Version of cellxgene-schema that was asked for, if it was.
    """
    if all(finding.rule not in _RULES_OF_A_MOMENT for finding in report.findings):
        write_document(store, _key(report.source, sha256, dataset, config, cellxgene), report)


def _key(source: SourceFile, sha256: str, dataset: str, config: DatasetConfig, cellxgene: str | None) -> str:
    # The messages name the file.
    said = [sha256, source.key, config.data_digest(), config.model_dump(mode="json"), NEXUS_VERSION, cellxgene]
    return checked_key(dataset, digest(said)[:32])
