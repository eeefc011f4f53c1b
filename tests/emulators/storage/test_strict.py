"""What the emulator adds to the stock one, asked by the real client."""

from typing import Any

import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed, RequestRangeNotSatisfiable

from omics_datastore.storage.cloud_storage_client import open_bucket


@pytest.fixture
def bucket(cloud_root: str) -> Any:
    return open_bucket(cloud_root.removeprefix("gs://").partition("/")[0])


def test_preconditions_of_every_kind(bucket: Any) -> None:
    blob = bucket.blob("a")
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string(b"x", if_generation_match=7)
    blob.upload_from_string(b"first", if_generation_match=0)
    first = blob.generation
    with pytest.raises(PreconditionFailed):
        bucket.blob("a").upload_from_string(b"second", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        bucket.blob("a").delete(if_generation_match=first + 1)
    with pytest.raises(PreconditionFailed):
        bucket.blob("b").compose([blob], if_generation_match=first)
    with pytest.raises(PreconditionFailed):
        bucket.blob("b").rewrite(blob, if_generation_match=first)
    bucket.blob("a").upload_from_string(b"second", if_generation_match=first)
    with pytest.raises(NotFound):
        bucket.blob("a", generation=first).download_as_bytes()
    assert bucket.blob("a").download_as_bytes() == b"second"


def test_a_range_beyond_the_end_is_refused(bucket: Any) -> None:
    blob = bucket.blob("a")
    blob.upload_from_string(b"0123456789")
    assert blob.download_as_bytes(start=3, end=5) == b"345"
    assert blob.download_as_bytes(start=8, end=99) == b"89"
    with pytest.raises(RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=10)


def test_listings_have_pages_and_offsets(bucket: Any) -> None:
    for name in ("a/1", "a/2", "b", "c/1", "d"):
        bucket.blob(name).upload_from_string(b"")
    pages = bucket.list_blobs(page_size=2)
    assert [[blob.name for blob in page] for page in pages.pages] == [["a/1", "a/2"], ["b", "c/1"], ["d"]]
    assert [blob.name for blob in bucket.list_blobs(start_offset="a/2", end_offset="d")] == ["a/2", "b", "c/1"]
    pages = bucket.list_blobs(delimiter="/", page_size=1)
    assert [blob.name for blob in pages] == ["b", "d"]
    assert pages.prefixes == {"a/", "c/"}
