"""What every warehouse must do when ingests are retired and purged."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from tests.contracts.warehouse_contract import NOON, World, read_dense, request, visible, whole


class WarehouseLifecycleContract:
    """Tests that every warehouse passes."""

    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError("give a world")

    def test_a_retired_dataset_is_hidden_and_stays_readable(self, world: World) -> None:
        old, new = world.make(), world.make(version=2)
        other = world.make(dataset="blood")
        warehouse = world.open()
        warehouse.load([old.manifest, other.manifest], NOON)
        warehouse.load([new.manifest], NOON + timedelta(hours=1))
        # Its clock is behind: it takes effect all the same.
        assert warehouse.retire(["lung"], NOON) == (new.ingest_id,)
        ingests = world.open().ingests()
        assert ingests.filter("is_current")["ingest_id"].to_list() == [other.ingest_id]
        (retired,) = ingests.filter(pl.col("retired_at").is_not_null()).to_dicts()
        assert (retired["ingest_id"], retired["committed_at"]) == (new.ingest_id, NOON + timedelta(hours=1))
        assert retired["retired_at"] > retired["committed_at"]
        assert visible(world.open()) == whole(old, new, other)
        dense, _ = read_dense(world.open(), request(new, range(23)), 11)
        assert np.array_equal(dense, new.matrix.toarray())
        assert world.open().retire(["lung", "nothing"], NOON + timedelta(hours=2)) == ()
        assert world.open().ingests().equals(ingests)

    def test_a_retired_dataset_comes_back_by_loading_it(self, world: World) -> None:
        made = world.make()
        world.open().load([made.manifest], NOON)
        world.open().retire(["lung"], NOON + timedelta(hours=1))
        result = world.open().load([made.manifest], NOON)
        assert (result.committed, result.unchanged) == ((made.ingest_id,), ())
        (row,) = world.open().ingests().to_dicts()
        assert (row["is_current"], row["retired_at"]) == (True, None)
        assert visible(world.open()) == whole(made)
        assert world.open().retire(["lung"], NOON) == (made.ingest_id,)
        assert not world.open().ingests()["is_current"].any()

    def test_a_purged_ingest_is_gone_and_the_others_stay(self, world: World) -> None:
        old, new = world.make(), world.make(version=2)
        other = world.make(dataset="blood")
        warehouse = world.open()
        warehouse.load([old.manifest, other.manifest], NOON)
        warehouse.load([new.manifest], NOON + timedelta(hours=1))
        held = sorted(item.ingest_id for item in (old, new, other))
        assert [item.ingest_id for item in world.open().held_ingests()] == held
        world.open().purge([old.ingest_id, "x@000000000000"])
        assert visible(world.open()) == whole(new, other)
        assert [item.ingest_id for item in world.open().held_ingests()] == sorted([new.ingest_id, other.ingest_id])
        assert set(world.open().ingests()["ingest_id"]) == {new.ingest_id, other.ingest_id}
        world.open().purge([])
        result = world.open().load([old.manifest], NOON + timedelta(hours=2))
        assert result.committed == (old.ingest_id,)
        assert visible(world.open()) == whole(old, new, other)
