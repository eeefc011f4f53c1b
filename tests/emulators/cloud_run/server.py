"""A stand-in for the Cloud Run Admin API v2: one job whose executions are processes of this machine.

Run, get and cancel, as far as a launcher of runs uses them. Cancelling sends SIGTERM and, after a grace, SIGKILL, as
Cloud Run does. What Terraform gives the job's container (command and environment) is given to :class:`CloudRunJob`.
"""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL."""


class CloudRunJob:
    """A job and its executions; ``refuse_next`` is the status of the next answers, once each."""

    def __init__(self, name: str, command: Sequence[str], environment: dict[str, str], folder: Path) -> None:
        self.name = name
        self.command = list(command)
        self.environment = environment
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.arguments: list[list[str]] = []
        self.refuse_next: list[int] = []
        self._canceled: set[str] = set()

    def run(self, overrides: dict[str, Any]) -> dict[str, Any]:
        """Start an execution and answer as the API does: an operation that names it."""
        container = (overrides.get("containerOverrides") or [{}])[0]
        given = {entry["name"]: entry["value"] for entry in container.get("env", [])}
        self.arguments.append(container["args"])
        execution = f"{self.name}/executions/run-{len(self.processes):04d}"
        log = (self.folder / f"{len(self.processes)}.log").open("wb")
        self.processes[execution] = subprocess.Popen(
            [*self.command, *container["args"]], env={**self.environment, **given}, stdout=log, stderr=log
        )
        log.close()
        return {"name": f"operations/{len(self.processes)}", "done": False, "metadata": {"name": execution}}

    def get(self, execution: str) -> dict[str, Any]:
        """Describe an execution."""
        code = self.processes[execution].poll()
        if code is None:
            return {"name": execution, "runningCount": 1}
        kind = "cancelledCount" if execution in self._canceled else "succeededCount" if code == 0 else "failedCount"
        return {"name": execution, kind: 1, "completionTime": datetime.now(tz=UTC).isoformat()}

    def cancel(self, execution: str) -> dict[str, Any]:
        """Ask an execution to stop."""
        self._canceled.add(execution)
        process = self.processes[execution]
        process.terminate()
        timer = threading.Timer(GRACE, process.kill)
        timer.daemon = True
        timer.start()
        return {"name": "operations/cancel", "done": False, "metadata": {"name": execution}}

    def kill(self) -> None:
        """Kill what still runs: the end of the machine."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


@contextmanager
def serve(job: CloudRunJob) -> Iterator[str]:
    """Serve the API on a loopback port while a ``with`` block runs; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _handle(self) -> None:
            name, _, verb = self.path.removeprefix("/v2/").partition(":")
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            if job.refuse_next:
                status = job.refuse_next.pop(0)
                self._answer(status, {"error": {"code": status, "message": "asked to refuse"}})
            elif verb == "run" and name == job.name:
                self._answer(200, job.run(body["overrides"]))
            elif name in job.processes:
                self._answer(200, job.cancel(name) if verb == "cancel" else job.get(name))
            else:
                self._answer(404, {"error": {"code": 404, "message": f"{name} was not found"}})

        do_GET = do_POST = _handle  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        job.kill()


def job_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment with changes, as a container's would be."""
    return {**os.environ, **changes}
