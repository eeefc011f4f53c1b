"""The logs of the servers of ``nexus up``, kept from growing for ever."""

import shutil
from contextlib import suppress
from pathlib import Path

MOST_BYTES = 16 * 2**20
"""Bytes of a log; what came before goes to ``<name>.1``, in place of what was there."""


def bound_logs(folder: Path, most_bytes: int = MOST_BYTES) -> None:
    """Move the content of logs that are too big aside. Who writes them appends, and goes on at the new end.

    :param folder: Folder of the logs.
    :param most_bytes: Bytes that a log may have.
    """
    for path in folder.glob("*.log"):
        with suppress(OSError):  # a full disk must not end the servers
            if path.stat().st_size > most_bytes:
                shutil.copyfile(path, path.with_name(f"{path.name}.1"))
                with path.open("r+b") as file:
                    file.truncate(0)
