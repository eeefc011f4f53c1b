"""The real ``nexus`` command in a process of its own, and what is left of it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

COMMAND = Path(sys.executable).with_name("nexus")


def start(root: Path, *arguments: str | Path, **settings: str) -> "subprocess.Popen[str]":
    """Start a command over a root, with the settings ``NEXUS_<name>``."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NEXUS_", "DAGSTER_"))}
    environment |= {f"NEXUS_{name.upper()}": value for name, value in settings.items()}
    return subprocess.Popen(
        [COMMAND, "--root", root, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(root: Path) -> list[str]:
    """List the processes that were started for a root, by its path in their command or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            command = " ".join(process.cmdline())
            if str(root) in command or process.environ().get("NEXUS_ROOT") == str(root):
                found.append(f"{process.pid} {command}")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def wait_until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
