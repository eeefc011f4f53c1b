"""What the tasks of a session said last."""

from kfp_components.progress import Progress
from nexus_resources.pipelines.messages import SessionReader
from omics_datastore.storage.object_store import ObjectStore


def said_last(store: ObjectStore, prefix: str) -> Progress:
    """Return the progress of the tasks that write below a prefix."""
    (progress,) = SessionReader(store, prefix).look(None).progress
    return progress
