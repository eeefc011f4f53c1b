from typing import Any

import polars as pl
import pytest
import yaml

from omics_datastore.curriculum.plan import plan_curriculum
from omics_datastore.curriculum.release import old_filter_form, release_curriculum
from omics_datastore.curriculum.versions import (
    CurriculumStatus,
    drop_specification,
    dropped_specifications,
    list_curricula,
    load_specification,
    read_dropped_specification,
    resolve_version,
)
from omics_datastore.errors import InputError
from omics_datastore.query.filters import CellFilter
from omics_datastore.warehouse.folder import FolderWarehouse
from tests.omics_datastore.curriculum.curriculum_world import (
    World,
    build,
    gene,
    make_source,
    shard_paths,
    specification,
)


def resolve(world: World, **changes: Any) -> tuple[int, str]:
    return tuple(resolve_version(specification(**changes), world.warehouse, world.store))  # type: ignore[return-value]


def finish(world: World, version: int, **changes: Any) -> None:
    build(world, specification(**changes), version)
    release_curriculum("all", version, world.store)


def test_new_then_resumed_then_complete(world: World) -> None:
    assert resolve(world) == (1, "new")
    assert resolve(world) == (1, "resume")
    build(world)
    assert resolve(world) == (1, "resume")
    finish(world, 1)
    assert resolve(world) == (1, "complete")
    assert resolve(world, refresh="weekly") == (1, "complete")


def test_another_specification_is_the_next_version(world: World) -> None:
    resolve(world)
    assert resolve(world, seed=9) == (2, "new")
    assert resolve(world) == (3, "new")


def test_a_claim_that_was_broken_off_takes_no_number(world: World) -> None:
    (world.root / "extracts/all/v1").mkdir(parents=True)
    assert list_curricula(world.store) == []
    assert resolve(world) == (1, "new")


def test_only_data_that_is_selected_makes_a_new_version(world: World) -> None:
    lung = {"filter": [{"column": "dataset", "op": "eq", "value": "lung"}]}
    resolve(world, **lung)
    finish(world, 1, **lung)
    world.add("more", make_source(gene(1), 5, 7), dataset="kidney")
    assert resolve(world, **lung) == (1, "complete")
    world.add("more", make_source(gene(1), 5, 7), dataset="lung")
    assert resolve(world, **lung) == (2, "new")


def test_missing_shards_are_made_again_under_the_same_version(world: World) -> None:
    resolve(world)
    finish(world, 1)
    shard_paths(world)[0].unlink()
    assert resolve(world) == (1, "resume")


def test_wrong_specification_claims_nothing(world: World) -> None:
    for changes in ({"obs_columns": ["nothing"]}, {"features": "none"}, {"filter": {"tissue__eq": "moon"}}):
        with pytest.raises(InputError):
            resolve(world, **changes)
    assert list_curricula(world.store) == []


class Overtaken(FolderWarehouse):
    """A warehouse whose first query takes so long that another build claims a version meanwhile."""

    def __init__(self, world: World) -> None:
        super().__init__(world.store, threads=1)
        self._world: World | None = world

    def ingests(self) -> pl.DataFrame:
        world, self._world = self._world, None
        if world is not None:
            assert resolve(world, seed=5) == (1, "new")
        return super().ingests()


def test_race_for_a_number_is_looked_at_again(world: World) -> None:
    assert resolve_version(specification(), Overtaken(world), world.store) == (2, "new")


def test_deleted_version_is_claimed_again_from_the_dropped_specification(world: World) -> None:
    with pytest.raises(InputError, match="no curriculum all"):
        load_specification(world.store, "all", 1)
    drop_specification(world.store, specification())
    assert load_specification(world.store, "all", 1) == specification()
    drop_specification(world.store, specification(seed=8))
    assert load_specification(world.store, "all", 1) == specification()
    assert load_specification(world.store, "all", 2) == specification(seed=8)


def test_dropped_specifications(world: World) -> None:
    world.store.write("curricula/all.yaml", yaml.safe_dump({"name": "all", "refresh": "weekly"}).encode())
    world.store.write("curricula/wrong.yaml", b"name: wrong\nunknown: 1\n")
    world.store.write("curricula/other.yaml", b"name: all\n")
    world.store.write("curricula/notes.txt", b"")
    assert [found.name for found in dropped_specifications(world.store)] == ["all"]
    with pytest.raises(InputError, match="unknown is not a known key"):
        read_dropped_specification(world.store, "wrong")
    with pytest.raises(InputError, match="holds the specification of all"):
        read_dropped_specification(world.store, "other")


def test_list_tells_how_far_each_version_is(world: World) -> None:
    assert list_curricula(world.store) == []
    resolve(world)
    assert list_curricula(world.store) == [CurriculumStatus("all", 1, "claimed", None, None, 0)]
    plan_curriculum(specification(), 1, world.warehouse, world.store, bins_per_group=2)
    assert list_curricula(world.store, "all") == [CurriculumStatus("all", 1, "planned", 71, 4, 0)]
    build(world)
    assert list_curricula(world.store)[0].state == "extracting"
    finish(world, 1)
    resolve(world, seed=1)
    assert [(each.version, each.state) for each in list_curricula(world.store)] == [(1, "released"), (2, "claimed")]
    assert list_curricula(world.store, "none") == []


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], {}),
        ([("tissue", "in", ["lung", "blood"])], {"tissue__in": ["blood", "lung"]}),
        (
            [("n_features", "gt", 3), ("n_features", "gt", 7), ("n_features", "lte", 9)],
            {"n_features__gt": 7, "n_features__lte": 9},
        ),
        ([("tissue", "not_eq", "a"), ("tissue", "not_eq", "b")], {"tissue__not_eq": "a", "tissue__not_in": ["b"]}),
        ([("tissue", "in", ["a", "b"]), ("tissue", "in", ["b", "c"])], {"tissue__in": ["b"]}),
        ([("tissue", "is_null", None)], {"tissue__is_null": True}),
        (
            [("x_ontology_term_id", "descendant_of", "CL:1"), ("x_ontology_term_id", "descendant_of", ["CL:2"])],
            {
                "x_ontology_term_id__descendant_of": ["CL:1"],
                "all": [{"column": "x_ontology_term_id", "op": "descendant_of", "value": ["CL:2"]}],
            },
        ),
    ],
)
def test_filter_in_the_old_form(conditions: list[tuple[str, str, Any]], expected: dict[str, Any]) -> None:
    asked = [{"column": column, "op": op, "value": value} for column, op, value in conditions]
    written = old_filter_form(CellFilter.model_validate(asked))
    assert written == expected


def test_nested_conditions_in_the_old_form_are_a_filter_again() -> None:
    nested = CellFilter.model_validate(
        {"n_features__gt": 3, "any": [{"tissue__eq": "a"}, {"not": {"tissue__eq": "b"}}]}
    )
    written = old_filter_form(nested)
    assert written["n_features__gt"] == 3
    assert CellFilter.model_validate(written).normal() == nested.normal()
