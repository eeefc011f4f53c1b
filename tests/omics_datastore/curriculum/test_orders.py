"""The orders of a curriculum: what each seed and each group gets, and that memory, tasks and threads do not matter."""

from collections import Counter
from pathlib import Path
from typing import Any

import anndata as ad
import duckdb
import ibis
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omics_datastore.curriculum.extract import extract_groups
from omics_datastore.curriculum.plan import plan_curriculum
from omics_datastore.curriculum.release import release_curriculum
from omics_datastore.curriculum.release_model import ExtractMetadata
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.verify import verify_curriculum
from omics_datastore.errors import InputError
from omics_datastore.query.mixing import mixed
from omics_datastore.shuffle import KEY_SPACE, mixing_rounds
from omics_datastore.storage.layout import extract_metadata_key
from tests.omics_datastore.curriculum.curriculum_world import (
    World,
    assert_equals_sources,
    build,
    gene,
    make_source,
    open_world,
    read_shards,
    shard_bytes,
    specification,
)

SCATTERED: list[dict[str, Any]] = [
    {"order": "exact"},
    {"group_by": ["donor_id"]},
    {"group_by": ["metadata_extra.batch", "is_primary_data"], "order": "exact"},
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = open_world(tmp_path_factory.mktemp("orders"))
    made.add("a", make_source(gene(5, 3, 9, 1, 7), 61, 1, {"batch": ["x", "y", None, "ключ"] * 15 + ["x"]}))
    made.add("b", make_source(gene(1, 2, 3, 4), 40, 2, {"donor_id": ["d1", None, "d2", ""] * 10}))
    made.add("c", make_source(gene(9, 8, 1), 23, 3, {"batch": None}), dataset="brain")
    return made


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, KEY_SPACE - 1), min_size=1, max_size=50, unique=True), st.integers(0, 2**63 - 1))
def test_mixing_is_a_permutation_and_the_same_in_plain_python(keys: list[int], seed: int) -> None:
    rounds = mixing_rounds("cells", seed)
    table = ibis.table({"key": "int64"}, name="keys")
    sql = str(ibis.to_sql(table.select("key", mixed=mixed(table["key"], rounds)), dialect="duckdb"))
    with duckdb.connect() as connection:
        connection.from_arrow(pl.DataFrame({"key": keys}, schema={"key": pl.Int64}).to_arrow()).create_view("keys")
        found = dict(connection.sql(sql).fetchall())
    assert len(set(found.values())) == len(keys)
    for key in keys:
        high, low = key >> 31, key & (2**31 - 1)
        for number, (multiplier, addend) in enumerate(rounds):
            if number % 2 == 0:
                high ^= (low * multiplier + addend) % (2**32 - 5)
            else:
                low ^= (high * multiplier + addend) % (2**31 - 1)
        assert found[key] == high * 2**31 + low
        assert 0 <= found[key] < KEY_SPACE


def test_orders_of_seeds_have_nothing_to_do_with_each_other() -> None:
    keys = np.sort(np.random.default_rng(0).integers(0, KEY_SPACE, 20_000))
    table = ibis.table({"key": "int64"}, name="keys")
    orders = {f"seed_{seed}": mixed(table["key"], mixing_rounds("cells", seed)) for seed in range(3)}
    with duckdb.connect() as connection:
        connection.from_arrow(pl.DataFrame({"key": keys}).to_arrow()).create_view("keys")
        rows = connection.sql(str(ibis.to_sql(table.select("key", **orders), dialect="duckdb"))).pl().sort("key")
    places = [rows[name].rank().to_numpy() for name in rows.columns]
    # The standard error of a rank correlation of 20,000 independent values is 0.007.
    for number, one in enumerate(places):
        for other in places[number + 1 :]:
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.035
    # Neighbours of the store are a third of the whole apart, as two random places are.
    for one in places[1:]:
        assert np.abs(np.diff(one)).mean() / len(keys) == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("changes", SCATTERED)
def test_every_cell_once_and_every_count_as_in_the_source(
    world: World, changes: dict[str, Any], tmp_path: Path
) -> None:
    spec = specification(name=f"o{tmp_path.name[-8:].strip('_').lower()}", bin_size=9, **changes)
    build(world, spec, workers=2, memory_limit_bytes=60_000)
    shards = read_shards(world, spec.name)
    assert assert_equals_sources(world, shards) == 124
    names = [name for shard in shards for name in shard.obs_names]
    assert names == [str(place) for place in range(124)]
    cells = Counter((row["ingest_id"], row["cell_index"]) for shard in shards for _, row in shard.obs.iterrows())
    assert set(cells.values()) == {1}
    assert verify_curriculum(spec.name, 1, world.store, random_shards=5).problems == []


def test_groups(world: World) -> None:
    spec = specification(name="groups", bin_size=9, obs_columns=[], group_by=["donor_id", "metadata_extra.batch"])
    plan, _ = build(world, spec, memory_limit_bytes=1)
    release = release_curriculum("groups", 1, world.store)
    shards = read_shards(world, "groups")
    sizes: dict[str, list[int]] = {}
    for item, released, shard in zip(plan.bins, release.shards, shards, strict=True):
        assert item.group == released.group
        assert item.group is not None
        for column, value in (("donor_id", item.group["donor_id"]), ("batch", item.group["metadata_extra.batch"])):
            found = shard.obs[column].astype(object)
            assert found.isna().all() if value is None else (found == value).all()
        sizes.setdefault(str(item.group), []).append(shard.n_obs)
    expected = Counter(
        str({"donor_id": _text(row["donor_id"]), "metadata_extra.batch": _text(row.get("batch"))})
        for source in world.sources.values()
        for _, row in source.obs.iterrows()
    )
    assert {group: sum(each) for group, each in sizes.items()} == expected
    assert all(sorted(each, reverse=True)[:-1] == [9] * (len(each) - 1) for each in sizes.values())
    assert any(len(each) > 1 for each in sizes.values())
    order = [str(item.group) for item in plan.bins]
    assert order != sorted(order)
    metadata = ExtractMetadata.model_validate_json(world.store.read(extract_metadata_key("groups", 1)))
    assert metadata.limits == np.cumsum([shard.n_obs for shard in shards]).tolist()
    assert f"limits={metadata.limits}" in release.loaders["cellarium-ml"]
    assert any("fewer than 9 cells" in warning for warning in release.warnings)


def test_seeds_are_other_orders_of_bins_and_cells(world: World) -> None:
    for changes in SCATTERED:
        orders = []
        for seed in (1, 2):
            spec = specification(name=f"seed{seed}", bin_size=20, seed=seed, **changes)
            version = 1 + SCATTERED.index(changes)
            plan = plan_curriculum(spec, version, world.warehouse, world.store, bins_per_group=50)
            cells = pl.read_parquet(world.store.path(plan.groups[0].key))
            orders.append(cells.select("ingest_id", "cell_index").rows())
        assert orders[0] != orders[1]
        assert sorted(orders[0]) == sorted(orders[1])
        if changes == {"order": "exact"}:
            # Neither do the same cells come together: ten of twenty would be one in six by chance.
            assert len({*orders[0][:20]} & {*orders[1][:20]}) < 10


@pytest.mark.parametrize("changes", SCATTERED[:2])
def test_groups_of_bins_threads_and_memory_do_not_matter(world: World, changes: dict[str, Any]) -> None:
    name = "exact" if "order" in changes else "grouped"
    spec = specification(name=name, bin_size=7, **changes)
    made: list[dict[str, bytes]] = []
    for version, (bins, workers, memory) in enumerate([(100, 1, 2**30), (2, 3, 1), (5, 2, 40_000)], start=1):
        build(world, spec, version, bins_per_group=bins, workers=workers, memory_limit_bytes=memory)
        made.append(shard_bytes(world, name, version))
    assert made[0] == made[1] == made[2]
    assert len(made[0]) > 5
    assert list((world.root / ".scratch").rglob("*counts*")) == []


def test_only_missing_shards_are_made_again(world: World) -> None:
    spec = specification(name="again", bin_size=11, order="exact")
    plan, _ = build(world, spec, memory_limit_bytes=1)
    before = shard_bytes(world, "again")
    for number in (1, 4):
        (world.root / f"extracts/again/v1/extract_files/extract_{number:06d}.h5ad").unlink()
    groups = [group.group for group in plan.groups]
    assert extract_groups(plan, groups, world.warehouse, world.store, memory_limit_bytes=1).written == [1, 4]
    assert shard_bytes(world, "again") == before


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 60),
    st.lists(
        st.sampled_from(["donor_id", "cell_type", "dataset", "is_primary_data", "metadata_extra.batch"]), unique=True
    ),
    st.integers(0, 2**63 - 1),
)
def test_bins_of_any_grouping(world: World, bin_size: int, group_by: list[str], seed: int) -> None:
    spec = specification(bin_size=bin_size, group_by=group_by, seed=seed, order="exact")
    version = 1
    while world.store.stat(f"extracts/all/v{version}/plan/plan.json") is not None:
        version += 1
    plan = plan_curriculum(spec, version, world.warehouse, world.store, bins_per_group=3)
    assert sum(item.cells for item in plan.bins) == plan.total_cells == 124
    assert [item.first_position for item in plan.bins] == [0, *np.cumsum([item.cells for item in plan.bins])[:-1]]
    short = [str(item.group) for item in plan.bins if item.cells < bin_size]
    assert len(short) == len(set(short))
    assert all(0 < item.cells <= bin_size for item in plan.bins)


def test_refusals(world: World) -> None:
    with pytest.raises(ValueError, match="donor_id is named twice; leave one out"):
        specification(group_by=["donor_id", "donor_id"])
    with pytest.raises(InputError, match="group_by: cell_index differs from cell to cell"):
        build(world, specification(name="x", group_by=["cell_index"]))
    with pytest.raises(InputError, match="donor_id"):
        build(world, specification(name="x", group_by=["donor"]))
    assert CurriculumSpecification.model_validate({"name": "a", "group_by": "donor_id"}).group_by == ("donor_id",)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def test_a_grouped_curriculum_reads_as_one(world: World) -> None:
    build(world, specification(name="whole", bin_size=9, group_by=["cell_type"]))
    joined = ad.concat(read_shards(world, "whole"))
    assert joined.obs_names.is_unique
    assert joined.n_obs == 124
