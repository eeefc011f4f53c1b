"""Faults that a test asks for: an error, a lost answer, a reset, a body that is cut short, changed or slow."""

import re
import threading
import time
from dataclasses import dataclass
from typing import Literal

from tests.emulators.storage.exchange import Exchange

Kind = Literal["status", "reset", "lost", "truncate", "corrupt", "corrupt_upload", "slow", "trickle"]


@dataclass
class Fault:
    """What goes wrong, for which requests, and how often.

    ``status`` answers with an error and does nothing, ``reset`` drops the connection and does nothing, ``lost`` does
    what was asked and drops the connection, ``truncate`` sends half of the body, ``corrupt`` changes a byte of what is
    sent and ``corrupt_upload`` of what was received, ``slow`` waits first, ``trickle`` waits before each byte.
    """

    kind: Kind
    request: str = ""
    """A regular expression searched in ``METHOD path?query``."""
    times: int = 1
    skip: int = 0
    """How many requests that fit go well first."""
    status: int = 503
    reason: str = "backendError"
    message: str = "It was asked for."
    retry_after: int | None = None
    seconds: float = 0.0


class Faults:
    """The faults to come and the requests that came, shared by the threads of a server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.requests: list[str] = []
        self.by_host: dict[str, list[str]] = {}

    def replace(self, faults: list[Fault]) -> None:
        """Forget all faults and requests, and expect these faults."""
        with self._lock:
            self._faults, self.requests, self.by_host = faults, [], {}

    def of(self, request: Exchange) -> Fault | None:
        """Note a request; return the fault it meets."""
        with self._lock:
            line = f"{request.method} {request.path}"
            self.requests.append(line)
            self.by_host.setdefault(request.headers.get("Host", "").partition(":")[0], []).append(line)
            for fault in self._faults:
                if fault.times <= 0 or not re.search(fault.request, line):
                    continue
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                break
            else:
                return None
        if fault.kind == "slow":
            time.sleep(fault.seconds)
        return fault


def changed(body: bytes) -> bytes:
    """Return a body with a byte of its content changed: the last one before the closing boundary, or the middle one."""
    boundary = body.rfind(b"\r\n--")
    place = boundary - 1 if boundary > 0 else len(body) // 2
    return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :] if body else body
