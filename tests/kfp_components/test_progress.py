"""Progress is written seldom, summed by unit, and never stands in the way."""

import json
import threading
from typing import Any

from kfp_components.progress import Progress, ProgressWriter, read_progress
from omics_datastore.storage.folder import FolderStore


class _CountingStore(FolderStore):
    writes = 0

    def write(self, key: str, content: bytes, *, new: bool = False) -> None:
        self.writes += 1
        super().write(key, content, new=new)


def test_it_is_written_at_most_once_an_interval_and_at_the_end(tmp_path: Any) -> None:
    store = _CountingStore(tmp_path)
    writer = ProgressWriter(store, "p.json", "bytes", [100, 300], interval=60)
    for done in range(1000):
        writer.update(0, done, 1000)
    assert store.writes == 1
    writer.finish()
    assert store.writes == 2
    assert read_progress(store, ["p.json"]) == [Progress(400, 400, "bytes")]


def test_parts_weigh_what_they_are(store: FolderStore) -> None:
    writer = ProgressWriter(store, "p.json", "bytes", [100, 300], interval=0)
    writer.update(0, 1, 2)
    writer.update(1, 5, 15)
    assert read_progress(store, ["p.json"]) == [Progress(150, 400, "bytes")]
    writer.update(1, 0, 0)
    writer.update(0, 9, 2)
    assert read_progress(store, ["p.json"]) == [Progress(400, 400, "bytes")]


def test_without_a_key_nothing_is_written(store: FolderStore) -> None:
    writer = ProgressWriter(store, None, "bytes", [1])
    writer.update(0, 1, 1)
    writer.finish()
    assert list(store.entries("")) == []


def test_tasks_are_summed_by_unit_and_unreadable_ones_left_out(store: FolderStore) -> None:
    for number, (done, unit) in enumerate([(1, "bytes"), (2, "bins"), (3, "bytes")]):
        store.write(f"{number}.json", json.dumps({"done": done, "total": 10, "unit": unit}).encode())
    store.write("broken.json", b"{")
    store.write("other.json", b"[]")
    keys = ["0.json", "missing.json", "1.json", "broken.json", "other.json", "2.json"]
    assert read_progress(store, keys) == [Progress(4, 20, "bytes"), Progress(2, 10, "bins")]


def test_threads_may_share_a_writer(store: FolderStore) -> None:
    writer = ProgressWriter(store, "p.json", "bytes", [10] * 4, interval=0)

    def work(part: int) -> None:
        for done in range(21):
            writer.update(part, done, 20)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_progress(store, ["p.json"]) == [Progress(40, 40, "bytes")]
