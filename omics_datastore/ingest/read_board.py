"""What is being read from which source at this moment, noted where another process can see it.

The libraries that read source files are C. A damaged file may keep one of them in a loop or crash it, and then the
process that reads can say nothing any more; who watches it looks here.
"""

import mmap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SLOT = 512
_STAMP = 8


class ReadBoard:
    """Notes in memory that processes forked from this one share, a slot a source.

    :param slots: Number of sources.
    """

    def __init__(self, slots: int) -> None:
        self._memory = mmap.mmap(-1, max(1, slots) * _SLOT)

    @contextmanager
    def watch(self, slot: int) -> Iterator[None]:
        """Note the reads of this thread in a slot while a ``with`` block runs.

        :param slot: Number of the source.
        :return: A context manager.
        """
        token = _WATCHED.set((self, slot))
        try:
            yield
        finally:
            self.note(slot, None)
            _WATCHED.reset(token)

    def note(self, slot: int, what: str | None) -> None:
        """Note that a read begins, or with ``None`` that it is over.

        :param slot: Number of the source.
        :param what: What is read.
        """
        start = slot * _SLOT
        self._memory[start : start + _STAMP] = bytes(_STAMP)
        if what is not None:
            words = what.encode("utf-8", "backslashreplace")[: _SLOT - _STAMP].ljust(_SLOT - _STAMP, b"\0")
            self._memory[start + _STAMP : start + _SLOT] = words
            self._memory[start : start + _STAMP] = time.monotonic_ns().to_bytes(_STAMP, "little")

    def under_way(self, slot: int) -> tuple[str, int] | None:
        """Return what is being read.

        :param slot: Number of the source.
        :return: What, and a mark that is another one for another read; ``None`` when nothing is.
        """
        start = slot * _SLOT
        mark = int.from_bytes(self._memory[start : start + _STAMP], "little")
        words = self._memory[start + _STAMP : start + _SLOT].rstrip(b"\0").decode("utf-8", "replace")
        return (words, mark) if mark else None


_WATCHED: ContextVar[tuple[ReadBoard, int] | None] = ContextVar("watched", default=None)
_READING: ContextVar[str | None] = ContextVar("reading", default=None)


@contextmanager
def noted_read(what: str) -> Iterator[None]:
    """Note a read of the source that this thread is at, when somebody watches.

    :param what: What is read, for example ``X/data between values 0 and 4096``.
    :return: A context manager.
    """
    watched = _WATCHED.get()
    if watched is None:
        yield
        return
    board, slot = watched
    outer = _READING.get()
    token = _READING.set(what)
    board.note(slot, what)
    try:
        yield
    finally:
        _READING.reset(token)
        board.note(slot, outer)
