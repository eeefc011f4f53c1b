"""How shares are read gives no other shards: by several threads, or all at once where each would read all again."""

from collections.abc import Iterator

import polars as pl
import pytest

from omics_datastore.curriculum import shares as shares_module
from omics_datastore.warehouse.warehouse import CountsBatch
from tests.omics_datastore.curriculum.curriculum_world import World, build, shard_bytes, shard_paths, specification


def test_threads_that_share_the_ingests_of_a_share_give_the_same_shard(world: World) -> None:
    spec = specification(bin_size=1000)
    build(world, spec, 1)
    build(world, spec, 2, workers=2)
    assert len(shard_paths(world)) == 1
    assert shard_bytes(world, version=1) == shard_bytes(world, version=2)


def test_shares_that_would_read_all_again_are_laid_aside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = specification(bin_size=5)
    build(world, spec, 1, memory_limit_bytes=1)
    monkeypatch.setattr(shares_module, "_LEAST_READ_AGAIN", 0)
    reads: list[int] = []
    read = world.warehouse.read_counts

    def counted(cells: pl.DataFrame) -> Iterator[CountsBatch]:
        reads.append(cells.height)
        return read(cells)

    monkeypatch.setattr(world.warehouse, "read_counts", counted)
    build(world, spec, 2, memory_limit_bytes=10**6, bins_per_group=1)
    assert reads == [71]
    assert shard_bytes(world, version=1) == shard_bytes(world, version=2)
