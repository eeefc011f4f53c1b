"""Start the emulator as a program of its own, and end it; it ends with this process, even when that is killed."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def running_emulator(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run the emulator while a ``with`` block runs.

    :param folder: Where the records and logs of jobs go.
    :param environment: Variables for it and the tasks it executes, besides those of this process.
    :return: A context manager that yields its address.
    """
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.emulators.vertex", "--folder", str(folder), "--with-stdin"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        endpoint = process.stdout.readline().strip()
        assert endpoint.startswith("http"), "the emulator did not start"
        yield endpoint
    finally:
        process.communicate("", timeout=20)
