"""Splits: disjoint, whole, stable, each in an order of its own, and loaded by themselves without arithmetic."""

import json
import shutil
from collections import Counter
from typing import Any

import anndata as ad
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omics_datastore.curriculum.difference import curriculum_difference
from omics_datastore.curriculum.loaders import placed_loader
from omics_datastore.curriculum.plan import plan_curriculum
from omics_datastore.curriculum.plan_model import CurriculumPlan
from omics_datastore.curriculum.release import release_curriculum
from omics_datastore.curriculum.selection import select
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.split import Split
from omics_datastore.curriculum.splits import place_values
from omics_datastore.curriculum.verify import verify_curriculum
from omics_datastore.curriculum.versions import drop_specification, read_dropped_specification
from omics_datastore.errors import InputError
from omics_datastore.query.cells import cell_column, count_cells
from omics_datastore.query.compile import compile_sql
from omics_datastore.query.splits import cells_with_values
from omics_datastore.storage.layout import split_metadata_key
from tests.omics_datastore.curriculum.curriculum_world import (
    World,
    assert_equals_sources,
    build,
    gene,
    make_source,
    read_shards,
    shard_paths,
    specification,
    tree,
)

BY_DONOR = {"by": "donor_id", "train": "rest", "held-out": ["donor1"], "validation": 0.3}
"""Under seed 3, donor0 and donor2 are in train, donor3 in validation."""


def plan(world: World, spec: CurriculumSpecification, version: int = 1) -> CurriculumPlan:
    return plan_curriculum(spec, version, world.warehouse, world.store, bins_per_group=2)


SHARES = st.lists(st.integers(1, 9), min_size=2, max_size=5).map(
    lambda parts: {f"part{number}": part / sum(parts) for number, part in enumerate(parts)}
)
VALUES = st.sets(st.none() | st.text(max_size=9), min_size=1, max_size=30)


@settings(max_examples=40, deadline=None)
@given(SHARES, VALUES, VALUES, VALUES, st.integers(0, 2**63 - 1), st.booleans())
def test_every_value_has_one_place_that_other_values_do_not_change(
    shares: dict[str, float],
    values: set[str | None],
    more: set[str | None],
    listed: set[str | None],
    seed: int,
    rest: bool,
) -> None:
    written: dict[str, Any] = {**shares, "listed": list(listed)}
    if rest:
        written["part0"] = "rest"
    split = Split.model_validate({"by": "donor_id", **written})
    places = place_values(split, seed, values)
    assert set(places) == values
    assert set(places.values()) <= {*shares, "listed"}
    assert all((place == "listed") == (value in listed) for value, place in places.items())
    later = place_values(split, seed, more | values)
    assert places == {value: later[value] for value in values}
    assert Split.model_validate(split.model_dump(mode="json")) == split


def test_fractions_are_what_was_asked_for() -> None:
    split = Split.model_validate({"by": "donor_id", "train": 0.8, "validation": 0.1, "test": "rest"})
    donors = [f"donor{number}" for number in range(4_000)]
    places, other = (place_values(split, seed, donors) for seed in (0, 1))
    found = Counter(places.values())
    # Four standard errors.
    for name, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert abs(found[name] - share * 4_000) < 4 * (4_000 * share * (1 - share)) ** 0.5
    moved = sum(places[donor] != other[donor] for donor in donors)
    assert moved / 4_000 == pytest.approx(1 - 0.8**2 - 2 * 0.1**2, abs=0.03)


@pytest.mark.parametrize("order", [{}, {"group_by": ["cell_type"]}])
def test_splits_are_disjoint_and_whole_and_each_in_its_own_order(world: World, order: dict[str, Any]) -> None:
    made = plan(world, specification(split=BY_DONOR, bin_size=8, **order))
    assert [split.name for split in made.splits] == ["train", "held-out", "validation"]
    assert [split.values for split in made.splits] == [["donor0", "donor2"], ["donor1"], ["donor3"]]
    names = [item.split for item in made.bins]
    assert names == [split.name for split in made.splits for _ in range(split.bins)]
    assert sum(split.cells for split in made.splits) == made.total_cells == 71
    last = made.splits[-1]
    alone = plan(world, specification(filter={"donor_id__in": last.values}, bin_size=8, name="alone", **order))
    for one, other in zip(made.bins_of(last.name), alone.bins, strict=True):
        assert (one.cells, one.min_key, one.max_key) == (other.cells, other.min_key, other.max_key)
        assert one.group == other.group


def test_a_split_curriculum_is_built_and_made_again(world: World) -> None:
    spec = specification(split=BY_DONOR, bin_size=8)
    made, _ = build(world, spec)
    release = release_curriculum("all", 1, world.store)
    assert verify_curriculum("all", 1, world.store).problems == []
    shards = read_shards(world)
    assert assert_equals_sources(world, shards) == 71
    assert [name for shard in shards for name in shard.obs_names] == [str(place) for place in range(71)]
    donors: dict[str, set[str]] = {}
    for shard, released in zip(shards, release.shards, strict=True):
        assert shard.obs.columns[-1] == "split"
        assert shard.obs["split"].cat.categories.tolist() == ["held-out", "train", "validation"]
        assert set(shard.obs["split"]) == {released.split}
        donors.setdefault(str(released.split), set()).update(shard.obs["donor_id"])
    assert donors == {split.name: set(split.values or []) for split in release.splits}
    whole = json.loads(world.store.read("extracts/all/v1/extract_metadata.json"))
    for split in release.splits:
        metadata = json.loads(world.store.read(split_metadata_key("all", 1, split.name)))
        assert list(metadata) == list(whole)
        assert metadata["category_metadata"] == whole["category_metadata"]
        sizes = [ad.read_h5ad(world.root / "extracts/all/v1" / name).n_obs for name in metadata["filenames"]]
        assert metadata["limits"][-1] == sum(sizes) == metadata["total_cells"] == split.cells
        assert (metadata["total_bins"], metadata["last_bin_size"]) == (len(sizes), sizes[-1])
        # What the split's loader computes from one size is right, since only its last shard is short.
        assert sizes[:-1] == [metadata["shard_size"]] * (len(sizes) - 1)
        assert f"shard_size=8,\n    last_shard_size={sizes[-1]}" in split.loaders["cellarium-ml"]
        assert split.extract_metadata == f"splits/{split.name}/extract_metadata.json"
    assert "limits=[" in release.loaders["cellarium-ml"]
    assert any("being the last of their splits" in warning for warning in release.warnings)
    before = tree(world)
    world.add("d", make_source(gene(1), 30, 9))
    shutil.rmtree(world.root / "extracts/all/v1/plan")
    shutil.rmtree(world.root / "extracts/all/v1/splits")
    shard_paths(world)[2].unlink()
    assert build(world, spec)[0] == made
    release_curriculum("all", 1, world.store)
    assert tree(world) == before
    names: dict[str, Any] = {}
    exec(placed_loader(release, "anndata", world.store, "validation"), names)  # noqa: S102 - what a user would paste
    assert set(names["shard"].obs["split"]) == {"validation"}
    with pytest.raises(InputError, match="no split 'test'; there are train, held-out, validation"):
        placed_loader(release, "anndata", world.store, "test")


def test_by_cell_every_cell_is_in_one_part_and_stays_there(world: World) -> None:
    spec = specification(split={"by": "cell", "train": 0.7, "validation": 0.3})

    def places() -> dict[tuple[str, int], str | None]:
        found: dict[tuple[str, int], str | None] = {}
        for part in select(spec, world.warehouse).splits:
            rows = world.warehouse.query(part.cells.select("ingest_id", "cell_index")).rows()
            assert len(rows) == part.total_cells
            assert found.keys().isdisjoint(rows)
            found |= dict.fromkeys(rows, part.name)
        return found

    before = places()
    assert len(before) == 71
    assert 10 < Counter(before.values())["validation"] < 33
    world.add("d", make_source(gene(1), 30, 9))
    after = places()
    assert len(after) == 101
    assert before.items() <= after.items()


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("values", [["b0"], [None], ["b0", None], ["b0", "b1", None, "it's \\"]])
def test_null_is_a_value_of_its_own(world: World, values: list[str | None], others: bool) -> None:
    cells = select(specification(), world.warehouse).cells
    found = world.warehouse.query(
        cells_with_values(cells, "metadata_extra.batch", values, others=others).select(
            value=lambda table: cell_column(table, "metadata_extra.batch")
        )
    )
    everything: Counter[str | None] = Counter({"b0": 16 + 9, "b1": 15 + 8, None: 23})
    expected = {value: count for value, count in everything.items() if (value in values) != others}
    assert Counter(found["value"].to_list()) == expected


def test_thousands_of_values_fit_into_a_query(world: World) -> None:
    cells = select(specification(), world.warehouse).cells
    many = ["donor1", *(f"it's a donor of quite a long name, number {number}" for number in range(9_000))]
    assert world.warehouse.query(count_cells(cells_with_values(cells, "donor_id", many))).item() == 18
    assert len(compile_sql(cells_with_values(cells, "donor_id", many), "bigquery")) < 2**19


def test_caps_come_before_splits_and_both_show_in_a_difference(world: World) -> None:
    first = specification(split={"by": "dataset", "train": ["lung"], "test": ["brain", "liver"]})
    made = plan(world, first)
    assert [split.cells for split in made.splits] == [54, 17]
    assert "split test lists liver (1 in all), which no selected cell has" in made.warnings
    second = specification(
        split={"by": "dataset", "train": ["lung"], "validation": "rest"}, caps={"per": "dataset", "cells": 9}
    )
    difference = curriculum_difference(second, world.warehouse, world.store)
    assert difference.specification_changed == ["caps", "split"]
    assert [change.model_dump() for change in difference.splits] == [
        {"split": "train", "added": 0, "removed": 45, "unchanged": 9},
        {"split": "validation", "added": 9, "removed": 0, "unchanged": 0},
        {"split": "test", "added": 0, "removed": 17, "unchanged": 0},
    ]
    assert difference.bins == (3 + 1, 1 + 1)
    assert curriculum_difference(first, world.warehouse, world.store).is_empty


def test_a_specification_without_a_split_is_what_it_was(world: World) -> None:
    plain = specification()
    assert plain.digest() == "bafda3727dbb12fcdb2e65df27eb3411a670e83182eb2b1a9ea9266ae8ba4615"
    assert specification(split={}, caps=[]) == plain
    assert {"caps", "split"}.isdisjoint(plain.model_dump(mode="json"))
    made = plan(world, plain).model_dump(mode="json")
    assert {"splits", "left_out_by_caps"}.isdisjoint(made)
    assert list(made["bins"][0]) == [
        "bin",
        "first_position",
        "cells",
        "counts",
        "group",
        "min_key",
        "max_key",
        "digest",
    ]


def test_a_dropped_specification_is_read_back(world: World) -> None:
    spec = specification(split={**BY_DONOR, "held-out": ["donor1", None]}, caps={"per": "tissue", "cells": "smallest"})
    drop_specification(world.store, spec)
    assert read_dropped_specification(world.store, "all") == spec
    assert read_dropped_specification(world.store, "all").digest() == spec.digest()


def test_the_order_of_parts_is_another_curriculum() -> None:
    one = specification(split={"by": "cell", "train": 0.5, "test": 0.5})
    other = specification(split={"by": "cell", "shares": {"test": 0.5, "train": 0.5}})
    assert one.digest() != other.digest()


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"by": "donor", "a": 0.5, "b": 0.5}, "split: 'donor' is not a column of the warehouse: did you mean donor_id"),
        ({"by": "n_features", "a": 0.5, "b": 0.5}, "split: n_features is no column of text"),
        ({"by": "original_id", "a": 0.5, "b": 0.5}, "split: original_id differs from cell to cell; write by: cell"),
        ({"by": "donor_id", "a": ["donor0"], "b": ["donor1"]}, r"donor_id donor2 \(2 in all\) is in no part; list it"),
        (
            {"by": "donor_id", "a": ["liver"], "b": "rest"},
            "split a of curriculum all lists liver, but no selected cell",
        ),
        ({"by": "dataset", "a": 0.4, "b": 0.3, "c": 0.3}, "there are only 2 for 3 parts; write by: cell"),
        ({"by": "cell", "a": 1e-9, "b": "rest"}, "split a of curriculum all gets none of 71 cells; give it a larger"),
    ],
)
def test_splits_that_cannot_be_made(world: World, split: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(world, specification(split=split))
    assert not (world.root / "extracts").exists()


def test_an_empty_part_names_a_seed_that_fills_it(world: World) -> None:
    split = {"by": "donor_id", "train": 0.95, "validation": 0.05}
    with pytest.raises(
        InputError, match=r"split validation .* gets none of 4 values of donor_id under seed 3"
    ) as error:
        plan(world, specification(split=split))
    seed = int(str(error.value).partition("write seed: ")[2].partition(",")[0])
    assert {part.name for part in select(specification(split=split, seed=seed), world.warehouse).splits} == {
        "train",
        "validation",
    }


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"train": 0.5, "test": 0.5}, "names no column to split by"),
        ("donor_id", "names no column to split by"),
        ({"by": "donor_id", "train": 1}, "takes two parts or more"),
        ({"by": "donor_id", "train": 0.5, "test": 0.4}, "fractions that come to 0.9, not 1; write rest"),
        ({"by": "donor_id", "train": 1, "test": "rest"}, "leaves nothing for rest"),
        ({"by": "donor_id", "train": "rest", "test": "rest"}, "rest more than once"),
        ({"by": "donor_id", "train": ["d1"], "test": ["d1"]}, "d1 is listed twice; a value is in one part only"),
        ({"by": "donor_id", "train": ["d1", "d1"], "test": "rest"}, "'d1' is listed twice"),
        ({"by": "donor_id", "train": [1], "test": "rest"}, "the value 1 is no text; quote it"),
        ({"by": "donor_id", "train": [], "test": "rest"}, "the list of values is empty"),
        ({"by": "donor_id", "train": 90, "test": 10}, "90 is no share: write a fraction above 0"),
        ({"by": "cell", "train": ["d1"], "test": "rest"}, "by cell takes fractions"),
        ({"by": "donor_id", "Train set": 0.5, "test": 0.5}, "not a split name"),
        ({"by": "donor_id", "shares": {"a": 0.5, "b": 0.5}, "c": 0.5}, "c stands beside shares"),
    ],
)
def test_splits_that_are_none(split: Any, message: str) -> None:
    with pytest.raises((ValueError, InputError), match=message):
        specification(split=split)


def test_the_name_of_the_obs_column_is_taken(world: World) -> None:
    spec = specification(split=BY_DONOR, metadata_extra_columns=["split"])
    with pytest.raises(InputError, match="'split' is the name of another obs column; leave one of the two out"):
        plan(world, spec)
