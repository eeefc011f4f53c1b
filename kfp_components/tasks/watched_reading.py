"""Read source files in a process that may hang, crash or grow, and say which file was at fault.

The process that reads is forked from the one that watches, which must have no threads yet: a task's own process before
it does anything. It says what it has done through a pipe, and what it is at on a :class:`ReadBoard`.
"""

import ctypes
import json
import os
import selectors
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from kfp_components.configurations import ReadLimits
from omics_datastore.errors import InputError
from omics_datastore.ingest.read_board import ReadBoard
from omics_datastore.storage.disk_errors import clear_disk_errors

Tell = Callable[[int, int, int], None]
"""Called with the number of a source, what is done of it, and all of it."""
Read = Callable[[int, Tell], str]
"""Reads the source of a number and returns its report as JSON."""
OpenRead = Callable[[], AbstractContextManager[Read]]
"""Opens what reads, in the process and for the time in which sources are read."""

_LOOK_SECONDS = 0.2
_LONGEST_STEP = 1.0
"""Seconds that count between two looks: a machine that slept, or a process that was stopped, read nothing meanwhile."""
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)
_PR_SET_PDEATHSIG = 1


@dataclass
class _Outcome:
    """What one process did: reports by number, the sources it had begun, and why it was no good end, if it was none.

    One of the ``suspects`` is at fault; ``certain`` when there is no doubt which.
    """

    reports: dict[int, str] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)
    fault: str | None = None
    suspects: set[int] = field(default_factory=set)
    certain: bool = False


def read_side_by_side(
    order: Sequence[int], open_read: OpenRead, tell: Tell, workers: int, *, board: ReadBoard | None = None
) -> Iterator[tuple[int, str]]:
    """Read sources in threads of this process.

    :param order: Numbers of the sources, in the order in which they are to be begun.
    :param open_read: Opens what reads.
    :param tell: Told how far each is; by any thread.
    :param workers: Threads.
    :param board: Where reads are noted.
    :return: Numbers and reports, in this order.
    """

    def read_one(number: int) -> str:
        tell(number, 0, 1)
        with board.watch(number) if board is not None else nullcontext():
            return read(number, tell)

    with open_read() as read, ThreadPoolExecutor(workers, thread_name_prefix="source") as pool:
        futures = {number: pool.submit(read_one, number) for number in order}
        try:
            for number, future in futures.items():
                yield number, future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def read_watched(
    order: Sequence[int],
    open_read: OpenRead,
    refuse: Callable[[int, str], str],
    tell: Tell,
    limits: ReadLimits,
    *,
    workers: int = 1,
) -> dict[int, str]:
    """Read sources side by side in a process of their own; one that cannot be read to its end is refused.

    When the process comes to a bad end and several sources were being read, these are read again, each in a process of
    its own, and the one that does it again is refused.

    :param order: Numbers of the sources, in the order in which they are to be begun.
    :param open_read: Opens what reads; called in the other process.
    :param refuse: Makes the report of a refused source from its number and the reason.
    :param tell: Told how far each is.
    :param limits: What a read and the process may take.
    :param workers: Threads that read.
    :return: Reports by number.
    :raise InputError: When reading raised one.
    :raise RuntimeError: When it raised anything else; its traceback went to standard error.
    :raise SystemExit: When somebody killed the process; the exit code says so.
    """
    board = ReadBoard(max(order, default=0) + 1)
    done: dict[int, str] = {}
    together, alone = list(order), list[int]()
    while together or alone:
        batch, together = ([alone.pop()], together) if alone else (together, [])
        outcome = _Reading(batch, open_read, tell, board, limits, workers).run()
        done.update(outcome.reports)
        left = [number for number in batch if number not in done]
        suspects = [number for number in left if number in outcome.suspects] or left
        if outcome.fault is not None and (outcome.certain or len(suspects) == 1):
            done.update({number: refuse(number, outcome.fault) for number in suspects})
        else:
            alone += suspects
        together += [number for number in left if number not in suspects]
    return done


class _Reading:
    """One process that reads, seen from the one that watches."""

    def __init__(
        self,
        batch: Sequence[int],
        open_read: OpenRead,
        tell: Tell,
        board: ReadBoard,
        limits: ReadLimits,
        workers: int,
    ) -> None:
        self._batch = list(batch)
        self._open_read = open_read
        self._tell = tell
        self._board = board
        self._limits = limits
        self._workers = min(workers, len(self._batch))
        self._waited: dict[int, tuple[int, float]] = {}
        self._outcome = _Outcome()
        self._failure: dict[str, str] | None = None

    def run(self) -> _Outcome:
        """Start the process, and return when it has ended."""
        receiver, sender = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if process == 0:
            os.close(receiver)
            _become_reader(self._batch, self._open_read, self._board, self._workers, sender)
        os.close(sender)
        status: int | None = None
        try:
            self._listen(process, receiver)
            status = os.waitpid(process, 0)[1]
        finally:
            os.close(receiver)
            if status is None:
                _kill(process)
                os.waitpid(process, 0)
        self._judge(os.waitstatus_to_exitcode(status))
        return self._outcome

    def _listen(self, process: int, receiver: int) -> None:
        """Take what the process says until it ends or has to be ended."""
        rest = b""
        looked = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(receiver, selectors.EVENT_READ)
            while True:
                if selector.select(_LOOK_SECONDS):
                    said = os.read(receiver, 2**16)
                    if not said:
                        return
                    *lines, rest = (rest + said).split(b"\n")
                    for line in lines:
                        self._take(json.loads(line))
                now = time.monotonic()
                if now - looked >= _LOOK_SECONDS:
                    self._look(process, min(now - looked, _LONGEST_STEP))
                    looked = now

    def _take(self, message: dict[str, Any]) -> None:
        if "failure" in message:
            self._failure = message["failure"]
        elif "report" in message:
            self._outcome.reports[message["number"]] = message["report"]
        else:
            self._outcome.begun.add(message["number"])
            self._tell(message["number"], message["done"], message["total"])

    def _look(self, process: int, seconds: float) -> None:
        """End the process when a read takes too long or it holds too much memory."""
        if self._outcome.fault is not None:
            return
        for number in self._batch:
            read = self._board.under_way(number)
            if read is None:
                self._waited.pop(number, None)
                continue
            what, mark = read
            before, waited = self._waited.get(number, (mark, 0.0))
            waited = waited + seconds if before == mark else 0.0
            self._waited[number] = (mark, waited)
            if waited > self._limits.seconds:
                self._outcome.certain = True
                self._end(
                    process,
                    {number},
                    f"reading {what} takes more than {self._limits.seconds:g} seconds, as in a damaged file; copy the "
                    "file again, or raise NEXUS_READ_SECONDS if it is only slow.",
                )
                return
        held = _resident_bytes(process) >> 20
        if held > self._limits.memory_mb:
            reads = [read for number in self._batch if (read := self._board.under_way(number)) is not None]
            what = reads[0][0] if reads else "it"
            self._end(
                process,
                self._outcome.begun,
                f"reading {what} takes {held} MB of memory, more than {self._limits.memory_mb}; write the file again "
                "with anndata, or raise NEXUS_READ_MEMORY_MB.",
            )

    def _end(self, process: int, suspects: set[int], why: str) -> None:
        self._outcome.fault, self._outcome.suspects = why, set(suspects)
        _kill(process)

    def _judge(self, code: int) -> None:
        """Make sense of how the process ended."""
        outcome = self._outcome
        if self._failure is not None:
            message = self._failure["message"]
            raise InputError(*message.splitlines()) if self._failure["kind"] == "input" else RuntimeError(message)
        if outcome.fault is not None or (code == 0 and len(outcome.reports) == len(self._batch)):
            return
        if code < 0 and -code in _CRASHES:
            reads = {number: read for number in self._batch if (read := self._board.under_way(number)) is not None}
            what = next((words for words, _ in reads.values()), "it")
            outcome.fault = (
                f"reading {what} crashes the reader ({signal.Signals(-code).name}), as a damaged file can; "
                "copy the file again."
            )
            outcome.suspects = set(reads) or outcome.begun
            return
        if code < 0:  # somebody killed it, the machine for want of memory for example
            sys.exit(128 - code)
        raise RuntimeError(f"the process that reads source files ended with exit code {code}")


def _become_reader(batch: Sequence[int], open_read: OpenRead, board: ReadBoard, workers: int, sender: int) -> NoReturn:
    """Read in this process, which was forked for it, and end it."""
    code = 1
    try:
        _die_with_parent()
        say = _Speaker(sender)
        for number in batch:
            board.note(number, None)

        def tell(number: int, done: int, total: int) -> None:
            say(number=number, done=int(done), total=int(total))

        try:
            with clear_disk_errors():
                for number, report in read_side_by_side(batch, open_read, tell, workers, board=board):
                    say(number=number, report=report)
            code = 0
        except InputError as error:
            say(failure={"kind": "input", "message": str(error)})
        except BaseException as error:  # noqa: BLE001 - told to the process that waits
            traceback.print_exc()
            say(failure={"kind": "other", "message": f"{type(error).__name__}: {error}"})
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


class _Speaker:
    """Write lines of JSON into a pipe, from any thread.

    :param descriptor: The pipe.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def __call__(self, **message: object) -> None:
        line = json.dumps(message).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]


def _die_with_parent() -> None:
    """Ask Linux to kill this process when the one that watches it is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _resident_bytes(process: int) -> int:
    """Return the memory that a process holds; 0 where the system does not say."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
