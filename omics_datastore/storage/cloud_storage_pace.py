"""How long Cloud Storage may take: pauses that it asks for are kept, and answers that trickle are broken off.

The client waits by itself before it asks again, but not as long as a ``Retry-After`` says; and its time-out begins
anew with every byte. Both bounds are kept here, as hooks of the session.
"""

import heapq
import threading
import time
import weakref
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

LONGEST_PAUSE = 60.0
"""Seconds that a pause which is asked for is kept at most."""
BODY_SECONDS = 60.0
SLOWEST = 2**16
"""An answer may take so many seconds, and one more for so many bytes of it."""
_UNKNOWN = 16 * 2**20
"""Bytes that an answer which does not say how long it is may have."""


def keep_pause(response: Any, **_: Any) -> None:
    """Wait as long as an answer asks to, within bounds; the client asks again after that.

    :param response: A ``requests.Response``.
    """
    asked = response.headers.get("Retry-After")
    if asked is not None and (response.status_code == 429 or response.status_code >= 500):
        time.sleep(min(LONGEST_PAUSE, max(0.0, pause_seconds(asked))))


def pause_seconds(text: str) -> float:
    """Read a ``Retry-After`` (RFC 9110, 10.2.3).

    :param text: Seconds, or a date.
    :return: Seconds from now; 0 when it is neither.
    """
    if text.strip().isdecimal():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return 0.0


class SlowAnswers:
    """End the reading of answers that take too long; the client then asks for what is missing.

    One thread waits for the nearest deadline, and ends when there is nothing to wait for.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadlines: list[tuple[float, int, weakref.ref[Any]]] = []
        self._count = 0
        self._thread: threading.Thread | None = None

    def watch(self, response: Any, **_: Any) -> None:
        """Begin to wait for an answer whose headers have come.

        :param response: A ``requests.Response`` whose body was not read.
        """
        length = response.headers.get("Content-Length", "")
        size = int(length) if length.isdecimal() else _UNKNOWN
        deadline = time.monotonic() + BODY_SECONDS + size / SLOWEST
        with self._changed:
            self._count += 1
            heapq.heappush(self._deadlines, (deadline, self._count, weakref.ref(response.raw)))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="slow-answers", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._deadlines and self._deadlines[0][2]() is None:
                    heapq.heappop(self._deadlines)
                if not self._deadlines:
                    self._thread = None
                    return
                left = self._deadlines[0][0] - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                late = heapq.heappop(self._deadlines)[2]()
            if late is not None and not late.closed:
                with suppress(OSError, RuntimeError, ValueError):  # it ended meanwhile
                    late.shutdown()
            del late
