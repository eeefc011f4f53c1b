"""What landed in the three folders that people drop into, against what was seen before. No Dagster here.

A drop is taken when it has not changed for the quiet period, or at once when a dataset's folder holds ``_READY``.
A drop that cannot be read becomes a sentence, and is looked at again on the next tick. What is gone is forgotten.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath

from omics_datastore.ingest.inbox import Drop, read_inbox
from omics_datastore.keys import KEY_PATTERN, digest, propose_key
from omics_datastore.storage.layout import FEATURE_SCHEMAS, SPECIFICATIONS
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

    @classmethod
    def parse(cls, text: str | None) -> "LandingCursor":
        """Read a cursor; ``None`` is the beginning.

        :param text: What :meth:`format` wrote.
        :return: The cursor.
        """
        return cls(**json.loads(text)) if text else cls()

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


def find_landings(store: ObjectStore, cursor: LandingCursor, now: float, quiet_seconds: float) -> Landings:
    """Compare the folders with what was seen.

    :param store: Object store.
    :param cursor: What was taken so far; names that are gone are taken off it.
    :param now: Seconds since 1970.
    :param quiet_seconds: How long a drop must not have changed.
    :return: What is new.
    """
    found = Landings()
    inbox = read_inbox(store)
    found.problems += inbox.problems
    for name, drop in inbox.drops.items():
        if cursor.datasets.get(name) == drop.digest:
            continue
        if drop.ready or now - drop.modified >= quiet_seconds:
            found.datasets.append(drop)
        else:
            found.settling.append(name)
    cursor.datasets = {name: seen for name, seen in cursor.datasets.items() if name in inbox.drops}
    for folder, suffix, seen, landed in (
        (FEATURE_SCHEMAS, ".csv", cursor.feature_schemas, found.feature_schemas),
        (SPECIFICATIONS, ".yaml", cursor.curricula, found.curricula),
    ):
        files = {PurePosixPath(entry.key).stem: entry for entry in _files(store, folder, suffix, found.problems)}
        for name in set(seen) - set(files):
            del seen[name]
        for name, entry in files.items():
            mark = digest([entry.key, entry.size, entry.generation])
            if seen.get(name) == mark:
                continue
            if now - entry.modified >= quiet_seconds:
                landed.append(Landed(name, entry.key, mark))
            else:
                found.settling.append(name)
    return found


def _files(store: ObjectStore, folder: str, suffix: str, problems: list[str]) -> Iterator[StoredObject]:
    for entry in store.entries(folder):
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
