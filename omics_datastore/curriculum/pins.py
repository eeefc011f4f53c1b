"""Which ingests the curricula of a store pin, so that they can be made again: what must not be deleted."""

from omics_datastore.curriculum.plan import read_plan
from omics_datastore.curriculum.release_model import read_release
from omics_datastore.curriculum.versions import versions_of
from omics_datastore.keys import make_curriculum_partition
from omics_datastore.storage.layout import EXTRACTS
from omics_datastore.storage.object_store import ObjectStore


def pinned_ingests(store: ObjectStore) -> dict[str, list[str]]:
    """Find the ingests that plans and releases pin.

    A version pins from the moment its plan is written, and for as long as its plan or its release is there.

    :param store: Object store of the curricula.
    :return: Curriculum versions by ingest id, each list in the order of names and versions.
    :raise CorruptionError: When a plan or a release is not what was written: what it pins cannot be known.
    """
    pins: dict[str, list[str]] = {}
    for name in store.folders(EXTRACTS):
        for version in versions_of(store, name):
            for ingest_id in sorted(_pinned_by(store, name, version)):
                pins.setdefault(ingest_id, []).append(make_curriculum_partition(name, version))
    return pins


def _pinned_by(store: ObjectStore, name: str, version: int) -> set[str]:
    found: set[str] = set()
    for read in (read_plan, read_release):
        try:
            found.update(ingest.ingest_id for ingest in read(store, name, version).ingests)
        except FileNotFoundError:
            continue
    return found
