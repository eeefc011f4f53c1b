"""How far a task is: counted by its threads, said in Pipes messages, summed over the tasks of a session."""

import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from kfp_components.messages import TaskMessages

_SLOWER = 1.25
_LONGEST_SECONDS = 60.0


@dataclass(frozen=True)
class Progress:
    """What is done of a total, in a unit."""

    done: int
    total: int
    unit: str


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
        self._interval = interval
        self._said = float("-inf")
        self._lock = threading.Lock()

    def update(self, part: int, done: int, total: int) -> None:
        """Say how far one part is.

        :param part: Number of the part.
        :param done: What is done of it, in the part's own unit.
        :param total: All of it, in the same unit.
        """
        with self._lock:
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
        self._messages.report(asdict(Progress(round(sum(self._done)), sum(self._weights), self._unit)))
        self._said = time.monotonic()


def sum_progress(parts: Iterable[Progress]) -> list[Progress]:
    """Add up how far tasks are.

    :param parts: Progress of tasks.
    :return: One sum a unit, in the order in which the units appear.
    """
    sums: dict[str, Progress] = {}
    for part in parts:
        so_far = sums.get(part.unit, Progress(0, 0, part.unit))
        sums[part.unit] = Progress(so_far.done + part.done, so_far.total + part.total, part.unit)
    return list(sums.values())
