"""Work in forked children of a warm process: they begin at once, and their deaths cost nothing.

The parent must not have used what starts threads (Polars, DuckDB, zarr); it may have imported all of it.
"""

import importlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

_SECONDS = 120.0


class Ended(NamedTuple):
    """How a child ended (0, or minus the signal), and what its work returned."""

    status: int
    result: Any


def in_child(work: Callable[[], Any], folder: Path, *, kill_after: float | None = None) -> Ended:
    """Run work in a forked child, which dies without any clean-up.

    :param work: Returns something that JSON can hold.
    :param folder: Where the result is put.
    :param kill_after: Seconds after which the child is killed.
    :return: How it ended. A child that hangs is killed with SIGALRM, which no test expects.
    """
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        status = 1
        try:
            result.write_text(json.dumps(work()))
            status = 0
        except BaseException:  # noqa: BLE001 - the parent is told by the status
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    timers = [threading.Timer(_SECONDS, os.kill, (child, signal.SIGALRM))]
    if kill_after is not None:
        timers.append(threading.Timer(kill_after, os.kill, (child, signal.SIGKILL)))
    for timer in timers:
        timer.start()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for timer in timers:
        timer.cancel()
        timer.join()  # a fork must find no thread
    return Ended(status, json.loads(result.read_text()) if status == 0 else None)


def import_too(modules: Iterable[str]) -> None:
    """Import what a child had to import, so that the next children have it.

    :param modules: Names; those that cannot be imported by themselves are left out.
    """
    for name in modules:
        if name not in sys.modules and not name.startswith(("__main__", "tests.")):
            try:
                importlib.import_module(name)
            except Exception:  # noqa: BLE001, S112 - made by its package, not a module of its own
                continue
