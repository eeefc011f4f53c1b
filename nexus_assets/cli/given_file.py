"""Files that somebody named on the command line."""

from pathlib import Path

from omics_datastore.errors import InputError

_MOST_BYTES = 64 * 2**20


def read_given(path: Path, what: str) -> bytes:
    """Read a small file.

    :param path: The file.
    :param what: What it is, for the message.
    :return: Its content.
    :raise InputError: When it cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"the {what} {path} cannot be read: {error.strerror}.") from error
    if len(content) > _MOST_BYTES:
        raise InputError(f"the {what} {path} has more than {_MOST_BYTES} bytes; name the right file.")
    return content
