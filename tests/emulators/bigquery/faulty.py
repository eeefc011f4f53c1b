"""A server before the BigQuery emulator that passes requests on, but for the faults that a test asks for."""

import json
import re
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

_STATUS = {"notFound": 404, "invalid": 400, "quotaExceeded": 403, "rateLimitExceeded": 403, "duplicate": 409}
_OWN = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding")


@dataclass
class JobFault:
    """What goes wrong with a job, or with requests.

    ``request`` answers with the reason's status and does nothing, ``fails`` gives a job that failed and did nothing,
    ``after`` one that failed when it had done everything, ``lost`` does what was asked and drops the connection.
    """

    kind: Literal["request", "fails", "after", "lost"]
    reason: str = "backendError"
    matching: str = "load_raw_counts"
    """A regular expression searched in ``METHOD path`` and the body."""
    times: int = 1


class FaultyBigQuery(ThreadingHTTPServer):
    """Stand before an emulator; a context manager.

    :param target: ``http://host:port`` of the emulator.
    """

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.lock = threading.Lock()
        self.faults: list[JobFault] = []
        self.jobs: list[str] = []
        self.failed: dict[str, Any] = {}
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> "FaultyBigQuery":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def expect(self, *faults: JobFault) -> None:
        """Forget what was asked so far; these faults come next."""
        with self.lock:
            self.faults, self.jobs = list(faults), []

    def fault(self, asked: str, *, submits: bool) -> JobFault | None:
        """Return the fault that a request meets; only a submission meets one of a job."""
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and (submits or fault.kind == "request") and re.search(fault.matching, asked):
                    fault.times -= 1
                    return fault
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultyBigQuery

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.split("?")[0]
        submits = self.command == "POST" and path.endswith("/jobs")
        job_id = json.loads(body).get("jobReference", {}).get("jobId", "") if submits else path.rpartition("/")[2]
        if submits:
            self.server.jobs.append(job_id)
        taken = submits and job_id in self.server.failed
        asked = f"{self.command} {self.path} {body.decode(errors='replace')}"
        fault = None if taken else self.server.fault(asked, submits=submits)
        if taken:
            self._answer(*_refusal("duplicate"))
        elif fault is not None and fault.kind == "request":
            self._answer(*_refusal(fault.reason))
        elif not submits and self.command == "GET" and job_id in self.server.failed:
            self._answer(200, self.server.failed[job_id])
        elif fault is not None and fault.kind == "fails":
            self._fail(json.loads(body), job_id, fault.reason)
        else:
            status, content = self._pass_on(body)
            if fault is not None and fault.kind == "after":
                self._fail(json.loads(content), job_id, fault.reason)
            elif fault is not None:
                self.close_connection = True
                self.connection.close()
            else:
                self._answer(status, content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the names of the base class

    def _fail(self, job: dict[str, Any], job_id: str, reason: str) -> None:
        said = {"reason": reason, "message": f"The job met {reason}."}
        job["status"] = {"state": "DONE", "errorResult": said, "errors": [said]}
        job["statistics"] = {"creationTime": "1000", "startTime": "1000", "endTime": "1000"}
        self.server.failed[job_id] = job
        self._answer(200, job)

    def _pass_on(self, body: bytes) -> tuple[int, bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
        request = urllib.request.Request(  # noqa: S310 - the emulator's own address
            self.server.target + self.path, body or None, headers, method=self.command
        )
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def _answer(self, status: int, content: Any) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Print nothing."""


def _refusal(reason: str) -> tuple[int, Any]:
    status = _STATUS.get(reason, 503)
    errors = [{"reason": reason, "message": f"The request met {reason}."}]
    return status, {"error": {"code": status, "message": errors[0]["message"], "errors": errors}}
