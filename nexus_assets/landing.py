"""What landed in the three folders that people drop into, against what was seen before. No Dagster here.

A drop is taken when it has not changed for the quiet period, or at once when a dataset's folder holds ``_READY``.
A drop that cannot be read becomes a sentence, and is looked at again on the next tick. What is gone is forgotten.
A drop that is dated in the future, by another machine's clock, is taken when it has looked alike for the quiet period.
"""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath

from omics_datastore.errors import InputError
from omics_datastore.ingest.inbox import Drop, read_inbox
from omics_datastore.keys import KEY_PATTERN, digest, propose_key
from omics_datastore.storage.layout import FEATURE_SCHEMAS, INBOX, SPECIFICATIONS
from omics_datastore.storage.object_store import ObjectStore, StoredObject

Seen = dict[str, str]
"""Digest of the last drop that was taken, by name."""


@dataclass
class LandingCursor:
    """What was taken so far, by kind, and how many ticks took anything: what lands twice alike is told apart by it."""

    datasets: Seen = field(default_factory=dict)
    feature_schemas: Seen = field(default_factory=dict)
    curricula: Seen = field(default_factory=dict)
    ticks: int = 0
    resting: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Drops that are dated in the future: digest, and since when it was seen so, by key."""

    @classmethod
    def parse(cls, text: str | None) -> "LandingCursor":
        """Read a cursor; ``None`` is the beginning.

        :param text: What :meth:`format` wrote.
        :return: The cursor.
        """
        found = cls(**json.loads(text)) if text else cls()
        found.resting = {key: (mark, since) for key, (mark, since) in found.resting.items()}
        return found

    def has_rested(self, key: str, mark: str, modified: float, now: float, quiet_seconds: float) -> bool:
        """Tell whether a drop has not changed for the quiet period.

        :param key: Key of the drop.
        :param mark: Digest of its state.
        :param modified: When it changed, by the store's clock; seconds since 1970.
        :param now: The time by ours.
        :param quiet_seconds: The quiet period.
        """
        if modified <= now:
            self.resting.pop(key, None)
            return now - modified >= quiet_seconds
        if self.resting.get(key, ("", 0.0))[0] != mark:
            self.resting[key] = mark, now
        return now - self.resting[key][1] >= quiet_seconds

    def format(self) -> str:
        """Write the cursor as text."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Landed:
    """A dropped file of one kind: its name, where it is and a digest of its state."""

    name: str
    key: str
    digest: str


@dataclass
class Landings:
    """What is new: drops to take, which still settle, and a sentence for each that cannot be taken."""

    datasets: list[Drop] = field(default_factory=list)
    feature_schemas: list[Landed] = field(default_factory=list)
    curricula: list[Landed] = field(default_factory=list)
    settling: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def find_landings(
    store: ObjectStore, cursor: LandingCursor, now: float, quiet_seconds: float, *, seconds: float = math.inf
) -> Landings:
    """Compare the folders with what was seen. Only these three folders are listed, each once.

    :param store: Object store.
    :param cursor: What was taken so far; names that are gone are taken off it.
    :param now: Seconds since 1970.
    :param quiet_seconds: How long a drop must not have changed.
    :param seconds: How long listing may take.
    :return: What is new.
    :raise InputError: When listing takes longer: what was not listed is not taken for gone.
    """
    found = Landings()
    deadline = time.monotonic() + seconds
    inbox = read_inbox(store, _listed(store, INBOX, deadline))
    found.problems += inbox.problems
    for name, drop in inbox.drops.items():
        if cursor.datasets.get(name) == drop.digest:
            continue
        if drop.ready or cursor.has_rested(f"{INBOX}{name}", drop.digest, drop.modified, now, quiet_seconds):
            found.datasets.append(drop)
        else:
            found.settling.append(name)
    cursor.datasets = {name: seen for name, seen in cursor.datasets.items() if name in inbox.drops}
    there = {f"{INBOX}{name}" for name in inbox.drops}
    for folder, suffix, seen, landed in (
        (FEATURE_SCHEMAS, ".csv", cursor.feature_schemas, found.feature_schemas),
        (SPECIFICATIONS, ".yaml", cursor.curricula, found.curricula),
    ):
        files = {
            PurePosixPath(entry.key).stem: entry for entry in _files(store, folder, suffix, found.problems, deadline)
        }
        for name in set(seen) - set(files):
            del seen[name]
        there.update(entry.key for entry in files.values())
        for name, entry in files.items():
            mark = digest([entry.key, entry.size, entry.generation])
            if seen.get(name) == mark:
                continue
            if cursor.has_rested(entry.key, mark, entry.modified, now, quiet_seconds):
                landed.append(Landed(name, entry.key, mark))
            else:
                found.settling.append(name)
    cursor.resting = {key: since for key, since in cursor.resting.items() if key in there}
    return found


def _listed(store: ObjectStore, folder: str, deadline: float) -> Iterator[StoredObject]:
    for count, entry in enumerate(store.entries(folder, hidden=folder == INBOX)):
        if time.monotonic() > deadline:
            raise InputError(
                f"{store.uri(folder.rstrip('/'))} could not be listed in time: there are more than {count:,} objects; "
                "move source files out of it that are in the warehouse."
            )
        yield entry


def _files(
    store: ObjectStore, folder: str, suffix: str, problems: list[str], deadline: float
) -> Iterator[StoredObject]:
    for entry in _listed(store, folder, deadline):
        path = PurePosixPath(entry.key.removeprefix(folder))
        if len(path.parts) > 1:
            continue
        if (path.suffix, suffix) == (".yml", ".yaml"):
            problems.append(f"{store.uri(entry.key)} is not taken: call it {path.stem}{suffix}.")
        if path.suffix != suffix:
            continue
        if KEY_PATTERN.fullmatch(path.stem):
            yield entry
        else:
            problems.append(
                f"{store.uri(entry.key)} is not taken: {path.stem!r} is not a valid name; "
                f"rename it, for example to {propose_key(path.stem)!r}."
            )
