"""The server: threads that read a request, answer it under one lock, and send the answer; the control paths."""

import json
import logging
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.emulators.storage.exchange import Answer, Exchange
from tests.emulators.storage.faults import Fault, Faults, changed
from tests.emulators.storage.strict import QuickStorage, answer

CONTROL = "/_emulator"
"""GET lists the requests since the last POST, with ``?host=`` by the name they were sent to; POST takes faults."""


class StorageServer(ThreadingHTTPServer):
    """Serve Cloud Storage's JSON API on loopback.

    :param port: Port; 0 for a free one.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0) -> None:
        logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
        logging.getLogger("api").setLevel(logging.CRITICAL)
        self.storage, self.faults, self.lock = QuickStorage(), Faults(), threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def address(self) -> str:
        """Return the value for ``STORAGE_EMULATOR_HOST``."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StorageServer

    def _handle(self) -> None:
        request = Exchange(self.command, self.path, self.headers, self._body(), self.server)
        if request.resource == CONTROL:
            self._send(self._controlled(request))
            return
        fault = self.server.faults.of(request)
        kind = fault.kind if fault else ""
        if fault and kind == "status":
            headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
            self._send(Answer.error(fault.status, fault.reason, fault.message, **headers))
            return
        if kind == "reset":
            self._drop()
            return
        if kind == "corrupt_upload":
            request.body = changed(request.body)
        with self.server.lock:
            got = answer(request, self.server.storage)
        if kind == "lost":
            self._drop()
            return
        if kind == "corrupt":
            got.body = changed(got.body)
        self._send(got, half=kind == "truncate", pause=fault.seconds if fault and kind == "trickle" else 0.0)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the names of the base class

    def _controlled(self, request: Exchange) -> Answer:
        if request.method == "POST":
            self.server.faults.replace([Fault(**fault) for fault in json.loads(request.body)])
        return Answer.of(self.server.faults.by_host if "host" in request.query else self.server.faults.requests)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        del self.headers["Transfer-Encoding"]
        self.headers["Content-Length"] = str(sum(map(len, parts)))
        return b"".join(parts)

    def _send(self, got: Answer, *, half: bool = False, pause: float = 0.0) -> None:
        self.send_response(got.status)
        for name, value in got.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(got.body)))
        self.end_headers()
        for byte in got.body if pause else b"":
            time.sleep(pause)
            self.wfile.write(bytes([byte]))
        if pause:
            return
        self.wfile.write(got.body[: len(got.body) // 2] if half else got.body)
        if half:
            self.wfile.flush()
            self.close_connection = True

    def _drop(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Print nothing."""
