"""Start the emulator for tests, in a process of its own, and talk to its control path."""

import http.client
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.emulators.storage.faults import Fault
from tests.emulators.storage.server import CONTROL

_ROOT = Path(__file__).resolve().parents[3]


class StorageEmulator:
    """A running emulator; a context manager. It ends with this process, even when that is killed."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.emulators.storage", "--with-stdin"]
        self._process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1:"), "the emulator did not start"

    def __enter__(self) -> "StorageEmulator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate("", timeout=10)

    def expect(self, *faults: Fault) -> None:
        """Forget the requests so far; these faults come next."""
        self._ask("POST", CONTROL, [asdict(fault) for fault in faults])

    def requests(self) -> list[str]:
        """Return the requests since the last :meth:`expect`, each as ``METHOD path?query``."""
        listed: list[str] = self._ask("GET", CONTROL, None)
        return listed

    def requests_by_host(self) -> dict[str, list[str]]:
        """Return the same requests by the name that the emulator was called by."""
        found: dict[str, list[str]] = self._ask("GET", f"{CONTROL}?host=", None)
        return found

    def make_bucket(self, name: str, location: str = "EU") -> None:
        """Make an empty bucket."""
        self._ask("POST", "/storage/v1/b?project=test", {"name": name, "location": location})

    def _ask(self, method: str, path: str, content: Any) -> Any:
        connection = http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=10)
        try:
            connection.request(method, path, json.dumps(content), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 200, answer.reason
            return json.load(answer)
        finally:
            connection.close()
