"""Pydantic models as documents of a store: JSON with a digest for results, YAML for configurations.

Results and manifests carry the digest of their payload and are checked when read; configurations are
written by us and read by a pipeline task.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, SerializerFunctionWrapHandler, ValidationError, model_serializer

from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.keys import canonical_json, digest
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.storage.yaml_text import MOST_BYTES, load_yaml

Model = TypeVar("Model", bound=BaseModel)
_MARK = "document_digest"
"""The last entry of every document: the digest of all others."""
_FOLLOWS = b"# SHA-256 of what follows: "
"""The first line of every configuration, up to the digest."""


class GrownModel(BaseModel):
    """A model that grew: what came later is left out while it has its default.

    So what was written before keeps its bytes and its digest.
    """

    later_fields: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that came later."""

    @model_serializer(mode="wrap")
    def _leave_out_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        for name in self.later_fields:
            if getattr(self, name) == type(self).model_fields[name].get_default(call_default_factory=True):
                content.pop(name, None)
        return content


def write_document(store: ObjectStore, key: str, model: BaseModel, *, new: bool = False) -> str:
    """Write a model with the digest of its content; the same model gives the same bytes.

    :param store: Object store.
    :param key: Key to write.
    :param model: The model.
    :param new: Write only when the key is free.
    :return: The digest.
    :raise AlreadyExistsError: When ``new`` and the key is taken.
    """
    payload = model.model_dump(mode="json")
    mark = digest(payload)
    text = json.dumps({**payload, _MARK: mark}, indent=1, ensure_ascii=False, allow_nan=False)
    store.write(key, text.encode() + b"\n", new=new)
    return mark


def read_document(store: ObjectStore, key: str, kind: type[Model]) -> Model:
    """Read a model that :func:`write_document` wrote.

    :param store: Object store.
    :param key: Key to read.
    :param kind: The model's class.
    :return: The model.
    :raise FileNotFoundError: When there is no such object.
    :raise CorruptionError: When the content does not match its digest or its class.
    """
    return parse_document(store.read(key), store.uri(key), kind)


def parse_document(content: bytes, where: str, kind: type[Model]) -> Model:
    """Read a model from the bytes that :func:`write_document` wrote.

    :param content: The bytes.
    :param where: Where they are from, for messages.
    :param kind: The model's class.
    :return: The model.
    :raise CorruptionError: When the content does not match its digest or its class.
    """
    try:
        payload = json.loads(content)
        mark = payload.pop(_MARK)
        intact = digest(payload) == mark
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptionError(f"{where} is not a document of Nexus ({error}); delete it and run again.") from error
    if not intact:
        raise CorruptionError(f"{where} does not match its digest; delete it and run again.")
    try:
        return kind.model_validate(payload)
    except ValidationError as error:
        raise CorruptionError(
            f"{where} was written by another version of Nexus ({describe(error)}); delete it and run again."
        ) from error


def write_configuration(store: ObjectStore, key: str, model: BaseModel) -> None:
    """Write the configuration of a pipeline task as YAML, with a digest in its first line.

    :param store: Object store.
    :param key: Key to write.
    :param model: The configuration.
    """
    content = yaml.safe_dump(model.model_dump(mode="json"), sort_keys=True, allow_unicode=True).encode()
    store.write(key, b"%s%s\n%s" % (_FOLLOWS, hashlib.sha256(content).hexdigest().encode(), content))


def read_configuration(store: ObjectStore, key: str, kind: type[Model]) -> Model:
    """Read the configuration of a pipeline task; one that a person wrote has no digest.

    :param store: Object store.
    :param key: Key to read.
    :param kind: The configuration's class.
    :return: The configuration.
    :raise InputError: When it does not fit; the message names each field.
    :raise CorruptionError: When it does not match its digest.
    """
    content = store.read(key)
    first, _, rest = content.partition(b"\n")
    if first.startswith(_FOLLOWS) and first != _FOLLOWS + hashlib.sha256(rest).hexdigest().encode():
        raise CorruptionError(f"{store.uri(key)} does not match its digest; run again, which writes it again.")
    return parse_yaml(kind, content, store.uri(key), most_bytes=len(content))  # of our own making


def parse_yaml(
    kind: type[Model],
    text: str | bytes,
    where: str,
    completed: Callable[[dict[str, Any]], dict[str, Any]] = lambda content: content,
    *,
    most_bytes: int = MOST_BYTES,
) -> Model:
    """Read a model from YAML that a person or a task configuration wrote.

    :param kind: The model's class.
    :param text: The YAML.
    :param where: The file, for messages.
    :param completed: Adds to what was written before it is validated.
    :param most_bytes: How many bytes the YAML may have.
    :return: The model.
    :raise InputError: When the YAML cannot be read or does not fit; the message names each field.
    """
    try:
        content: Any = load_yaml(text, most_bytes)
    except ValueError as error:
        raise InputError(f"{where} {error}.") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise InputError(f"{where} must hold 'name: value' lines, not {type(content).__name__}.")
    try:
        return kind.model_validate(completed(content))
    except ValidationError as error:
        raise InputError(f"{where}: {describe(error)}.") from error


def read_written(store: ObjectStore, key: str, most_bytes: int = MOST_BYTES) -> bytes:
    """Read a small file that somebody wrote.

    :param store: Object store.
    :param key: Key of the file.
    :param most_bytes: How many bytes it may have.
    :return: Its content.
    :raise FileNotFoundError: When there is none.
    :raise InputError: When it is larger.
    """
    entry = store.stat(key)
    if entry is not None and entry.size > most_bytes:
        raise InputError(
            f"{store.uri(key)} has {entry.size} bytes, more than the {most_bytes} that are read; write less into it."
        )
    return store.read(key)


def describe(error: ValidationError) -> str:
    """Put a Pydantic error into words of one sentence.

    :param error: The error.
    :return: Each wrong field with what is wrong, separated by semicolons.
    """
    parts: list[str] = []
    for item in error.errors(include_url=False):
        place = ".".join(str(part) for part in item["loc"])
        message = str(item["msg"]).removeprefix("Value error, ").rstrip(".")
        if item["type"] == "extra_forbidden":
            message = "is not a known key"
        parts.append(
            f"{place} {message}"
            if place and item["type"] == "extra_forbidden"
            else f"{place}: {message}"
            if place
            else message
        )
    return "; ".join(parts)


def content_digest(model: BaseModel) -> str:
    """Return the digest of a model's JSON.

    :param model: The model.
    :return: 64 hexadecimal digits.
    """
    return digest(json.loads(canonical_json(model.model_dump(mode="json"))))
