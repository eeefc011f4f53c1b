"""Reading under watch: what hangs, crashes or grows is a refusal of the file that did it, and the others are read."""

import ctypes
import faulthandler
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kfp_components.configurations import ReadLimits
from kfp_components.tasks.watched_reading import Read, Tell, read_watched
from omics_datastore.errors import InputError
from omics_datastore.ingest.read_board import noted_read

Act = Callable[[], object]


def hang() -> None:
    with noted_read("X/data between values 0 and 9"):
        while True:
            time.sleep(1)


def crash() -> None:
    faulthandler.disable()
    with noted_read("obs['n'] in rows 0 to 3"):
        ctypes.string_at(0)


def grow() -> None:
    with noted_read("the categories of obs['n']"):
        held = bytearray(200 * 2**20)
        held[:: 2**12] = b"x" * len(held[:: 2**12])
        time.sleep(60)


def refuse() -> None:
    raise InputError("cellxgene-schema is not there.")


def fail() -> None:
    raise ZeroDivisionError("a bug")


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def megabytes_after_fork() -> int:
    """Return what a forked process holds to begin with: less than this one, whose pages of files it need not have."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, Path("/proc/self/statm").read_bytes())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as told:
        return int(told.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def read_all(*acts: Act | None, workers: int = 1, seconds: float = 60) -> list[str]:
    """Read sources that do something or nothing."""

    @contextmanager
    def open_read() -> Iterator[Read]:
        def read(number: int, tell: Tell) -> str:
            act = acts[number]
            if act is not None:
                act()
            tell(number, 1, 1)
            return f"read {number}"

        yield read

    told: set[int] = set()

    def tell(number: int, done: int, total: int) -> None:
        told.add(number)

    held = megabytes_after_fork()
    reports = read_watched(
        range(len(acts)),
        open_read,
        lambda number, why: f"refused {number}: {why}",
        tell,
        ReadLimits(seconds=seconds, memory_mb=held + 100),
        workers=workers,
    )
    assert told == set(range(len(acts)))
    return [reports[number] for number in range(len(acts))]


def test_all_is_well() -> None:
    assert read_all(None, None, None, workers=2) == ["read 0", "read 1", "read 2"]


def test_a_read_that_never_ends() -> None:
    said = read_all(None, hang, None, workers=2, seconds=0.5)
    assert said[::2] == ["read 0", "read 2"]
    assert said[1].startswith(
        "refused 1: reading X/data between values 0 and 9 takes more than 0.5 seconds, as in a dam"
    )
    assert said[1].endswith("; copy the file again, or raise NEXUS_READ_SECONDS if it is only slow.")


def test_a_read_that_crashes_beside_one_that_does_not() -> None:
    said = read_all(crash, lambda: time.sleep(0.3), None, workers=2)
    assert said[1:] == ["read 1", "read 2"]
    assert said[0].startswith(
        "refused 0: reading obs['n'] in rows 0 to 3 crashes the reader (SIGSEGV), as a damaged file"
    )


def test_a_read_that_takes_too_much_memory() -> None:
    first, second = read_all(None, grow)
    assert first == "read 0"
    assert second.startswith("refused 1: reading the categories of obs['n'] takes ")
    assert second.endswith("; write the file again with anndata, or raise NEXUS_READ_MEMORY_MB.")


def test_what_is_no_fault_of_a_file() -> None:
    with pytest.raises(InputError, match="cellxgene-schema is not there"):
        read_all(None, refuse)
    with pytest.raises(RuntimeError, match="ZeroDivisionError: a bug"):
        read_all(fail)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)  # another test of this process may have changed it
    with pytest.raises(SystemExit) as caught:
        read_all(be_killed)
    signal.signal(signal.SIGTERM, before)
    assert caught.value.code == 128 + signal.SIGTERM


def test_progress_resets_the_patience() -> None:
    def often() -> None:
        for place in range(4):
            with noted_read(f"part {place}"):
                time.sleep(0.5)

    assert read_all(often, seconds=1.5) == ["read 0"]
