"""One request and its answer, and how the stock emulator is asked: it gets the request without a socket.

The stock handlers read ``headers``, ``path``, ``rfile`` and ``server`` of a request handler and write to it; an
:class:`Exchange` is such a handler over memory, so that the body is read and the answer sent outside of the lock.
"""

import io
import json
import re
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from gcp_storage_emulator.server import Router
from gcp_storage_emulator.storage import Storage

_PATHS = (
    re.compile(r"^(?:/storage/v1)?/b/(?P<bucket>[-.\w]+)/o/(?P<name>.+)/compose$"),
    re.compile(r"^(?:/storage/v1)?/b/[-.\w]+/o/.+/(?:rewriteTo|copyTo)/b/(?P<bucket>[-.\w]+)/o/(?P<name>.+)$"),
    re.compile(r"^(?:/download|/upload)?(?:/storage/v1)?/b/(?P<bucket>[-.\w]+)(?:/o(?:/(?P<name>.+))?)?$"),
)


@dataclass
class Answer:
    """What is sent back."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def of(cls, content: Any, status: int = 200, **headers: str) -> "Answer":
        """Return an answer with a JSON body."""
        return cls(status, {"Content-Type": "application/json", **headers}, json.dumps(content).encode())

    @classmethod
    def error(cls, status: int, reason: str, message: str, **headers: str) -> "Answer":
        """Return an error as Cloud Storage words it."""
        errors = [{"domain": "global", "reason": reason, "message": message}]
        return cls.of({"error": {"code": status, "message": message, "errors": errors}}, status, **headers)


class Exchange:
    """A request that was read whole."""

    def __init__(self, method: str, path: str, headers: Message, body: bytes, server: Any) -> None:
        self.method, self.path, self.headers, self.body, self.server = method, path, headers, body, server
        parts = urlsplit(path)
        self.query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        match = next((match for pattern in _PATHS if (match := pattern.match(parts.path))), None)
        self.bucket = unquote(match["bucket"]) if match else None
        self.name = unquote(match["name"]) if match and match["name"] else self.query.get("name")
        self.answer = Answer()

    @property
    def resource(self) -> str:
        """Return the path without the query."""
        return urlsplit(self.path).path

    def asked_of(self, storage: Storage) -> Answer:
        """Return the stock emulator's answer."""
        self.answer = Answer()
        self.rfile, self.wfile, self.storage = io.BytesIO(self.body), io.BytesIO(), storage
        Router(self).handle(self.method)
        self.answer.body = self.wfile.getvalue()
        return self.answer

    def send_response(self, status: int, _message: str = "") -> None:
        """Take the status (called by the stock emulator)."""
        self.answer.status = status

    def send_header(self, name: str, value: str) -> None:
        """Take a header (called by the stock emulator)."""
        if name.lower() != "content-length":
            self.answer.headers[name] = value

    def end_headers(self) -> None:
        """Do nothing: the server sends the headers."""
