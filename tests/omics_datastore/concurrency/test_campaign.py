"""A short campaign of processes on one root; ``make test-concurrency`` runs a long one."""

import json
import os
import subprocess
import sys
from pathlib import Path

_TOP = Path(__file__).parents[3]


def test_processes_at_once(tmp_path: Path) -> None:
    plan = {"loaders": 2, "builders": 2, "purgers": 1, "rounds": 1, "kills": 1}
    command = [sys.executable, "-m", "tests.omics_datastore.concurrency.campaign", str(tmp_path), json.dumps(plan)]
    environment = {**os.environ, "PYTHONPATH": str(_TOP)}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=_TOP)
    assert run.returncode == 0, run.stdout + run.stderr
    told = json.loads(run.stdout)
    assert told["wrong"] == []
    assert told["done"]["schema added"] == 1
    assert told["done"]["releases compared"] > 0
    assert told["done"]["looks of the reader"] > 0
