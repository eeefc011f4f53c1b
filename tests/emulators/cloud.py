"""A Google Cloud of emulators on this machine, and the settings that lead Nexus to it.

Cloud Storage, BigQuery and Vertex AI, each a process of its own that ends with this one. Vertex AI executes what is
submitted in processes with the environment of the emulator, so it is started last and told of the other two.
"""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from tests.emulators.bigquery.process import start_bigquery
from tests.emulators.storage.client import StorageEmulator

PROJECT = "nexus-emulated"
LOCATION = "EU"
BUCKET = "nexus-emulated-bucket"
WORKER_HOST = "localhost"
"""The name by which workers call Cloud Storage; others say 127.0.0.1."""
_ROOT = Path(__file__).resolve().parents[2]


class EmulatedCloud:
    """Start the three emulators; a context manager.

    :param folder: Where they keep their data and logs; a new folder is an empty cloud.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened = ExitStack()
        self.storage: StorageEmulator
        self.hosts: dict[str, str] = {}
        self.vertex = ""

    def __enter__(self) -> "EmulatedCloud":
        with ExitStack() as opened:
            storage = opened.enter_context(StorageEmulator())
            storage.make_bucket(BUCKET, LOCATION)
            storage.expect()  # the bucket is made by whoever deploys
            (self._folder / "bigquery").mkdir(parents=True)
            bigquery = start_bigquery(self._folder / "bigquery")
            bigquery.load_from(storage.address)
            self.storage = storage
            self.hosts = {"STORAGE_EMULATOR_HOST": storage.address, **bigquery.environment()}
            vertex = self._start_vertex()
            opened.callback(_end, vertex)
            assert vertex.stdout is not None
            self.vertex = vertex.stdout.readline().strip()
            assert self.vertex.startswith("http://127.0.0.1:"), "the emulator of Vertex AI did not start"
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def environment(self, dagster_home: Path) -> dict[str, str]:
        """Return the environment of a Nexus that runs in this cloud.

        :param dagster_home: Where Dagster keeps its instance.
        :return: This process's variables without those of Nexus, and what leads to the emulators.
        """
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")},
            **self.hosts,
            "NEXUS_DEPLOYMENT": "gcp",
            "NEXUS_ROOT": f"gs://{BUCKET}/nexus",
            "NEXUS_PROJECT": PROJECT,
            "NEXUS_LOCATION": LOCATION,
            "NEXUS_REGION": "europe-west4",
            "NEXUS_WORKER_IMAGE": "europe-west4-docker.pkg.dev/nexus-emulated/nexus/worker:emulated",
            "NEXUS_VERTEX_ENDPOINT": self.vertex,
            "NEXUS_DAGSTER_HOME": str(dagster_home),
            "NEXUS_TASKS": "2",
            "NEXUS_WORKERS": "1",
            "NEXUS_TASK_MEMORY_MB": "192",
            "NEXUS_QUIET_SECONDS": "1",
        }

    def _start_vertex(self) -> "subprocess.Popen[str]":
        # Workers call Cloud Storage by another name, so that what they ask of it can be told from what Dagster asks.
        worker = {"STORAGE_EMULATOR_HOST": self.hosts["STORAGE_EMULATOR_HOST"].replace("127.0.0.1", WORKER_HOST)}
        folder = self._folder / "vertex"
        folder.mkdir()
        command = [sys.executable, "-m", "tests.emulators.vertex", "--folder", str(folder)]
        with (self._folder / "vertex.txt").open("w") as log:
            return subprocess.Popen(
                command,
                cwd=_ROOT,
                env={**os.environ, **self.hosts, **worker},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )


def _end(process: "subprocess.Popen[Any]") -> None:
    process.terminate()
    process.wait(30)
    stdout: IO[Any] | None = process.stdout
    if stdout is not None:
        stdout.close()
