"""A real ``nexus up`` over a root, for tests and benchmarks that look at it from outside."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STOP_SECONDS = 120


@contextmanager
def nexus_up(root: Path, **settings: str) -> Iterator[str]:
    """Run ``nexus up`` on a free port while a ``with`` block runs.

    :param root: The root.
    :param settings: More settings, by name and without ``NEXUS_``; those of this process are left out.
    :return: A context manager that yields the address of the web UI, which answers.
    :raise RuntimeError: When it does not start.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("NEXUS_", "DAGSTER_"))}
    environment |= {f"NEXUS_{name.upper()}": value for name, value in {"root": str(root), **settings}.items()}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [str(Path(sys.executable).with_name("nexus")), "up", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as up:
        try:
            said = up.stderr.readline() if up.stderr is not None else ""
            if address not in said:
                raise RuntimeError(f"nexus up did not start: {said}")
            yield address
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(_STOP_SECONDS)
