"""What shards hold against the whole, against the cells that were planned."""

from collections import Counter

import polars as pl

from omics_datastore.curriculum.composition import Composition, chosen_bins, shard_composition
from omics_datastore.curriculum.plan import plan_curriculum
from omics_datastore.curriculum.plan_model import CurriculumPlan
from tests.omics_datastore.curriculum.curriculum_world import World, specification


def compose(world: World, **changes: object) -> tuple[CurriculumPlan, pl.DataFrame, Composition]:
    plan = plan_curriculum(specification(**changes), 1, world.warehouse, world.store, bins_per_group=2)
    found = shard_composition(plan, world.store)
    assert found is not None
    cells = pl.concat([pl.read_parquet(world.root / group.key) for group in plan.groups])
    return plan, cells, found


def named(found: Composition, cells: list[int]) -> dict[str, int]:
    return {part: number for part, number in zip(found.parts, cells, strict=True) if number}


def test_shards_are_told_apart_by_dataset(world: World) -> None:
    plan, cells, found = compose(world)
    datasets = {ingest.ingest_id: ingest.dataset for ingest in plan.ingests}
    assert found.column == "dataset"
    assert len(found.parts) == len(set(datasets.values())) > 1
    assert named(found, found.whole) == Counter(datasets[name] for name in cells["ingest_id"])
    for number, counts in found.shards.items():
        rows = cells.filter(pl.col("bin") == number)
        assert named(found, counts) == Counter(datasets[name] for name in rows["ingest_id"])
    assert list(found.shards) == [item.bin for item in plan.bins]


def test_grouped_shards_are_told_apart_by_their_group(world: World) -> None:
    plan, _, found = compose(world, group_by=["tissue"])
    assert (found.column, found.is_all, sum(found.whole)) == ("tissue", True, plan.total_cells)
    assert all(len(named(found, counts)) == 1 for counts in found.shards.values())


def test_cells_of_one_dataset_are_told_apart_by_a_column(world: World) -> None:
    only = {"column": "dataset", "op": "eq", "value": world.warehouse.ingests()["dataset"][0]}
    _, cells, found = compose(world, filter=[only], obs_columns=["cell_type"], metadata_extra_columns=[])
    assert (found.column, found.is_all) == ("cell_type", True)
    counted = Counter(value if value is not None else "(not given)" for value in cells["obs.cell_type"])
    assert named(found, found.whole) == counted


def test_the_first_and_the_last_of_many_bins_are_looked_at(world: World) -> None:
    plan = plan_curriculum(specification(bin_size=2), 1, world.warehouse, world.store, bins_per_group=2)
    numbers = [item.bin for item in chosen_bins(plan.bins, 5)]
    assert (len(set(numbers)), numbers[0], numbers[-1]) == (5, 0, len(plan.bins) - 1)
