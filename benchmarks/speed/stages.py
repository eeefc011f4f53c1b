"""The clock of a contestant, and how its program reports. Standard library only: peers run it in their environments."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

CPU = "_cpu"
"""What follows the name of a stage in the name of its CPU seconds."""


class Stages:
    """Measure the stages of a run: seconds on the clock, and CPU seconds of this process and all below it.

    CPU seconds change little when something else runs on the machine, which the clock does not forgive.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Measure a stage; the processes that it starts must have ended when it does.

        :param name: Name of the stage.
        :return: A context manager.
        """
        started, used = time.perf_counter(), cpu_seconds()
        yield
        self.seconds[name] = time.perf_counter() - started
        self.seconds[name + CPU] = cpu_seconds() - used


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of all processes below it, those that ended included."""
    ticks, pids = 0, [os.getpid()]
    while pids:
        pid = pids.pop()
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(int(field) for field in fields[11:15])  # user, system, and those of children that ended
            for thread in Path(f"/proc/{pid}/task").iterdir():
                pids += [int(child) for child in (thread / "children").read_text().split()]
    return ticks / os.sysconf("SC_CLK_TCK")


def run_contestant(main: Callable[[list[Path], Path], dict[str, float]], arguments: Sequence[str]) -> None:
    """Be the program of a contestant: ``FOLDER SOURCE…``; print what it reports as JSON.

    :param main: Takes the sources and an empty folder.
    :param arguments: Of the program.
    """
    folder, *sources = (Path(argument) for argument in arguments)
    sys.stdout.write(json.dumps(main(sources, folder)))
