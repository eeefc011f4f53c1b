"""Files that somebody named on the command line."""

from pathlib import Path

from omics_datastore.errors import InputError


def read_given(path: Path, what: str) -> bytes:
    """Read a small file.

    :param path: The file.
    :param what: What it is, for the message.
    :return: Its content.
    :raise InputError: When it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"the {what} {path} cannot be read: {error.strerror}.") from error
