"""Read what the tasks of a session say (see ``kfp_components.messages``): each line once, whoever writes when.

The reader of dagster-gcp expects one writer that counts its files from one: it loses messages when a task is tried
again and when tasks run side by side. This one lists the session's prefix and remembers what it has read.
"""

import json
import logging
from dataclasses import dataclass
from typing import Any

from kfp_components.progress import Progress, sum_progress
from omics_datastore.storage.object_store import ObjectStore


@dataclass(frozen=True)
class Said:
    """What one look at a session brought: the sums that changed, and what tasks failed with."""

    progress: tuple[Progress, ...] = ()
    failures: tuple[str, ...] = ()


class SessionReader:
    """Follow a session.

    :param store: Object store.
    :param prefix: Prefix of the session, with a slash at its end.
    """

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self._read: set[str] = set()
        self._newest: dict[str, str] = {}
        self._progress: dict[str, Progress] = {}
        self._told: dict[str, Progress] = {}

    def look(self, since: float | None) -> Said:
        """Read what is new.

        :param since: When the job was submitted (s since 1970); what was written before is of an earlier attempt.
        :return: What is new; nothing when it cannot be read, whatever the reason.
        """
        try:
            failures = self._read_new(since or 0.0)
        except Exception as error:  # noqa: BLE001 - messages are colour; the job goes on without
            logging.getLogger(__name__).warning("%s cannot be read: %s", self._prefix, error)
            return Said()
        sums = sum_progress(self._progress[task] for task in sorted(self._progress))
        changed = tuple(progress for progress in sums if self._told.get(progress.unit) != progress)
        self._told.update({progress.unit: progress for progress in changed})
        return Said(changed, tuple(failures))

    def _read_new(self, since: float) -> list[str]:
        failures: list[str] = []
        for entry in self._store.entries(self._prefix):
            writer = entry.key.removeprefix(self._prefix).partition("/")[0]
            parts = writer.split("-")
            if entry.key in self._read or len(parts) != 3 or not parts[1].isdigit():
                continue
            task, newest = parts[0], self._newest.get(parts[0], "")
            if int(parts[1]) < since * 1e6 or writer < newest:
                self._read.add(entry.key)
                continue
            lines = self._store.read(entry.key).splitlines()
            self._read.add(entry.key)
            if writer != newest:  # the task was tried again, and begins at nothing
                self._newest[task] = writer
                self._progress.pop(task, None)
            for line in lines:
                failure = self._take(task, line)
                failures += [failure] if failure else []
        return failures

    def _take(self, task: str, line: bytes) -> str | None:
        """Take in one message.

        :return: What the task failed with, when it says so.
        """
        try:
            message: dict[str, Any] = json.loads(line)
            params = message["params"] or {}
            if message["method"] == "report_custom_message":
                said = params["payload"]
                self._progress[task] = Progress(int(said["done"]), int(said["total"]), str(said["unit"]))
            if message["method"] == "closed" and "exception" in params:
                return f"Task {task} failed: {str(params['exception']['message']).strip()}"
        except (ValueError, KeyError, TypeError):
            return None
        return None
