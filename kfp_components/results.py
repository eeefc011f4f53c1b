"""What a task leaves behind: its result, or the one sentence with which it refused its input.

Both are digest-checked documents under the task's result key, so that whoever waits needs one look.
"""

from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.storage.documents import read_document, write_document
from omics_datastore.storage.object_store import ObjectStore

Result = TypeVar("Result", bound=BaseModel)


class TaskFailure(BaseModel):
    """An input error of a task, in the place of its result."""

    model_config = ConfigDict(extra="forbid")

    failed: Literal["input"]
    message: str


def write_failure(store: ObjectStore, key: str, error: InputError) -> None:
    """Leave an input error in the place of a result.

    :param store: Object store.
    :param key: Result key of the task.
    :param error: The error.
    """
    write_document(store, key, TaskFailure(failed="input", message=str(error)))


def read_failure(store: ObjectStore, key: str) -> TaskFailure | None:
    """Return the input error that a task left.

    :param store: Object store.
    :param key: Result key of the task.
    :return: The error, or ``None`` when there is a result or nothing.
    """
    try:
        return read_document(store, key, TaskFailure)
    except (FileNotFoundError, CorruptionError):
        return None


def clear_failure(store: ObjectStore, key: str) -> None:
    """Remove an input error that an ended attempt left; a result stays.

    :param store: Object store.
    :param key: Result key of the task.
    """
    if read_failure(store, key) is not None:
        store.delete(key)


def read_result(store: ObjectStore, key: str, kind: type[Result]) -> Result:
    """Read the result of a task.

    :param store: Object store.
    :param key: Result key of the task.
    :param kind: The result's class.
    :return: The result.
    :raise InputError: When the task refused its input; the message is its sentence.
    :raise FileNotFoundError: When the task did not finish.
    :raise CorruptionError: When the document is not what was written.
    """
    failure = read_failure(store, key)
    if failure is not None:
        raise InputError(failure.message)
    return read_document(store, key, kind)
