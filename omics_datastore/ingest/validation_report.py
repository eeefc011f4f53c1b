"""The validation report of a dataset: one report a source file, kept as a document."""

from pydantic import BaseModel

from omics_datastore.ingest.manifest import FileReport
from omics_datastore.storage.documents import read_document, write_document
from omics_datastore.storage.layout import report_key
from omics_datastore.storage.object_store import ObjectStore


class ValidationReport(BaseModel):
    """What the checks found in the source files of a dataset."""

    dataset: str
    drop_digest: str
    files: list[FileReport]

    @property
    def valid(self) -> bool:
        """Tell whether no source file is refused."""
        return all(file.valid for file in self.files)

    def headline(self) -> str:
        """Say in one sentence a refused file why it is refused.

        :return: One line a refused file, with the most telling error; empty when all are valid.
        """
        return "\n".join(f"{file.source.uri}: {file.errors[0]}" for file in self.files if not file.valid)


def write_validation_report(store: ObjectStore, report: ValidationReport) -> str:
    """Keep a report as the latest of its dataset.

    :param store: Object store.
    :param report: The report.
    :return: Its key.
    """
    key = report_key(report.dataset)
    write_document(store, key, report)
    return key


def read_validation_report(store: ObjectStore, dataset: str) -> ValidationReport:
    """Read the latest report of a dataset.

    :param store: Object store.
    :param dataset: Dataset key.
    :return: The report.
    :raise FileNotFoundError: When the dataset was never checked.
    """
    return read_document(store, report_key(dataset), ValidationReport)
