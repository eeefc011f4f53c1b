"""How far a task is: counted by its threads, said in Pipes messages, summed over a session's tasks; and how fast."""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from kfp_components.messages import TaskMessages

_SLOWER = 1.25
_LONGEST_SECONDS = 60.0


@dataclass(frozen=True)
class Progress:
    """What is done of a total, in a unit; and how many cells that is, where the unit is another."""

    done: int
    total: int
    unit: str
    cells: int = field(default=0, compare=False)


class Pace:
    """Tell how fast work is and how long it will take, from when it was first seen.

    Work that was there already, and the start of the tasks, are not counted.

    :param clock: Gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, Progress] | None = None

    def describe(self, progress: Progress) -> str:
        """Return the pace of work.

        :param progress: How far it is.
        :return: Cells a second and the time left, like ``11,200 cells/s, 0:01:05 left``; empty when none is known.
        """
        now = self._clock()
        if self._first is None or progress.done < self._first[1].done:
            self._first = (now, progress)
        since, first = self._first
        seconds, done = now - since, progress.done - first.done
        if seconds <= 0 or done <= 0:
            return ""
        cells = done if progress.unit == "cells" else progress.cells - first.cells
        left = timedelta(seconds=round((progress.total - progress.done) * seconds / done))
        return f"{cells / seconds:,.0f} cells/s, {left} left"


class ProgressWriter:
    """Say how far a task is, at first and at its end, and between them less and less often; used by many threads.

    :param messages: Says it.
    :param unit: What is counted.
    :param weights: For every part of the work, how much of the total it is.
    :param interval: Seconds until it is said again; a quarter longer each time, up to a minute.
    """

    def __init__(self, messages: TaskMessages, unit: str, weights: Iterable[int], *, interval: float = 1.0) -> None:
        self._messages = messages
        self._unit = unit
        self._weights = list(weights)
        self._done = [0.0] * len(self._weights)
        self._cells = [0] * len(self._weights)
        self._interval = interval
        self._said = float("-inf")
        self._lock = threading.Lock()

    def update(self, part: int, done: int, total: int) -> None:
        """Say how far one part is.

        :param part: Number of the part.
        :param done: Cells that are done of it.
        :param total: All of its cells; 0 when it is done.
        """
        with self._lock:
            self._cells[part] = done
            self._done[part] = self._weights[part] * min(1.0, done / total if total else 1.0)
            if time.monotonic() - self._said >= self._interval:
                self._interval = min(self._interval * _SLOWER, max(self._interval, _LONGEST_SECONDS))
                self._say()

    def finish(self) -> None:
        """Say that all is done."""
        with self._lock:
            self._done = [float(weight) for weight in self._weights]
            self._say()

    def _say(self) -> None:
        progress = Progress(round(sum(self._done)), sum(self._weights), self._unit, sum(self._cells))
        self._messages.report(asdict(progress))
        self._said = time.monotonic()


def sum_progress(parts: Iterable[Progress]) -> list[Progress]:
    """Add up how far tasks are.

    :param parts: Progress of tasks.
    :return: One sum a unit, in the order in which the units appear.
    """
    sums: dict[str, Progress] = {}
    for part in parts:
        so_far = sums.get(part.unit, Progress(0, 0, part.unit))
        cells = so_far.cells + part.cells
        sums[part.unit] = Progress(so_far.done + part.done, so_far.total + part.total, part.unit, cells)
    return list(sums.values())
