"""Caps: never exceeded, nothing left out that fits, chosen by the seed, and the same when a version is made again."""

import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omics_datastore.curriculum.difference import curriculum_difference
from omics_datastore.curriculum.plan import plan_curriculum
from omics_datastore.curriculum.release import release_curriculum
from omics_datastore.curriculum.selection import Selection, cells_left_out, select
from omics_datastore.errors import InputError
from omics_datastore.query.caps import capped_cells, group_sizes
from omics_datastore.query.cells import cell_column
from omics_datastore.query.compile import compile_sql
from omics_datastore.shuffle import mixing_rounds
from tests.omics_datastore.curriculum.curriculum_world import (
    COMMITTED,
    World,
    assert_equals_sources,
    build,
    gene,
    make_source,
    open_world,
    read_shards,
    specification,
    tree,
)

COLUMNS = ("cell_type", "donor_id", "metadata_extra.batch")


def cells_of(world: World, selection: Selection) -> list[dict[str, Any]]:
    values = {name: cell_column(selection.cells, name) for name in (*COLUMNS, "ingest_id", "cell_index")}
    return world.warehouse.query(selection.cells.select(**values)).to_dicts()


def groups(rows: list[dict[str, Any]], per: tuple[str, ...]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row[name] for name in per) for row in rows)


def places(rows: list[dict[str, Any]]) -> set[tuple[str, int]]:
    return {(row["ingest_id"], row["cell_index"]) for row in rows}


ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b", None, ""]), st.sampled_from([True, False, None]), st.integers(0, 2**63 - 1)),
    min_size=1,
    max_size=60,
)


TYPES = {"cell_type": "string", "is_primary_data": "boolean", "shuffle_key": "int64"}
CELLS = ibis.table({**TYPES, "ingest_id": "string", "cell_index": "int64"}, name="cells")


def answer(rows: Sequence[tuple[str | None, bool | None, int]], expression: ir.Table) -> pl.DataFrame:
    frame = pl.DataFrame(rows, dict(zip(TYPES, (pl.String, pl.Boolean, pl.Int64), strict=True)), orient="row")
    frame = frame.with_columns(ingest_id=pl.lit("a@0"), cell_index=pl.int_range(pl.len()))
    with duckdb.connect() as connection:
        connection.from_arrow(frame.to_arrow()).create_view("cells")
        found: pl.DataFrame = connection.sql(compile_sql(expression, "duckdb")).pl()
        return found


@settings(max_examples=20, deadline=None)
@given(ROWS, st.booleans(), st.none() | st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**63 - 1))
def test_a_cap_is_never_exceeded_and_leaves_out_no_more_than_it_must(
    rows: list[tuple[str | None, bool | None, int]], both: bool, most: int | None, at_least: int, seed: int
) -> None:
    names = ["cell_type", "is_primary_data"] if both else ["cell_type"]
    sizes = Counter(row[: len(names)] for row in rows)
    stays = {group: size for group, size in sizes.items() if size >= at_least}
    limit = most or min(stays.values(), default=1)
    fits = sum(size if most is None else min(size, most) for size in stays.values())
    summed = answer(rows, group_sizes(CELLS, names, most, at_least)).rows()
    assert summed == [(len(rows), max(sizes.values()), len(stays), min(stays.values(), default=None), fits)]
    kept = answer(rows, capped_cells(CELLS, names, limit, at_least, mixing_rounds("cap", seed, 1)))
    assert kept.columns == list(CELLS.columns)
    assert kept["cell_index"].n_unique() == kept.height
    assert Counter(kept.select(names).rows()) == {group: min(size, limit) for group, size in stays.items()}


def test_a_second_cap_does_not_prefer_what_the_first_cut_most() -> None:
    keys = np.random.default_rng(0).integers(0, 2**63, 3200).tolist()
    rows = [("large" if number < 3000 else "small", None, key) for number, key in enumerate(keys)]
    first = capped_cells(CELLS, ["cell_type"], 200, 1, mixing_rounds("cap", 3, 1))
    both = capped_cells(first, ["is_primary_data"], 100, 1, mixing_rounds("cap", 3, 2))
    # 100 of 400 without replacement: the standard deviation is 4.3.
    assert abs(answer(rows, both)["cell_type"].to_list().count("large") - 50) < 22


def test_caps_apply_one_after_the_other(world: World) -> None:
    first = {"per": ["cell_type", "metadata_extra.batch"], "cells": 7}
    second = {"per": "donor_id", "cells": "smallest", "at_least": 15}
    once = cells_of(world, select(specification(caps=first), world.warehouse))
    sizes = [size for size in groups(once, ("donor_id",)).values() if size >= 15]
    assert len(sizes) < 4
    both = select(specification(caps=[first, second]), world.warehouse)
    kept = cells_of(world, both)
    assert places(kept) < places(once)
    assert list(groups(kept, ("donor_id",)).values()) == [min(sizes)] * len(sizes)
    assert [effect.left_out for effect in both.caps] == [71 - len(once), len(once) - len(kept)]


def test_the_seed_chooses_and_new_cells_only_push_out(tmp_path: Path) -> None:
    world = open_world(tmp_path / "nexus")
    world.add("a", make_source(gene(1), 120, 1))
    caps = [{"per": "cell_type", "cells": 20}]
    before = places(cells_of(world, select(specification(caps=caps), world.warehouse)))
    assert before != places(cells_of(world, select(specification(caps=caps, seed=4), world.warehouse)))
    world.add("b", make_source(gene(1), 60, 2))
    after = places(cells_of(world, select(specification(caps=caps), world.warehouse)))
    old = {ingest_id for ingest_id, _ in before}
    assert {place for place in after if place[0] in old} < before
    assert len(after) == len(before) == 60


def test_a_capped_curriculum_is_built_and_made_again(world: World) -> None:
    # Of the smallest file no cell is left, but without it no group would have enough.
    caps = [{"per": "cell_type", "cells": 9, "at_least": 20}, {"per": "dataset", "cells": 12, "at_least": 13}]
    spec = specification(caps=caps, bin_size=5, group_by=["donor_id"])
    plan, _ = build(world, spec)
    release = release_curriculum("all", 1, world.store)
    assert assert_equals_sources(world, read_shards(world)) == plan.total_cells == 12
    assert [one.cells for one in release.left_out_by_caps] == [71 - 27, 27 - 12]
    assert release.left_out_by_caps[0].by == "at most 9 cells of each cell_type that has at least 20"
    unused = [ingest for ingest in plan.ingests if not ingest.cells]
    assert [ingest.dataset for ingest in unused] == ["brain"]
    assert set(plan.obs_columns[0].categories or []) == {i.ingest_id for i in plan.ingests} - {unused[0].ingest_id}
    before = tree(world)
    world.add("d", make_source(gene(1), 30, 9))
    shutil.rmtree(world.root / "extracts/all/v1/plan")
    (world.root / "extracts/all/v1/extract_files/extract_000001.h5ad").unlink()
    assert build(world, spec)[0] == plan
    release_curriculum("all", 1, world.store)
    assert tree(world) == before


def test_a_difference_sees_the_capped_cells(world: World) -> None:
    plan_curriculum(specification(), 1, world.warehouse, world.store, bins_per_group=2)
    capped = curriculum_difference(specification(caps={"per": "cell_type", "cells": 4}), world.warehouse, world.store)
    assert capped.specification_changed == ["caps"]
    assert capped.total_cells == (71, 12)
    assert sum(change.unchanged for change in capped.cells) == 12


def test_what_primary_only_left_out_does_not_depend_on_caps(world: World) -> None:
    whole = specification(primary_only=True)
    capped = specification(primary_only=True, caps={"per": "dataset", "cells": 2})
    left_out = [cells_left_out(each, world.warehouse, select(each, world.warehouse)) for each in (whole, capped)]
    assert left_out == [34, 34]


@pytest.mark.parametrize(
    ("caps", "message"),
    [
        ([{"per": "cell_type", "cells": 9, "at_least": 1000}], r"leaves none of 71 cells: .* write at_least: \d+ or"),
        ([{"per": "donor", "cells": 9}], "caps: 'donor' is not a column of the warehouse: did you mean donor_id"),
        ([{"per": "cell_index", "cells": 9}], "caps: cell_index differs from cell to cell"),
    ],
)
def test_caps_that_cannot_be_applied(world: World, caps: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_curriculum(specification(caps=caps), 1, world.warehouse, world.store, bins_per_group=2)


@pytest.mark.parametrize(
    ("cap", "message"),
    [
        ({"per": [], "cells": 1}, "names no column"),
        ({"per": ["a", "a"], "cells": 1}, "names a column twice"),
        ({"per": "a", "cells": 0}, "0 is no number of cells: write one from 1, or smallest"),
        ({"per": "a", "cells": "least"}, "write one from 1, or smallest"),
        ({"per": "a", "cells": True}, "write one from 1, or smallest"),
        ({"per": "a", "cells": 1, "at_least": 0}, "greater than or equal to 1"),
        ({"per": "a"}, "Field required"),
        ({"per": "a", "cells": 1, "most": 1}, "not permitted"),
        ("cell_type", "valid tuple"),
    ],
)
def test_caps_that_are_none(cap: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        specification(caps=cap)


def test_retired_datasets_are_not_a_missing_one(world: World) -> None:
    world.warehouse.retire(["lung", "brain"], COMMITTED + timedelta(days=1))
    with pytest.raises(InputError, match="every dataset of the warehouse is retired; ingest one again"):
        select(specification(), world.warehouse)
