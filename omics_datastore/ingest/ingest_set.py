"""Which ingests a dataset consists of after its latest complete pass: the document between ingest and load."""

from pydantic import BaseModel

from omics_datastore.ingest.manifest import FileReport, IngestManifest, read_manifest
from omics_datastore.storage.documents import read_document, write_document
from omics_datastore.storage.layout import ingest_set_key
from omics_datastore.storage.object_store import ObjectStore


class IngestSet(BaseModel):
    """The ingests of one dataset, one a distinct source content."""

    dataset: str
    drop_digest: str
    ingest_ids: list[str]


def write_ingest_set(store: ObjectStore, dataset: str, drop_digest: str, reports: list[FileReport]) -> IngestSet:
    """Record the ingests of a pass in which every file was valid.

    :param store: Object store.
    :param dataset: Dataset key.
    :param drop_digest: Digest of the drop the pass was made over.
    :param reports: Reports of all its source files.
    :return: The set; a source file that is there twice counts once.
    """
    ids = [report.ingest_id for report in reports if report.ingest_id is not None]
    made = IngestSet(dataset=dataset, drop_digest=drop_digest, ingest_ids=list(dict.fromkeys(ids)))
    write_document(store, ingest_set_key(dataset), made)
    return made


def read_ingest_set_record(store: ObjectStore, dataset: str) -> IngestSet:
    """Read which ingests a dataset consists of.

    :param store: Object store.
    :param dataset: Dataset key.
    :return: The set.
    :raise FileNotFoundError: When no pass over the dataset was ever completed.
    :raise CorruptionError: When the document does not match its digest.
    """
    return read_document(store, ingest_set_key(dataset), IngestSet)


def read_ingest_set(store: ObjectStore, dataset: str) -> list[IngestManifest]:
    """Read the manifests of a dataset's ingests.

    :param store: Object store.
    :param dataset: Dataset key.
    :return: One manifest an ingest.
    :raise FileNotFoundError: When no pass over the dataset was ever completed.
    :raise CorruptionError: When a document does not match its digest.
    """
    made = read_ingest_set_record(store, dataset)
    return [read_manifest(store, dataset, ingest_id) for ingest_id in made.ingest_ids]
