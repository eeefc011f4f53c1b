"""Messages of a session are read once each, under fan-out, retry, re-attachment and a store that fails."""

import threading
import time
from pathlib import Path

import pytest

from kfp_components.messages import open_messages
from kfp_components.progress import Progress
from nexus_resources.pipelines.messages import Said, SessionReader
from omics_datastore.storage.folder import FolderStore

PREFIX = "tasks/run/step/lung/abc/messages/"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def say(store: FolderStore, task: int, *done: int) -> None:
    with open_messages(store, f"{PREFIX}{task:04d}") as messages:
        for count in done:
            messages.report({"done": count, "total": 10, "unit": "cells"})


def test_many_writers_at_once_lose_nothing(store: FolderStore) -> None:
    reader = SessionReader(store, PREFIX)
    threads = [threading.Thread(target=say, args=(store, task, *range(1, 11))) for task in range(8)]
    for thread in threads:
        thread.start()
    seen = [Progress(0, 0, "cells")]
    while any(thread.is_alive() for thread in threads):
        seen += reader.look(None).progress
    for thread in threads:
        thread.join()
    seen += reader.look(None).progress
    assert seen[-1] == Progress(80, 80, "cells")
    assert [each.done for each in seen] == sorted(each.done for each in seen)
    assert reader.look(None) == Said()


def test_a_task_that_is_tried_again_begins_anew(store: FolderStore) -> None:
    reader = SessionReader(store, PREFIX)
    say(store, 0, 9)
    say(store, 1, 5)
    assert reader.look(None).progress == (Progress(14, 20, "cells"),)
    say(store, 0, 2)
    assert reader.look(None).progress == (Progress(7, 20, "cells"),)


def test_a_reader_that_comes_later_sees_the_same(store: FolderStore) -> None:
    say(store, 0, 1, 9)
    say(store, 0, 2, 3)
    say(store, 1, 5)
    assert SessionReader(store, PREFIX).look(None).progress == (Progress(8, 20, "cells"),)


def test_what_an_earlier_attempt_of_the_job_said_does_not_count(store: FolderStore) -> None:
    say(store, 0, 9)
    with pytest.raises(RuntimeError), open_messages(store, f"{PREFIX}0001"):
        raise RuntimeError("lost")
    submitted = time.time()
    reader = SessionReader(store, PREFIX)
    assert reader.look(submitted) == Said()
    say(store, 0, 1)
    assert reader.look(submitted) == Said((Progress(1, 10, "cells"),))


def test_what_a_task_failed_with_is_told_once(store: FolderStore) -> None:
    reader = SessionReader(store, PREFIX)
    with pytest.raises(RuntimeError), open_messages(store, f"{PREFIX}0003"):
        raise RuntimeError("no space is left")
    assert reader.look(None).failures == ("Task 0003 failed: RuntimeError: no space is left",)
    assert reader.look(None).failures == ()


def test_what_is_no_message_is_left_out(store: FolderStore) -> None:
    say(store, 0, 4)
    (entry, *_) = store.entries(PREFIX)
    folder = entry.key.rpartition("/")[0]
    for number, line in enumerate([b"{", b"[]", b'{"method": "report_custom_message", "params": {"payload": {}}}']):
        store.write(f"{folder}/9000000{number}.jsonl", line)
    store.write(f"{PREFIX}notes/today.txt", b"mine")
    assert SessionReader(store, PREFIX).look(None) == Said((Progress(4, 10, "cells"),))


def test_a_store_that_fails_does_not_end_the_wait(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(key: str) -> bytes:
        raise OSError("the bucket is gone")

    say(store, 0, 4)
    reader = SessionReader(store, PREFIX)
    with monkeypatch.context() as broken:
        broken.setattr(store, "read", fail)
        assert reader.look(None) == Said()
    assert reader.look(None).progress == (Progress(4, 10, "cells"),)
