"""Packed files unpacked, with a limit: a few kilobytes must not fill a disk or the memory."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from isal import igzip, igzip_lib

from omics_datastore.ingest.refusal import RefusedSourceError

_RATIO = 200
"""How many times its size a packed file may unpack to; counts in text or HDF5 reach a tenth of that."""
_FLOOR = 256 * 2**20
"""What any packed file may unpack to, in bytes."""
_BLOCK = 4 * 2**20
_ERRORS: tuple[type[BaseException], ...] = (EOFError, OSError, zlib.error, igzip_lib.IsalError)  # type: ignore[assignment]  # the stub declares an instance


def unpacked_limit(packed_bytes: int, max_file_bytes: int | None) -> int:
    """Return how many bytes a packed file may unpack to.

    :param packed_bytes: Its size.
    :param max_file_bytes: The configured limit of a file's size, which goes for the unpacked one too.
    :return: Bytes.
    """
    return max_file_bytes if max_file_bytes is not None else max(_FLOOR, _RATIO * packed_bytes)


def read_blocks(path: Path, name: str, limit: int, *, packed: bool) -> Iterator[bytes]:
    """Read a file in blocks.

    :param path: The file.
    :param name: Its name, for messages.
    :param limit: Bytes it may unpack to.
    :param packed: Whether it is gzip'd.
    :return: Blocks of some megabytes.
    :raise RefusedSourceError: When it is damaged or cut off, or unpacks to more.
    """
    done = 0
    with _open(path, packed=packed) as file:
        while True:
            with _refused(name):
                block: bytes = file.read(_BLOCK)
            if not block:
                return
            done += len(block)
            if done > limit:
                raise RefusedSourceError(
                    "size_limit",
                    f"{name} unpacks to more than {limit} bytes; set validation.max_file_bytes to allow more.",
                )
            yield block


def unpack(path: Path, target: Path, limit: int) -> None:
    """Unpack a gzip'd file.

    :param path: The file.
    :param target: The file to write.
    :param limit: Bytes it may unpack to.
    :raise RefusedSourceError: When it is not gzip, is damaged or cut off, or unpacks to more.
    """
    with target.open("wb") as file:
        for block in read_blocks(path, "the file", limit, packed=True):
            file.write(block)


@contextmanager
def _open(path: Path, *, packed: bool) -> Iterator[IO[Any]]:
    with path.open("rb") as raw:
        if not packed:
            yield raw
            return
        with igzip.IGzipFile(fileobj=raw, mode="rb") as unpacked:
            yield unpacked


@contextmanager
def _refused(name: str) -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        raise RefusedSourceError(
            "readable", f"{name} is no gzip file, damaged or cut off ({error}); copy the file again."
        ) from error
