"""Content and looks that the tests of the bucket share."""

from pathlib import Path

from omics_datastore.storage.cloud_storage import CloudStore
from omics_datastore.storage.cloud_storage_client import open_bucket

PART = 9 * 2**20
"""Bytes of a part: more than one request of a resumable upload holds."""
BIG = bytes(range(256)) * (2 * PART // 256) + b"end"
"""Content of three parts, the last of which goes in one request."""


def made(store: CloudStore, content: bytes) -> Path:
    path = store.scratch_path("made")
    path.write_bytes(content)
    return path


def objects(store: CloudStore) -> set[str]:
    """Return the names of all objects of the bucket, hidden ones too."""
    return {blob.name for blob in open_bucket(store.bucket_name).list_blobs()}
