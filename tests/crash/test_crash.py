"""The short version of ``make test-crash``: every operation is killed, here and there, and nothing is different."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.crash.story import STORY
from tests.emulators.bigquery.process import BigQueryEmulator
from tests.emulators.storage.client import StorageEmulator

ROOT = Path(__file__).parents[2]


def crash(*arguments: str) -> dict[str, Any]:
    """Kill in a process of its own: this one has threads and must not fork."""
    command = [sys.executable, "-m", "tests.crash", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_every_operation_in_a_folder() -> None:
    told = crash("folder", "--sample", "1")
    assert told["by_operation"] == {operation.name: 1 for operation in STORY}
    assert told["run_again"] == told["abandoned"] == len(STORY) / 2
    assert told["with_differences"] == 0


def test_ingest_and_load_in_an_emulated_cloud(
    bigquery_emulator: BigQueryEmulator, storage_emulator: StorageEmulator, cloud_root: str
) -> None:
    bucket = cloud_root.split("/")[2]
    bigquery_emulator.load_from(storage_emulator.address, bucket)
    told = crash("cloud", "--sample", "1", "--first", "2", "--bucket", bucket)
    assert told["by_operation"] == {"ingest": 1, "load and commit": 1}
    assert told["with_differences"] == 0
