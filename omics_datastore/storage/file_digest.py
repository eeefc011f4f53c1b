"""SHA-256 of a file on disk, read once in large blocks."""

import hashlib
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file.

    :param path: The file.
    :return: 64 lowercase hexadecimal digits.
    """
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
