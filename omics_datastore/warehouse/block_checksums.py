"""Checksums of the blocks of a file, so that a reader checks just what it reads: a CRC-32 (ISO 3309) of every MiB.

Parquet's own checksums of pages cover neither the headers of pages nor the footer, and DuckDB does not look at them.
"""

import base64
import hashlib
import os
import struct
import time
from array import array
from dataclasses import dataclass
from pathlib import Path

from isal import isal_zlib

from omics_datastore.errors import CorruptionError

BLOCK = 2**20
_FRESH_SECONDS = 600.0
"""How long a block that was right is taken to be right, in one process."""
_FOOTER = struct.Struct("<I4s")
"""The end of a Parquet file: bytes of the footer before it, and the magic number."""


@dataclass(frozen=True)
class BlockChecksums:
    """Bytes of a file, and the CRC-32 of each of its blocks as little-endian uint32."""

    size: int
    values: bytes

    @classmethod
    def parse(cls, text: str) -> "BlockChecksums":
        """Read what :meth:`text` wrote.

        :param text: The text.
        :return: The checksums.
        :raise ValueError: When it is something else.
        """
        size, _, values = text.partition(":")
        return cls(int(size), base64.b64decode(values, validate=True))

    def text(self) -> str:
        """Write the checksums as text."""
        return f"{self.size}:{base64.b64encode(self.values).decode()}"


def measure(path: Path) -> tuple[str, BlockChecksums]:
    """Read a file once and return its checksums.

    :param path: The file.
    :return: Its SHA-256 as 64 hexadecimal digits, and those of its blocks.
    """
    whole, size, values = hashlib.sha256(), 0, array("I")
    buffer = memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := _fill(file.fileno(), buffer, size):
            block = buffer[:count]
            whole.update(block)
            values.append(isal_zlib.crc32(block))
            size += count
    return whole.hexdigest(), BlockChecksums(size, struct.pack(f"<{len(values)}I", *values))


class BlockCheck:
    """Check blocks of one file, each once.

    :param path: The file.
    :param expected: Its checksums.
    """

    def __init__(self, path: Path, expected: BlockChecksums) -> None:
        self._path, self._size = path, expected.size
        self._values = struct.unpack(f"<{len(expected.values) // 4}I", expected.values)
        self._right = bytearray(len(self._values))
        self._status = _identity(path)
        self._begun = time.monotonic()

    @property
    def is_fresh(self) -> bool:
        """Tell whether the file is still the one that was looked at, a short while ago."""
        return time.monotonic() - self._begun < _FRESH_SECONDS and _identity(self._path) == self._status

    def check(self, start: int = 0, stop: int | None = None) -> None:
        """Check some bytes.

        :param start: The first.
        :param stop: The one after the last; by default all.
        :raise CorruptionError: When they are not what was written.
        :raise FileNotFoundError: When the file is gone.
        """
        stop = self._size if stop is None else stop
        wanted = [block for block in range(start // BLOCK, -(-stop // BLOCK)) if not self._right[block]]
        if not wanted and self._size:
            return
        buffer = memoryview(bytearray(BLOCK))
        with self._path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size != self._size:
                raise CorruptionError(
                    f"{self._path} has {size} bytes, not {self._size} as it was loaded; run the ingest again, which "
                    "mends it."
                )
            for block in wanted:
                count = _fill(file.fileno(), buffer, block * BLOCK)
                if isal_zlib.crc32(buffer[:count]) != self._values[block]:
                    raise CorruptionError(
                        f"{self._path} is damaged (bytes {block * BLOCK} to {block * BLOCK + count} do not match their "
                        "checksum); run the ingest again, which mends it."
                    )
                self._right[block] = 1

    def check_parquet_footer(self) -> None:
        """Check the footer of a Parquet file before it is read, see :meth:`check`."""
        self.check(max(0, self._size - _FOOTER.size))
        with self._path.open("rb") as file:
            file.seek(max(0, self._size - _FOOTER.size))
            length, _ = _FOOTER.unpack(file.read(_FOOTER.size))
        self.check(max(0, self._size - _FOOTER.size - length))


def _fill(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Read a block, in as many pieces as it comes in; return its bytes, fewer only at the end of the file."""
    count = 0
    while count < len(buffer) and (read := os.preadv(descriptor, [buffer[count:]], offset + count)):
        count += read
    return count


def _identity(path: Path) -> tuple[int, int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
