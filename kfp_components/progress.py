"""How far a task is, as a small document in the store. Colour only: nothing is decided by it."""

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from omics_datastore.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Progress:
    """What is done of a total, in a unit."""

    done: int
    total: int
    unit: str


class ProgressWriter:
    """Write a task's progress at most every ``interval`` seconds, and at its end; used by many threads.

    :param store: Object store.
    :param key: Key of the document; ``None`` writes nothing.
    :param unit: What is counted.
    :param weights: For every part of the work, how much of the total it is.
    :param interval: Seconds between two writes.
    """

    def __init__(
        self, store: ObjectStore, key: str | None, unit: str, weights: Iterable[int], *, interval: float = 1.0
    ) -> None:
        self._store = store
        self._key = key
        self._unit = unit
        self._weights = list(weights)
        self._done = [0.0] * len(self._weights)
        self._interval = interval
        self._written = float("-inf")
        self._lock = threading.Lock()

    def update(self, part: int, done: int, total: int) -> None:
        """Say how far one part is.

        :param part: Number of the part.
        :param done: What is done of it, in the part's own unit.
        :param total: All of it, in the same unit.
        """
        with self._lock:
            self._done[part] = self._weights[part] * min(1.0, done / total if total else 1.0)
            if self._key is not None and time.monotonic() - self._written >= self._interval:
                self._write()

    def finish(self) -> None:
        """Say that all is done."""
        with self._lock:
            self._done = [float(weight) for weight in self._weights]
            if self._key is not None:
                self._write()

    def _write(self) -> None:
        content = {"done": round(sum(self._done)), "total": sum(self._weights), "unit": self._unit}
        if self._key is not None:
            self._store.write(self._key, json.dumps(content).encode())
        self._written = time.monotonic()


def read_progress(store: ObjectStore, keys: Iterable[str]) -> list[Progress]:
    """Read the progress of tasks, summed by unit; what cannot be read is left out.

    :param store: Object store.
    :param keys: Keys of the progress documents.
    :return: One sum a unit, in the order in which the units appear.
    """
    sums: dict[str, Progress] = {}
    for key in keys:
        try:
            content = json.loads(store.read(key))
            one = Progress(int(content["done"]), int(content["total"]), str(content["unit"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            continue
        so_far = sums.get(one.unit, Progress(0, 0, one.unit))
        sums[one.unit] = Progress(so_far.done + one.done, so_far.total + one.total, one.unit)
    return list(sums.values())
