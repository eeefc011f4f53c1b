"""Kill Nexus everywhere and say what came of it: ``python -m tests.crash`` (``make test-crash``).

It begins as a process of its own, so that it can fork before any library has started threads.
"""

import argparse
import json
import os
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash.harness import Kill, kill_everywhere, notices_damage
from tests.crash.places import CloudPlace, FolderPlace, Place
from tests.crash.story import STORY


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("place", choices=("folder", "cloud", "commands"))
    parser.add_argument("--sample", type=int, help="Steps of each operation to kill at; all by default.")
    parser.add_argument("--moments", type=int, default=0, help="Random moments of each operation to kill at besides.")
    parser.add_argument("--first", type=int, help="Only so many operations of the story; all by default.")
    parser.add_argument("--bucket", help="A bucket of emulators that run; by default they are started.")
    arguments = parser.parse_args()
    started = time.monotonic()
    kills: list[Kill] = []
    with tempfile.TemporaryDirectory(prefix="nexus-crash-") as folder:
        for kill in _kills(arguments, Path(folder)):
            kills.append(kill)
            print(f"{len(kills)} {kill.operation}, {kill.at}, {kill.then}", file=sys.stderr, flush=True)  # noqa: T201
            if kill.problems:
                print(f"{kill}", file=sys.stderr, flush=True)  # noqa: T201
    print(json.dumps(_summary(kills, time.monotonic() - started), indent=1))  # noqa: T201
    return int(any(kill.problems for kill in kills))


def _summary(kills: list[Kill], seconds: float) -> dict[str, object]:
    return {
        "kills": len(kills),
        "by_operation": Counter(kill.operation for kill in kills),
        "run_again": sum(kill.then == "again" for kill in kills),
        "abandoned": sum(kill.then == "abandoned" for kill in kills),
        "with_differences": sum(bool(kill.problems) for kill in kills),
        "seconds": round(seconds),
    }


def _kills(arguments: argparse.Namespace, folder: Path) -> Iterator[Kill]:
    if arguments.place == "commands":
        from tests.crash.commands import kill_commands

        yield from kill_commands(folder, arguments.moments)
        return
    with _place(arguments, folder) as place:
        yield from kill_everywhere(place, STORY[: arguments.first], arguments.sample, arguments.moments)
        if arguments.first is None and not notices_damage(place):
            raise RuntimeError("damage that was done on purpose was not noticed: what was seen means nothing")


@contextmanager
def _place(arguments: argparse.Namespace, folder: Path) -> Iterator[Place]:
    if arguments.place == "folder":
        yield FolderPlace(folder / "place")
        return
    bucket = arguments.bucket or f"nexus-{uuid.uuid4().hex}"
    with _emulators(folder / "bigquery", bucket, start=not arguments.bucket):
        place = CloudPlace(folder / "place", bucket)
        yield place
        place.close()


@contextmanager
def _emulators(folder: Path, bucket: str, *, start: bool) -> Iterator[None]:
    if not start:
        yield
        return
    from tests.emulators.bigquery.process import start_bigquery
    from tests.emulators.storage.client import StorageEmulator

    with StorageEmulator() as storage:
        storage.make_bucket(bucket)
        bigquery = start_bigquery(folder)
        bigquery.load_from(storage.address)
        os.environ.update({"STORAGE_EMULATOR_HOST": storage.address, **bigquery.environment()})
        yield


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # DuckDB is imported and was never used here, of which its end would complain
