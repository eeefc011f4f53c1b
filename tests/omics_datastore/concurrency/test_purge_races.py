"""What begins while a purge runs, and a purge that begins while something runs, on both warehouses.

Another process is a thread with objects of its own, started in the middle of a step.
"""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import polars as pl
import pytest

from omics_datastore.curriculum.extract import extract_groups
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.query.cells import count_by
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.lock import WAREHOUSE
from omics_datastore.warehouse import folder_loads
from omics_datastore.warehouse.folder import FolderWarehouse
from omics_datastore.warehouse.open import open_warehouse
from omics_datastore.warehouse.parquet_layout import BULK_LOAD
from tests.contracts.warehouse_contract import EVERY_CELL, visible, whole
from tests.omics_datastore.ingest_factory import make_ingest
from tests.omics_datastore.lifetime import Lifetime, open_lifetime
from tests.omics_datastore.warehouse.bigquery_world import emulated_world


@pytest.fixture(params=["folder", "bigquery"])
def lifetime(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lifetime]:
    if request.param == "folder":
        yield open_lifetime(tmp_path / "nexus")
        return
    with emulated_world(request.getfixturevalue("bigquery_emulator")) as world:
        yield Lifetime(world.store, world.open(), BULK_LOAD)


def another(lifetime: Lifetime) -> Lifetime:
    """Open the same again, as another process would."""
    store = type(lifetime.store)(lifetime.store.root)  # type: ignore[call-arg]
    return Lifetime(store, open_warehouse(lifetime.warehouse.uri, store), lifetime.layout)


class Meanwhile(threading.Thread):
    """Do something else at the same time, and keep what came of it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.result: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._work()
        except BaseException as error:  # noqa: BLE001
            self.result = error

    def waits(self) -> bool:
        self.join(0.5)
        return self.is_alive()

    def end(self) -> Any:
        self.join(60)
        assert not self.is_alive()
        return self.result


def test_a_load_that_begins_after_the_second_look_of_a_purge_waits_for_it(
    lifetime: Lifetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = lifetime.load(), lifetime.load(version=2)
    beside = another(lifetime)
    begun: list[Meanwhile] = []
    purge = lifetime.warehouse.purge

    def purge_and_load(ingest_ids: list[str]) -> None:
        begun.append(Meanwhile(lambda: beside.warehouse.load([old.manifest], datetime.now(UTC))))
        assert begun[0].waits()
        purge(ingest_ids)

    monkeypatch.setattr(lifetime.warehouse, "purge", purge_and_load)
    assert lifetime.purge() == [("superseded", old.ingest_id)]
    refused = begun[0].end()
    assert isinstance(refused, CorruptionError)
    assert "run the ingest again" in str(refused)
    assert visible(beside.warehouse) == whole(new)
    assert beside.load(version=1).ingest_id == old.ingest_id
    assert visible(lifetime.warehouse) == whole(old, new)


def test_a_purge_waits_for_a_plan_and_keeps_what_it_pinned(lifetime: Lifetime, monkeypatch: pytest.MonkeyPatch) -> None:
    old = lifetime.load()
    beside = another(lifetime)
    begun: list[Meanwhile] = []
    query = lifetime.warehouse.query

    def replace_and_purge(expression: ir.Table) -> pl.DataFrame:
        if not begun:
            beside.load(version=2)
            begun.append(Meanwhile(beside.purge))
            assert begun[0].waits()
        return query(expression)

    monkeypatch.setattr(lifetime.warehouse, "query", replace_and_purge)
    plan = lifetime.plan()
    assert [ingest.ingest_id for ingest in plan.ingests] == [old.ingest_id]
    assert begun[0].end() == []
    assert extract_groups(plan, [0], lifetime.warehouse, lifetime.store).written == [0, 1]


def test_a_purge_gives_up_while_others_work(lifetime: Lifetime) -> None:
    old, new = lifetime.load(), lifetime.load(version=2)
    said = r"was not done after 0\.1 seconds; nothing was deleted, purge again"
    with another(lifetime).store.lock(WAREHOUSE, shared=True), pytest.raises(InputError, match=said):
        lifetime.purge(wait_seconds=0.1)
    assert visible(lifetime.warehouse) == whole(old, new)
    assert lifetime.purge(wait_seconds=0.1) == [("superseded", old.ingest_id)]


class _Interrupted(FolderWarehouse):
    """A warehouse in whose n-th query something else happens first."""

    left = 0
    before: Callable[[], Any]

    def query(self, expression: ir.Table) -> pl.DataFrame:
        self.left -= 1
        if not self.left:
            self.before()
        return super().query(expression)


def test_a_plan_sees_one_snapshot(tmp_path: Path) -> None:
    folder = open_lifetime(tmp_path / "nexus")
    for source in ("a.h5ad", "b.h5ad"):
        folder.load(source=source)
    undisturbed = folder.plan("undisturbed")
    warehouse = _Interrupted(FolderStore(folder.store.root), threads=1)
    counting = Lifetime(folder.store, warehouse)
    counting.plan("counting")
    others: list[Callable[[], Any]] = [
        lambda: folder.warehouse.retire(["lung"], datetime.now(UTC)),
        lambda: folder.load("other"),
        lambda: folder.load(version=2),
    ]
    for number in range(1, 1 - warehouse.left, 4):
        warehouse.left, warehouse.before = number, others[number // 4 % 3]
        plan = counting.plan(f"meanwhile-{number}")
        assert plan.left_out_not_primary == undisturbed.left_out_not_primary
        assert [item.digest for item in plan.bins] == [item.digest for item in undisturbed.bins]
        assert plan.ingests == undisturbed.ingests
        for source in ("a.h5ad", "b.h5ad"):  # as it was
            folder.load(source=source)
        folder.warehouse.retire(["other"], datetime.now(UTC))


def test_readers_never_miss_what_a_purge_takes_away(tmp_path: Path) -> None:
    folder = open_lifetime(tmp_path / "nexus")
    kept = folder.load("kept")
    reader = FolderWarehouse(FolderStore(folder.store.root), threads=1)
    ended = threading.Event()

    def read() -> int:
        looks = 0
        while not ended.is_set():
            seen = dict(reader.query(count_by(EVERY_CELL, ["ingest_id"])).rows())
            assert seen[kept.ingest_id] == 23
            assert set(seen.values()) == {23}
            batches = list(reader.stream(EVERY_CELL, 10))
            assert sum(batch.height for batch in batches) % 23 == 0
            assert reader.sql("SELECT COUNT(*) AS n FROM cell_info", 1).rows.item() % 23 == 0
            looks += 1
        return looks

    reading = Meanwhile(read)
    for version in range(2, 5):
        folder.load(version=version)
        folder.purge()
    ended.set()
    assert reading.end() > 1
    assert visible(reader) == whole(kept, make_ingest(folder.store, version=4))


def test_two_purges_of_different_sight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_lifetime(tmp_path / "nexus")
    made = [make_ingest(folder.store, dataset) for dataset in ("lung", "blood")]
    folder.warehouse.load([item.manifest for item in made], datetime.now(UTC))  # rows in one file
    new = folder.load("lung", version=2)
    beside = another(folder)
    begun: list[Meanwhile] = []
    tables = folder.warehouse._tables  # type: ignore[attr-defined]
    withdraw, read = tables.withdraw, folder_loads._read

    def retire_and_purge() -> Any:
        beside.warehouse.retire(["blood"], datetime.now(UTC))
        return beside.purge()

    def read_and_begin_another(path: Path) -> tuple[pl.DataFrame, folder_loads.Checksums]:
        rows = read(path)
        if not begun:
            begun.append(Meanwhile(retire_and_purge))
            begun[0].waits()
        return rows

    def withdraw_beside_another(ingest_ids: list[str]) -> None:
        monkeypatch.setattr(folder_loads, "_read", read_and_begin_another)
        withdraw(ingest_ids)

    monkeypatch.setattr(tables, "withdraw", withdraw_beside_another)
    assert folder.purge() == [("superseded", made[0].ingest_id)]
    assert begun[0].end() == [("retired", made[1].ingest_id)]
    assert visible(beside.warehouse) == whole(new)
