"""Cells that are published elsewhere too are left out of new specifications, visibly, and can be asked for."""

import shutil

import pytest

from omics_datastore.curriculum.plan import plan_curriculum
from omics_datastore.curriculum.release import extract_metadata, release_curriculum
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.versions import drop_specification, parse_specification, read_dropped_specification
from omics_datastore.errors import InputError
from omics_datastore.query.filters import CellFilter
from tests.omics_datastore.curriculum.curriculum_world import World, build, gene, make_source


def written(text: str = "") -> CurriculumSpecification:
    return parse_specification(f"name: all\nbin_size: 20\nobs_columns: [dataset]\n{text}", "all.yaml")


@pytest.mark.parametrize(
    ("text", "primary_only"),
    [
        ("", True),
        ("filter: [{column: tissue, op: eq, value: lung}]", True),
        ("primary_only: false", False),
        ("filter: {is_primary_data__eq: false}", False),
        ("filter: [{not: {any: [{column: is_primary_data, op: is_null}, {column: sex, op: is_null}]}}]", False),
        ("filter: {is_primary_data__not_null: true}\nprimary_only: true", True),
    ],
)
def test_what_somebody_writes_is_primary_only_unless_it_says_otherwise(text: str, primary_only: bool) -> None:
    assert written(text).primary_only is primary_only
    assert "nonsense" not in str(written(text).filter)


def test_a_specification_of_an_older_nexus_stays_what_it_was() -> None:
    assert CurriculumSpecification.model_validate({"name": "all"}).primary_only is False


def test_a_wrong_filter_is_still_named() -> None:
    with pytest.raises(InputError, match="filter"):
        written("filter: [{column: tissue, op: nonsense, value: 1}]")


@pytest.mark.parametrize("text", ["primary_only: false", "primary_only: true", "filter: {is_primary_data__eq: false}"])
def test_a_dropped_specification_is_read_back(world: World, text: str) -> None:
    drop_specification(world.store, written(text))
    assert read_dropped_specification(world.store, "all") == written(text)


def test_nulls_stay_and_what_is_left_out_is_counted(world: World) -> None:
    unknown = make_source(gene(1, 2), 9, 4, {"is_primary_data": None})
    world.add("d", unknown, dataset="unknown")
    primary = sum(
        int(source.obs["is_primary_data"].sum()) for source in world.sources.values() if source is not unknown
    )
    every = sum(source.n_obs for source in world.sources.values())
    plan = plan_curriculum(written(), 1, world.warehouse, world.store, bins_per_group=2)
    assert plan.total_cells == primary + 9
    assert plan.left_out_not_primary == every - plan.total_cells > 0
    everything = plan_curriculum(written("primary_only: false"), 2, world.warehouse, world.store, bins_per_group=2)
    assert (everything.total_cells, everything.left_out_not_primary) == (every, 0)
    assert CellFilter.model_validate(extract_metadata(plan).filters).normal() == written().cell_filter.normal()


def test_the_count_stays_when_the_version_is_made_again(world: World) -> None:
    all_copies = make_source(gene(1, 2), 9, 4, {"is_primary_data": [False] * 9})
    world.add("d", all_copies, dataset="copies")
    plan, _ = build(world, written())
    release = release_curriculum("all", 1, world.store)
    assert release.left_out_not_primary == plan.left_out_not_primary > 9
    (world.root / "extracts/all/v1/plan/features.parquet").unlink()
    assert build(world, written())[0] == plan
    shutil.rmtree(world.root / "extracts/all/v1/plan")
    assert build(world, written())[0] == plan


def test_a_selection_without_primary_cells_says_how_to_take_them(empty_world: World) -> None:
    empty_world.add("a", make_source(gene(1, 2), 9, 4, {"is_primary_data": [False] * 9}))
    with pytest.raises(
        InputError, match=r"condition 1, any .*none of the 9 cells of all; primary_only: false takes them"
    ):
        plan_curriculum(written(), 1, empty_world.warehouse, empty_world.store, bins_per_group=2)
