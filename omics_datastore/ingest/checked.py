"""What a check without ingest found, kept by content: an unchanged file under unchanged rules is not read again."""

import contextlib

from omics_datastore.errors import CorruptionError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.manifest import FileReport, SourceFile
from omics_datastore.keys import digest
from omics_datastore.storage.documents import read_document, write_document
from omics_datastore.storage.layout import checked_key
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.version import NEXUS_VERSION

_RULES_OF_A_MOMENT = ("readable",)
"""Rules that may find something else in the same bytes: the file changed while it was read, or a disk failed."""


def read_checked(
    store: ObjectStore, source: SourceFile, sha256: str, dataset: str, config: DatasetConfig
) -> FileReport | None:
    """Return what was found in a file of this content, under these rules, by this version of Nexus.

    :param store: Object store.
    :param source: The file as it is observed now.
    :param sha256: SHA-256 of its content.
    :param dataset: Dataset key.
    :param config: Configuration of the dataset.
    :return: The report, or ``None`` when there is none.
    """
    with contextlib.suppress(FileNotFoundError, CorruptionError):
        report = read_document(store, _key(source, sha256, dataset, config), FileReport)
        return report.model_copy(update={"source": source})
    return None


def keep_checked(store: ObjectStore, report: FileReport, sha256: str, dataset: str, config: DatasetConfig) -> None:
    """Keep what was found in a file.

    :param store: Object store.
    :param report: The report.
    :param sha256: SHA-256 of the content that was read.
    :param dataset: Dataset key.
    :param config: Configuration of the dataset.
    """
    if all(finding.rule not in _RULES_OF_A_MOMENT for finding in report.findings):
        write_document(store, _key(report.source, sha256, dataset, config), report)


def _key(source: SourceFile, sha256: str, dataset: str, config: DatasetConfig) -> str:
    # The messages name the file.
    said = [sha256, source.key, config.data_digest(), config.model_dump(mode="json"), NEXUS_VERSION]
    return checked_key(dataset, digest(said)[:32])
