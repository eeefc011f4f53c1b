"""Start the BigQuery emulator as a process of its own environment, ``.venv-bigquery`` (made by ``make``)."""

import fcntl
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]
_ENVIRONMENT = ".venv-bigquery"
_START_SECONDS = 120
_started: list[subprocess.Popen[bytes]] = []
"""Kept, because nobody waits for a process that ends with the one that asked for it."""


@dataclass(frozen=True)
class BigQueryEmulator:
    """Where a running emulator answers."""

    rest: str
    grpc: str
    folder: Path
    pid: int

    def environment(self) -> dict[str, str]:
        """Return the variables that lead the clients to it."""
        return {"BIGQUERY_EMULATOR_HOST": self.rest, "BIGQUERY_STORAGE_EMULATOR_HOST": self.grpc}

    @property
    def gcs_root(self) -> Path:
        """Return the folder whose sub-folders are buckets that load jobs read without a Cloud Storage emulator."""
        return self.folder / "gcs"

    def load_from(self, storage_host: str, bucket: str = "default") -> None:
        """Let load jobs read gs:// objects from a Cloud Storage emulator.

        :param storage_host: ``http://127.0.0.1:port``.
        :param bucket: The bucket it is asked for; by default all that are not named.
        """
        (self.folder / "storage_hosts" / bucket).write_text(storage_host)


def emulator_python() -> Path:
    """Return the interpreter of the emulator's environment.

    :raise FileNotFoundError: When it was not made yet.
    """
    asked = os.environ.get("NEXUS_BIGQUERY_EMULATOR_ENVIRONMENT")
    python = Path(asked or _ROOT / _ENVIRONMENT) / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(f"the BigQuery emulator is not installed: run 'make {_ENVIRONMENT}/.installed'")
    return python


def shared_bigquery(folder: Path, until_ends: int) -> BigQueryEmulator:
    """Start an emulator, or return the one that another process of the same test run has started in the folder.

    :param folder: Where it keeps its data; the same for all who share it.
    :param until_ends: Process to end with.
    :return: The emulator.
    """
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "emulator.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if note.exists():
            found = json.loads(note.read_text())
            return BigQueryEmulator(found["rest"], found["grpc"], folder, found["pid"])
        started = start_bigquery(folder, until_ends=until_ends)
        note.write_text(json.dumps({"rest": started.rest, "grpc": started.grpc, "pid": started.pid}))
        return started


def start_bigquery(
    folder: Path, *, until_ends: int | None = None, ports: tuple[int, int] | None = None
) -> BigQueryEmulator:
    """Start an emulator and wait until it answers.

    :param folder: Where it keeps its data and its log.
    :param until_ends: Process to end with; this one by default.
    :param ports: REST and gRPC ports; free ones by default.
    :return: The emulator.
    :raise RuntimeError: When it does not answer.
    """
    for name in ("gcs", "storage_hosts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rest, grpc = ports or (_free_port(), _free_port())
    command = [
        str(emulator_python()),
        "-m",
        "tests.emulators.bigquery.server",
        "--port",
        str(rest),
        "--grpc-port",
        str(grpc),
    ]
    command += ["--folder", str(folder), "--until-ends", str(until_ends or os.getpid())]
    command += ["--gcs-root", str(folder / "gcs")]
    log = folder / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd=_ROOT,
            env=_plain_environment(),
        )
    _started.append(process)
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{rest}/bigquery/v2/projects/local/datasets"):
                return BigQueryEmulator(f"http://127.0.0.1:{rest}", f"127.0.0.1:{grpc}", folder, process.pid)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    process.kill()
    raise RuntimeError(f"the BigQuery emulator did not start:\n{log.read_text()[-2000:]}")


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV", "STORAGE_"))}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
