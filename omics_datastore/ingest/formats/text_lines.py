"""Text files read in blocks of whole lines, and tables of tabs read line by line, with the numbers of their lines."""

from collections.abc import Iterator
from pathlib import Path

from omics_datastore.ingest.formats.unpack import read_blocks, unpacked_limit
from omics_datastore.ingest.refusal import RefusedSourceError

_LONGEST_LINE = 2**20


class TextFile:
    """A text file, gzip'd when its name says so.

    :param path: The file.
    :param name: Its name, for messages.
    :param max_file_bytes: The configured limit of a file's size, for the unpacked one.
    """

    def __init__(self, path: Path, name: str, max_file_bytes: int | None) -> None:
        self.name = name
        self._path = path
        self._packed = name.endswith(".gz")
        self._limit = unpacked_limit(path.stat().st_size, max_file_bytes) if self._packed else path.stat().st_size

    def blocks(self) -> Iterator[bytes]:
        """Read the file once.

        :return: Blocks of some megabytes, each of whole lines with their ends.
        :raise RefusedSourceError: When it cannot be unpacked, or a line never ends.
        """
        rest = b""
        for block in read_blocks(self._path, self.name, self._limit, packed=self._packed):
            whole = rest + block
            end = whole.rfind(b"\n") + 1
            rest = whole[end:]
            if len(rest) > _LONGEST_LINE:
                raise RefusedSourceError(
                    "readable", f"{self.name} has a line of more than {_LONGEST_LINE} bytes; it is no table of text."
                )
            if end:
                yield whole[:end]
        if rest:
            yield rest + b"\n"

    def rows(self, least: int, most: int) -> Iterator[list[list[str]]]:
        """Read a table of tabs once; blank lines at its end are passed over.

        :param least: How many columns every line must have.
        :param most: How many are wanted; further ones are passed over.
        :return: Lists of lines, each a list of the wanted columns, as many as the first line has.
        :raise RefusedSourceError: For a line that is too short, blank or not UTF-8.
        """
        width, number, blank = 0, 0, 0
        for block in self.blocks():
            rows: list[list[str]] = []
            for line in self._text(block, number).split("\n")[:-1]:
                number += 1
                cells = line.removesuffix("\r").split("\t")[:most]
                if cells == [""]:
                    blank = blank or number
                    continue
                width = width or len(cells)
                if blank:
                    raise RefusedSourceError("readable", f"line {blank} of {self.name} is blank; take it out.")
                if len(cells) < max(width, least):
                    raise RefusedSourceError(
                        "readable",
                        f"line {number} of {self.name} has {len(cells)} columns instead of {max(width, least)}; "
                        "write the file again, with tabs between columns.",
                    )
                rows.append(cells[:width])
            if rows:
                yield rows

    def _text(self, block: bytes, lines_before: int) -> str:
        if b"\0" in block:
            line = lines_before + block.count(b"\n", 0, block.index(b"\0")) + 1
            raise RefusedSourceError("readable", f"line {line} of {self.name} holds a NUL; it is no table of text.")
        try:
            return block.decode("utf-8")
        except UnicodeDecodeError as error:
            line = lines_before + block.count(b"\n", 0, error.start) + 1
            raise RefusedSourceError(
                "readable", f"line {line} of {self.name} is not UTF-8; write the file in UTF-8."
            ) from error
