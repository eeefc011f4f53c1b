"""The durable steps of a process, counted, and its death at one of them. For forked children: it cannot be undone.

A step is what may change the world outside of this process. In a folder: each opening of a file for writing, rename,
link, removal, making of a folder and fsync below it, as Python's audit events tell, and what is deleted relative to an
open folder. In a cloud: of each request that is no GET, the moment before it is sent, the moment when half of its body
is sent, and the moment when its answer has come and nobody has read it.
"""

import itertools
import os
import signal
import sys
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

_CHANGES = ("os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


class Steps:
    """Count the steps of this process from now on, and kill it with SIGKILL just before one.

    :param folder: Steps on files are those below it.
    :param stop_at: The step to die at, from 1; ``None`` to count only.
    """

    def __init__(self, folder: str, stop_at: int | None) -> None:
        self._folder, self._stop_at = folder, stop_at
        self._numbers = itertools.count(1)
        self.taken = 0
        sys.addaudithook(self._audited)
        self._count_flushes()
        self._count_requests()

    def _step(self, dying: Callable[[], object] = lambda: None) -> None:
        self.taken = next(self._numbers)  # atomic: threads take steps too
        if self.taken == self._stop_at:
            dying()
            os.kill(os.getpid(), signal.SIGKILL)

    def _audited(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self._step_below(arguments[0])
        elif event in _CHANGES:
            if event in ("os.remove", "os.rmdir") and arguments[1] >= 0:  # relative to an open folder
                self._step()
            else:
                self._step_below(arguments[0])

    def _step_below(self, path: object) -> None:
        if isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path).startswith(self._folder):
            self._step()

    def _count_flushes(self) -> None:
        flush = os.fsync

        def counted(fd: Any) -> None:
            self._step()
            flush(fd)

        os.fsync = counted

    def _count_requests(self) -> None:
        begin, send, answer = HTTPConnection.putrequest, HTTPConnection.send, HTTPConnection.getresponse
        sent: dict[int, int] = {}
        """Pieces sent so far of the request of a connection that changes something; the first is its head."""

        def begun(connection: HTTPConnection, method: str, url: str, *rest: Any, **options: Any) -> None:
            sent.pop(id(connection), None)
            if method not in ("GET", "HEAD"):
                self._step()
                sent[id(connection)] = 0
            begin(connection, method, url, *rest, **options)

        def sending(connection: HTTPConnection, data: Any) -> None:
            if id(connection) in sent:
                sent[id(connection)] += 1
                if sent[id(connection)] == 2 and isinstance(data, bytes):
                    self._step(lambda: send(connection, data[: len(data) // 2]))
            send(connection, data)

        def answered(connection: HTTPConnection) -> Any:
            response = answer(connection)
            if sent.pop(id(connection), 0):
                self._step()
            return response

        for name, hook in (("putrequest", begun), ("send", sending), ("getresponse", answered)):
            setattr(HTTPConnection, name, hook)
