"""What every task does around its work: read its configuration, leave its result or its refusal."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel

from kfp_components.configurations import TaskConfig
from kfp_components.messages import TaskMessages, open_messages
from kfp_components.parameters import resolve
from kfp_components.results import write_failure
from omics_datastore.errors import InputError
from omics_datastore.storage.disk_errors import clear_disk_errors
from omics_datastore.storage.documents import read_configuration, write_document
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.storage.open import open_store

Config = TypeVar("Config", bound=TaskConfig)


def run_task(
    root: str, config_key: str, kind: type[Config], work: Callable[[ObjectStore, Config, TaskMessages], BaseModel]
) -> None:
    """Run the work of a task and leave what came of it under the configuration's result key.

    :param root: Root of the object store.
    :param config_key: Key of the task's configuration.
    :param kind: The configuration's class.
    :param work: Takes the store, the configuration and what to say things with, returns the result.
    :raise InputError: When the work refused its input, or a disk is full or closed; the sentence is left in place of
        the result.
    :raise CorruptionError: When the configuration is not what was written.
    """
    store = open_store(root)
    config_key = resolve(store, config_key)
    config = read_configuration(store, config_key, kind)
    store.delete(config.result_key)
    try:
        with clear_disk_errors(), open_messages(store, config.messages) as messages:
            result = work(store, config, messages)
    except InputError as error:
        write_failure(store, config.result_key, error)
        raise
    write_document(store, config.result_key, result)
