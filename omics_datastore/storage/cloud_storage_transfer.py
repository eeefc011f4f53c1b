"""Bytes to and from Cloud Storage: in one request, as a resumable upload, or in parallel parts; CRC32C both ways.

A big file is sent as parts that are then composed: unlike the multipart upload of the XML API, composing takes a
precondition and gives the checksum of the whole.
"""

import base64
import io
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from omics_datastore.errors import CorruptionError
from omics_datastore.storage.cloud_storage_client import TIMEOUT, first_line, retries

_CHUNK = 8 * 2**20
"""Bytes that one request of a resumable upload holds, in memory."""
_MOST_PARTS = 32
"""Objects that one compose request takes."""
_THREADS = 8
_CHECKSUM_ATTEMPTS = 3
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SentParts:
    """The parts of a file in the bucket, in order, and the checksum of the whole."""

    blobs: list[Any]
    checksum: str


class _Section(io.RawIOBase):
    """Bytes ``[start, start + size)`` of a file, as a stream that begins at 0."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor, self._start, self._size, self._position = descriptor, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        left = self._size - self._position
        wanted = left if size is None or size < 0 else min(size, left)
        content = os.pread(self._descriptor, wanted, self._start + self._position)
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position


def look_up(blob: Any) -> None:
    """Fill in an object's generation, size, time and metadata."""
    blob.reload(timeout=TIMEOUT, retry=retries())


def read(blob: Any) -> bytes:
    """Return the bytes of an object, checked."""

    def once() -> bytes:
        content: bytes = blob.download_as_bytes(raw_download=True, checksum="crc32c", timeout=TIMEOUT, retry=retries())
        return content

    return _checked(once)


def send(blob: Any, content: bytes, generation: int, kind: str | None) -> None:
    """Send bytes, on condition that the object has this generation."""
    _send(blob, lambda: io.BytesIO(content), len(content), crc32c([content]), generation, kind)


def send_file(blob: Any, path: Path, generation: int, kind: str | None) -> None:
    """Send a file, on condition that the object has this generation."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        checksum = crc32c(_blocks(_Section(file.fileno(), 0, size)))
        _send(blob, lambda: _Section(file.fileno(), 0, size), size, checksum, generation, kind)


def rewrite(blob: Any, source: Any, generation: int) -> None:
    """Make an object that has the content of another one, on condition that it has this generation.

    The service copies; the checksum is kept with the content.
    """
    blob.content_type = source.content_type
    token, done, size = blob.rewrite(source, if_generation_match=generation, timeout=TIMEOUT, retry=retries())
    while done < size:
        token, done, size = blob.rewrite(
            source, token=token, if_generation_match=generation, timeout=TIMEOUT, retry=retries()
        )


@contextmanager
def sent_parts(bucket: Any, folder: str, path: Path, part_bytes: int) -> Iterator[SentParts]:
    """Send a file as parallel parts, which are deleted at the end of the ``with`` block.

    :param bucket: The bucket.
    :param folder: A prefix that nobody else uses, without a slash at its end.
    :param path: The file.
    :param part_bytes: Bytes of a part, at least; there are never more than 32.
    :return: The parts.
    """
    blobs: list[Any] = []
    with path.open("rb") as file, ThreadPoolExecutor(_THREADS) as threads:
        size = os.fstat(file.fileno()).st_size
        step = max(part_bytes, -(-size // _MOST_PARTS))
        sections = [(start, min(step, size - start)) for start in range(0, size, step)]
        blobs = [bucket.blob(f"{folder}/{number:02d}") for number in range(len(sections))]

        def send_part(blob: Any, start: int, length: int) -> None:
            checksum = crc32c(_blocks(_Section(file.fileno(), start, length)))
            # Nobody else writes this name, so sending it again needs no condition.
            _send(blob, lambda: _Section(file.fileno(), start, length), length, checksum, None, None)

        try:
            sending = [threads.submit(send_part, blob, *place) for blob, place in zip(blobs, sections, strict=True)]
            whole = crc32c(_blocks(_Section(file.fileno(), 0, size)))
            for part in sending:
                part.result()
            yield SentParts(blobs, whole)
        finally:
            list(threads.map(_forget, blobs))


def compose(blob: Any, parts: SentParts, generation: int, kind: str | None) -> None:
    """Make an object of parts, on condition that it has this generation.

    :raise CorruptionError: When the whole does not have the checksum of the file.
    """
    blob.content_type = kind or "application/octet-stream"
    blob.compose(
        parts.blobs,
        if_generation_match=generation,
        if_source_generation_match=[part.generation for part in parts.blobs],
        timeout=TIMEOUT,
        retry=retries(),
    )
    if blob.crc32c != parts.checksum:
        delete(blob)
        raise CorruptionError(f"the parts of gs://{blob.bucket.name}/{blob.name} do not make the file that was sent.")


def fetch(blob: Any, path: Path, part_bytes: int) -> None:
    """Download the generation of an object that was looked up, checked.

    :param blob: The object.
    :param path: File to write.
    :param part_bytes: Bytes of a part; a bigger object comes in parallel parts.
    """
    from google.cloud.storage import transfer_manager

    options = {"raw_download": True, "timeout": TIMEOUT, "retry": retries()}

    def once() -> None:
        if blob.size <= part_bytes:
            blob.download_to_filename(str(path), checksum="crc32c", **options)
        else:
            transfer_manager.download_chunks_concurrently(
                blob,
                str(path),
                chunk_size=part_bytes,
                download_kwargs=options,
                worker_type=transfer_manager.THREAD,
                max_workers=_THREADS,
            )

    _checked(once)


def delete(blob: Any) -> None:
    """Delete the generation of an object that was looked up or written; no error when it is gone or replaced."""
    from google.api_core.exceptions import NotFound, PreconditionFailed

    try:
        blob.delete(if_generation_match=int(blob.generation), timeout=TIMEOUT, retry=retries())
    except (NotFound, PreconditionFailed):
        return


def is_sent(action: Callable[[Any, int], None], blob: Any, generation: int) -> bool:
    """Send an object; tell whether the object had the generation that it was to have."""
    from google.api_core.exceptions import PreconditionFailed

    try:
        action(blob, generation)
    except PreconditionFailed:
        return False
    return True


def crc32c(blocks: Any) -> str:
    """Return the CRC32C of blocks of bytes as Cloud Storage writes it (base64 of 4 big-endian bytes, RFC 4960)."""
    import google_crc32c

    value = 0
    for block in blocks:
        value = google_crc32c.extend(value, block)
    return base64.b64encode(value.to_bytes(4, "big")).decode()


def _blocks(section: _Section) -> Iterator[bytes]:
    while block := section.read(2**20):
        yield block


def _send(
    blob: Any, content: Callable[[], Any], size: int, checksum: str, generation: int | None, kind: str | None
) -> None:
    """Send a stream; the service refuses it, and shows nothing, unless it has the checksum.

    Up to 8 MiB go in one request, more as a resumable upload.
    """
    blob.chunk_size = _CHUNK

    def once() -> None:
        blob.upload_from_file(
            content(),
            size=size,
            content_type=kind or "application/octet-stream",
            if_generation_match=generation,
            checksum="crc32c",
            crc32c_checksum_value=checksum,
            timeout=TIMEOUT,
            retry=retries(),
        )

    _checked(once)


def _checked(action: Callable[[], _Result]) -> _Result:
    """Do something again when bytes were changed on their way."""
    from google.api_core.exceptions import BadRequest
    from google.cloud.storage.exceptions import DataCorruption

    for attempt in range(_CHECKSUM_ATTEMPTS):
        try:
            return action()
        except (BadRequest, DataCorruption) as error:
            if isinstance(error, BadRequest) and "CRC32C" not in str(error):
                raise
            if attempt == _CHECKSUM_ATTEMPTS - 1:
                raise
            _log.warning("bytes were changed on their way, once more: %s", first_line(error))
    raise AssertionError


def _forget(blob: Any) -> None:
    """Delete a part; what cannot be deleted is left to the bucket's lifecycle rule."""
    from google.api_core.exceptions import GoogleAPIError

    try:
        if blob.generation is not None:
            delete(blob)
    except (GoogleAPIError, OSError) as error:
        _log.warning("the part %s of an upload is left behind: %s", blob.name, first_line(error))
