"""Extraction of a single share of bins by several threads."""

from tests.omics_datastore.curriculum.curriculum_world import World, build, shard_bytes, shard_paths, specification


def test_threads_that_share_the_ingests_of_a_share_give_the_same_shard(world: World) -> None:
    spec = specification(bin_size=1000)
    build(world, spec, 1)
    build(world, spec, 2, workers=2)
    assert len(shard_paths(world)) == 1
    assert shard_bytes(world, version=1) == shard_bytes(world, version=2)
