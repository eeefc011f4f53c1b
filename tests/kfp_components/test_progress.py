"""Progress is said seldom, as Dagster Pipes messages, by all threads together, and never stands in the way."""

import itertools
import json
import threading
from typing import Any

import pytest

from kfp_components.messages import open_messages
from kfp_components.progress import Progress, ProgressWriter, sum_progress
from omics_datastore.storage.folder import FolderStore
from tests.kfp_components.session import said_last

WRITER = "messages/0000"


def messages(store: FolderStore) -> list[dict[str, Any]]:
    lines = [line for entry in store.entries("messages/") for line in store.read(entry.key).splitlines()]
    return [json.loads(line) for line in lines]


def test_it_is_said_at_first_at_the_end_and_seldom_between(store: FolderStore) -> None:
    with open_messages(store, WRITER) as say:
        writer = ProgressWriter(say, "bytes", [100, 300], interval=60)
        for done in range(1000):
            writer.update(0, done, 1000)
        writer.finish()
    said = messages(store)
    assert [message["method"] for message in said] == ["opened", *["report_custom_message"] * 2, "closed"]
    assert {message["__dagster_pipes_version"] for message in said} == {"0.1"}
    assert [message["params"]["payload"]["done"] for message in said[1:3]] == [0, 400]
    assert len(list(store.entries("messages/"))) == 3


def test_it_is_said_less_and_less_often(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with open_messages(store, WRITER) as say:
        writer = ProgressWriter(say, "bytes", [3600])
        for second in range(3600):
            now[0] = float(second)
            writer.update(0, second, 3600)
    said = [message["params"]["payload"]["done"] for message in messages(store)[1:-1]]
    gaps = [later - earlier for earlier, later in itertools.pairwise(said)]
    assert gaps == sorted(gaps)
    assert (gaps[0], gaps[-1]) == (2, 60)
    assert len(said) < 90


def test_parts_weigh_what_they_are(store: FolderStore) -> None:
    with open_messages(store, WRITER) as say:
        writer = ProgressWriter(say, "bytes", [100, 300], interval=0)
        writer.update(0, 1, 2)
        writer.update(1, 5, 15)
        assert said_last(store, "messages/") == Progress(150, 400, "bytes")
        writer.update(1, 0, 0)
        writer.update(0, 9, 2)
    assert said_last(store, "messages/") == Progress(400, 400, "bytes")


def test_without_a_place_nothing_is_written(store: FolderStore) -> None:
    with open_messages(store, None) as say:
        ProgressWriter(say, "bytes", [1]).finish()
    assert list(store.entries("")) == []


def test_a_task_goes_on_when_nothing_can_be_written(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(key: str, content: bytes, *, new: bool = False) -> None:
        raise OSError("the bucket is gone")

    with open_messages(store, WRITER) as say:
        writer = ProgressWriter(say, "bytes", [10], interval=0)
        with monkeypatch.context() as broken:
            broken.setattr(store, "write", refuse)
            writer.update(0, 1, 10)
        writer.update(0, 2, 10)
    assert [message["method"] for message in messages(store)][:3] == ["opened", *["report_custom_message"] * 2]
    assert said_last(store, "messages/") == Progress(2, 10, "bytes")


def test_an_exception_is_said_last_and_leaves_the_block(store: FolderStore) -> None:
    with pytest.raises(ValueError, match="broken"), open_messages(store, WRITER):
        raise ValueError("it is broken")
    assert messages(store)[-1]["params"]["exception"]["message"] == "ValueError: it is broken\n"


def test_progress_is_summed_by_unit() -> None:
    parts = [Progress(1, 10, "bytes"), Progress(2, 10, "bins"), Progress(3, 10, "bytes")]
    assert sum_progress(parts) == [Progress(4, 20, "bytes"), Progress(2, 10, "bins")]


def test_threads_may_share_a_writer(store: FolderStore) -> None:
    with open_messages(store, WRITER) as say:
        writer = ProgressWriter(say, "bytes", [10] * 4, interval=0)

        def work(part: int) -> None:
            for done in range(21):
                writer.update(part, done, 20)

        threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert said_last(store, "messages/") == Progress(40, 40, "bytes")
    assert len(messages(store)) == 4 * 21 + 2
