"""What a disk answers when it is full or closed to us, in one sentence.

It is known by the error's number, or by its words where a library (HDF5, Arrow, DuckDB) kept only these.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from omics_datastore.errors import InputError, NexusError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_WORDS = {number: os.strerror(number) for number in (*_FULL, *_CLOSED)}
_PATH = re.compile(r"""['"](/[^'"]+)['"]""")


@contextmanager
def clear_disk_errors() -> Iterator[None]:
    """Turn the errors of a full or closed disk into ours while a ``with`` block runs; let others through.

    :return: A context manager.
    :raise InputError: When a disk is full, or files may not be read or written.
    """
    try:
        yield
    except NexusError:
        raise
    except Exception as error:
        sentence = disk_sentence(error)
        if sentence is None:
            raise
        raise InputError(sentence) from error


def disk_sentence(error: BaseException) -> str | None:
    """Say what a disk refused.

    :param error: Any error.
    :return: One sentence, or ``None`` when it is about something else.
    """
    number = getattr(error, "errno", None) if isinstance(error, OSError) else None
    text = str(error)
    if number not in _WORDS:
        number = next((number for number, words in _WORDS.items() if words in text), None)
    if number is None:
        return None
    named = _PATH.search(text)
    where = str(getattr(error, "filename", None) or (named[1] if named else ""))
    if number in _FULL:
        at = f" at {where}" if where else ""
        return (
            f"there is no room left on the disk{at} ({_WORDS[number]}): free some, or give NEXUS_ROOT and TMPDIR a "
            "larger one, then run again; what was half-made is removed."
        )
    return (
        f"{where or 'a file'} may not be read or written ({_WORDS[number]}): give the user with id {os.geteuid()} the "
        "right to, then run again."
    )
