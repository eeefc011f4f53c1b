"""Load in child processes that are killed at their first, second, third … step, and load again after each.

A step is anything that changes a path below the store, as Python's audit events tell. Started by
``test_folder.py`` as a program of its own, so that it forks before any library has started threads.

    python kill_at_every_step.py STORE MANIFESTS BEFORE

prints one JSON object: the files of an undisturbed load, the number of steps, and for each step what was visible
after the kill and which files differ after loading again.
"""

import gc
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from omics_datastore.ingest.manifest import IngestManifest
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.folder import FolderWarehouse

WHEN = datetime(2025, 6, 2, tzinfo=UTC)


def in_child(work: Callable[[], Any], result: Path) -> int:
    """Run work in a forked process that writes what it returns; give the exit status."""
    child = os.fork()
    if not child:
        status = 1
        try:
            result.write_text(json.dumps(work()))
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def changes(event: str, arguments: tuple[Any, ...]) -> bool:
    """Tell whether an audit event is about to change a file system."""
    if event == "open":
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return event in ("os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")


def files(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of the warehouse, and of anything left in the scratch folder."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for top in (root / "warehouse", root / ".scratch")
        for path in sorted(top.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def main(root: Path, manifests_file: Path, before: Path) -> dict[str, Any]:
    manifests = [IngestManifest.model_validate(item) for item in json.loads(manifests_file.read_text())]
    result = manifests_file.with_name("result.json")

    def load(stop_at: int | None = None) -> dict[str, Any]:
        steps = 0

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal steps
            if changes(event, arguments) and str(root) in str(arguments[0]):
                steps += 1
                if steps == stop_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        store = FolderStore(root)
        FolderWarehouse(store, threads=1).load(manifests, WHEN)
        taken = steps
        del store
        return {"steps": taken, "files": files(root)}

    def look() -> list[str]:
        return sorted(FolderWarehouse(FolderStore(root), threads=1).ingests()["ingest_id"].to_list())

    def reset() -> None:
        shutil.rmtree(root / "warehouse", ignore_errors=True)
        shutil.rmtree(root / ".scratch", ignore_errors=True)
        shutil.copytree(before, root / "warehouse")

    reset()
    assert in_child(load, result) == 0
    undisturbed = json.loads(result.read_text())
    outcomes: list[dict[str, Any]] = []

    def look_and_load() -> dict[str, Any]:
        return {"visible": look(), **load()}

    for step in range(1, undisturbed["steps"] + 1):
        reset()
        killed = in_child(partial(load, step), result)
        assert in_child(look_and_load, result) == 0
        again = json.loads(result.read_text())
        different = sorted(name for name, _ in set(again["files"].items()) ^ set(undisturbed["files"].items()))
        outcomes.append({"step": step, "killed": killed, "visible": again["visible"], "different": different})
    return {**undisturbed, "outcomes": outcomes}


if __name__ == "__main__":
    gc.freeze()  # children copy fewer pages
    print(json.dumps(main(*(Path(argument) for argument in sys.argv[1:]))))  # noqa: T201
