"""Long parameters of a pipeline: kept in a file of the store that is named by its content, passed as references.

A reference is ``@<key of the file>`` for a text, ``@<key>#<number>`` for an element of a list of texts.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from omics_datastore.errors import CorruptionError
from omics_datastore.storage.layout import TASKS
from omics_datastore.storage.object_store import ObjectStore

LIMIT = 16_384
"""Bytes of JSON from which on a parameter counts as long."""
_MARK = "@"
_FOLDER = f"{TASKS}parameters/"


def shorten(parameters: Mapping[str, Any], *, limit: int = LIMIT) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Replace long texts and long lists of texts by references.

    :param parameters: Parameters of a pipeline.
    :param limit: Bytes of JSON that a parameter may have.
    :return: The parameters to pass, and the content of the files to write by their keys.
    """
    short: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for name, value in parameters.items():
        content = json.dumps(value).encode()
        texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if len(content) <= limit or not (texts or isinstance(value, str)):
            short[name] = value
            continue
        key = f"{_FOLDER}{hashlib.sha256(content).hexdigest()[:24]}.json"
        files[key] = content
        short[name] = [f"{_MARK}{key}#{number}" for number in range(len(value))] if texts else f"{_MARK}{key}"
    return short, files


def resolve(store: ObjectStore, value: str) -> str:
    """Return what a parameter stands for.

    :param store: Object store.
    :param value: A parameter of a task, a reference or not.
    :return: The text.
    :raise CorruptionError: When the file is not what was written.
    :raise FileNotFoundError: When there is no such file.
    """
    if not value.startswith(f"{_MARK}{_FOLDER}"):
        return value
    key, _, number = value.removeprefix(_MARK).partition("#")
    content = store.read(key)
    if hashlib.sha256(content).hexdigest()[:24] != key.removeprefix(_FOLDER).removesuffix(".json"):
        raise CorruptionError(f"{store.uri(key)} does not match its name; delete it and run again.")
    decoded = json.loads(content)
    return str(decoded[int(number)] if number else decoded)
