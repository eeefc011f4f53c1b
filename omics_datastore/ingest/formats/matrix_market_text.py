"""The text of a matrix-market file: its header, and its entries in blocks, each checked and named by its line.

Format: NIST, "Matrix Market Exchange Formats": a banner, comments, one line of sizes, then an entry a line,
counted from 1.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omics_datastore.ingest.formats.text_lines import TextFile
from omics_datastore.ingest.refusal import RefusedSourceError

_BANNER = re.compile(rb"%%MatrixMarket\s+matrix\s+coordinate\s+(integer|real|double)\s+general\s*", re.IGNORECASE)
_SPACES = re.compile(rb"[ \t]+")
_INDEX = re.compile(rb"[+-]?[0-9]{1,18}")
_VALUE = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+|inf|nan)(?:e[+-]?[0-9]+)?", re.IGNORECASE)
_COUNT_LIMIT = 2**31
_NAMES = ("feature", "cell", "count")


@dataclass(frozen=True)
class Entries:
    """Entries of a matrix: ``features`` int32, ``cells`` int64 (both from 0) and ``counts`` int32, all (n,)."""

    features: NDArray[np.int32]
    cells: NDArray[np.int64]
    counts: NDArray[np.int32]


class MatrixMarketText:
    """Read a matrix-market file of features x cells once.

    ``shape`` is (features, cells) and ``stored`` the number of entries, both as the file says.

    :param file: The file.
    :raise RefusedSourceError: When it does not begin as such a file does.
    """

    def __init__(self, file: TextFile) -> None:
        self._file = file
        self._blocks = file.blocks()
        self._lines = 0
        self._rest = b""
        banner = self._next_line()
        if not _BANNER.fullmatch(banner):
            raise RefusedSourceError(
                "readable",
                f"line 1 of {file.name} is {_shown(banner)}, not '%%MatrixMarket matrix coordinate integer general' "
                "(or real); write the matrix so.",
            )
        line = self._next_line()
        while line.startswith(b"%") or (not line and self._rest):
            line = self._next_line()
        sizes = line.split()
        if len(sizes) != 3 or not all(size.isdigit() and len(size) < 16 for size in sizes):
            raise RefusedSourceError(
                "readable",
                f"line {self._lines} of {file.name} is {_shown(line)}, not the numbers of features, cells and entries; "
                "write the file again.",
            )
        features, cells, self.stored = (int(size) for size in sizes)
        self.shape = (features, cells)

    def entries(self) -> Iterator[Entries]:
        """Read the entries, in the order of the file.

        :return: Entries of some megabytes of text each.
        :raise RefusedSourceError: At the first line that is none, or when there are fewer or more than the file says.
        """
        found = 0
        block: bytes | None = self._rest
        while block is not None:
            if block.strip():
                entries = self._parse(block)
                found += len(entries.counts)
                if found > self.stored:
                    break
                yield entries
            self._lines += block.count(b"\n")
            block = next(self._blocks, None)
        if found != self.stored:
            raise RefusedSourceError(
                "matrix_structure",
                f"{self._file.name} says it has {self.stored} entries, but has "
                f"{'more' if found > self.stored else found}; it is cut off or was changed: write it again.",
            )

    def _next_line(self) -> bytes:
        if not self._rest:
            self._rest = next(self._blocks, b"")
        line, _, self._rest = self._rest.partition(b"\n")
        self._lines += 1
        return line.strip()

    def _parse(self, block: bytes) -> Entries:
        import pyarrow as pa
        from pyarrow import csv

        plain = (
            b"\n".join(_SPACES.sub(b" ", line.strip()) for line in block.split(b"\n")) if _is_loose(block) else block
        )
        try:
            table = csv.read_csv(
                pa.BufferReader(plain),
                read_options=csv.ReadOptions(
                    use_threads=False, column_names=list(_NAMES), block_size=min(2**31 - 1, len(plain) + 1)
                ),
                parse_options=csv.ParseOptions(delimiter=" ", quote_char=False),
                convert_options=csv.ConvertOptions(
                    column_types={"feature": pa.int64(), "cell": pa.int64(), "count": pa.float64()},
                    null_values=[],
                    include_columns=list(_NAMES),
                ),
            )
        except pa.ArrowInvalid as error:
            raise self._wrong_line(block) from error
        features, cells, counts = (table[name].to_numpy() for name in _NAMES)
        with np.errstate(invalid="ignore"):
            whole = (counts >= 0) & (counts < _COUNT_LIMIT) & (np.floor(counts) == counts)
        inside = [(index >= 1) & (index <= size) for index, size in zip((features, cells), self.shape, strict=True)]
        good = inside[0] & inside[1] & whole
        if not good.all():
            raise self._wrong_entry(block, int(np.argmin(good)), features, cells, counts)
        return Entries((features - 1).astype(np.int32), cells - 1, counts.astype(np.int32))

    def _wrong_line(self, block: bytes) -> RefusedSourceError:
        for number, line in enumerate(block.split(b"\n"), self._lines + 1):
            parts = line.split()
            if parts and not _is_entry(parts):
                return RefusedSourceError(
                    "readable",
                    f"line {number} of {self._file.name} is {_shown(line.strip())}, not a feature, a cell and a count; "
                    "write the file again.",
                )
        return RefusedSourceError("readable", f"{self._file.name} has lines that are no entries; write it again.")

    def _wrong_entry(self, block: bytes, place: int, *columns: NDArray[Any]) -> RefusedSourceError:
        filled = (number for number, line in enumerate(block.split(b"\n"), self._lines + 1) if line.strip())
        line = next(number for entry, number in enumerate(filled) if entry == place)
        where = f"line {line} of {self._file.name}"
        for axis in (0, 1):
            index = int(columns[axis][place])
            if not 1 <= index <= self.shape[axis]:
                return RefusedSourceError(
                    "matrix_structure",
                    f"{where} names {_NAMES[axis]} {index}, outside of 1 to {self.shape[axis]}; write the file again.",
                )
        return RefusedSourceError(
            "counts",
            f"{where} holds {columns[2][place]:g}, which is no count: whole, not negative and below 2**31; "
            "export the raw counts.",
        )


def _is_loose(block: bytes) -> bool:
    """Tell whether there are other spaces than one between two numbers."""
    return any(spaces in block for spaces in (b"  ", b"\t", b" \n", b"\n ", b" \r")) or block.startswith(b" ")


def _is_entry(parts: list[bytes]) -> bool:
    return len(parts) == 3 and all(_INDEX.fullmatch(part) for part in parts[:2]) and bool(_VALUE.fullmatch(parts[2]))


def _shown(line: bytes) -> str:
    return repr(line[:80].decode("utf-8", "replace"))
