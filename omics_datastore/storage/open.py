"""Open an object store from its root, in any process. The one place that knows the kinds of store."""

from omics_datastore.errors import InputError
from omics_datastore.storage.cloud_storage import CloudStore
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.object_store import ObjectStore


def open_store(root: str) -> ObjectStore:
    """Open the object store with this root.

    :param root: A folder, or ``gs://<bucket>/<prefix>``.
    :return: The store.
    :raise InputError: When the root is of a kind that is not known.
    """
    if root.startswith("gs://"):
        return CloudStore(root)
    if "://" in root:
        raise InputError(f"{root!r} is not a root that Nexus can open: give a folder or gs://<bucket>/<prefix>.")
    return FolderStore(root)
