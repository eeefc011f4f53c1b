"""A refusal stands in the place of a result and is never taken for one."""

import pytest
from pydantic import BaseModel

from kfp_components.configurations import IngestTaskResult, TaskConfig
from kfp_components.messages import TaskMessages
from kfp_components.results import clear_failure, read_failure, read_result, write_failure
from kfp_components.tasks.task import run_task
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.storage.documents import write_configuration, write_document
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.object_store import ObjectStore

_RESULT = IngestTaskResult(reports=[])


def test_a_refusal_is_raised_again_in_its_own_words(store: FolderStore) -> None:
    write_failure(store, "r.json", InputError("a.h5ad is empty: give one with cells."))
    with pytest.raises(InputError, match=r"^a\.h5ad is empty: give one with cells\.$"):
        read_result(store, "r.json", IngestTaskResult)
    clear_failure(store, "r.json")
    with pytest.raises(FileNotFoundError):
        read_result(store, "r.json", IngestTaskResult)


def test_a_result_is_no_refusal_and_is_not_cleared(store: FolderStore) -> None:
    write_document(store, "r.json", _RESULT)
    assert read_failure(store, "r.json") is None
    clear_failure(store, "r.json")
    assert read_result(store, "r.json", IngestTaskResult) == _RESULT


def test_a_changed_result_is_noticed(store: FolderStore) -> None:
    write_document(store, "r.json", _RESULT)
    store.write("r.json", store.read("r.json").replace(b"[]", b'["x"]'))
    with pytest.raises(CorruptionError):
        read_result(store, "r.json", IngestTaskResult)


def test_a_task_leaves_its_result_its_refusal_or_nothing_but_never_the_last_ones(store: FolderStore) -> None:
    write_configuration(store, "c.yaml", TaskConfig(result_key="r.json"))

    def refuse(store: ObjectStore, config: TaskConfig, messages: TaskMessages) -> BaseModel:
        raise InputError("no")

    def crash(store: ObjectStore, config: TaskConfig, messages: TaskMessages) -> BaseModel:
        assert store.stat(config.result_key) is None
        raise RuntimeError

    run_task(store.root, "c.yaml", TaskConfig, lambda *_: _RESULT)
    assert read_result(store, "r.json", IngestTaskResult) == _RESULT
    with pytest.raises(InputError, match="no"):
        run_task(store.root, "c.yaml", TaskConfig, refuse)
    failure = read_failure(store, "r.json")
    assert failure is not None
    assert failure.message == "no"
    with pytest.raises(RuntimeError):
        run_task(store.root, "c.yaml", TaskConfig, crash)
    assert store.stat("r.json") is None
