"""What a plan decides: cells, their order, pins, obs columns; and what it refuses."""

import shutil
from typing import Any

import polars as pl
import pytest

from omics_datastore.curriculum.obs_layout import FIXED_COLUMNS, ObsSource, decide_obs_layout
from omics_datastore.curriculum.plan import plan_curriculum
from omics_datastore.curriculum.plan_model import CurriculumPlan, ObsColumn
from omics_datastore.curriculum.selection import select
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.errors import InputError
from omics_datastore.schema.tables import ColumnType
from omics_datastore.shuffle import permutation, rotation
from tests.omics_datastore.curriculum.curriculum_world import (
    World,
    build,
    gene,
    make_source,
    read_shards,
    specification,
    tree,
)


def plan(world: World, spec: CurriculumSpecification | None = None, version: int = 1, bins: int = 2) -> CurriculumPlan:
    return plan_curriculum(spec or specification(), version, world.warehouse, world.store, bins_per_group=bins)


def planned_cells(world: World, made: CurriculumPlan) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(world.root / group.key) for group in made.groups])


def columns(made: CurriculumPlan) -> dict[str, ObsColumn]:
    return {column.name: column for column in made.obs_columns}


@pytest.mark.parametrize("seed", [0, 3, 2**63 - 1])
def test_cells_are_rotated_and_permuted_by_the_seed(world: World, seed: int) -> None:
    cells = planned_cells(world, plan(world, specification(seed=seed)))
    assert cells["position"].to_list() == list(range(71))
    assert cells["bin"].to_list() == [place // 20 for place in range(71)]
    first = rotation(seed)
    keys = pl.concat([pl.read_parquet(path) for path in world.root.glob("ingest/*/*/cell_info.parquet")])
    expected = sorted(
        keys.select("shuffle_key", "ingest_id", "cell_index").rows(), key=lambda row: (row[0] < first, row)
    )
    found = cells.select("shuffle_key", "ingest_id", "cell_index").rows()
    for number in range(4):
        ordered = expected[number * 20 : number * 20 + 20]
        places = permutation(len(ordered), seed, number)
        assert found[number * 20 : number * 20 + 20] == [ordered[place] for place in places]


@pytest.mark.parametrize("limit", [9, 70])
@pytest.mark.parametrize("seed", [0, 3])
def test_cells_that_are_ordered_in_spans_of_keys_are_planned_the_same(world: World, limit: int, seed: int) -> None:
    whole = plan(world, specification(seed=seed))
    files = tree(world)
    shutil.rmtree(world.root / "extracts")
    world.warehouse.sort_limit = limit
    assert plan(world, specification(seed=seed)) == whole
    assert tree(world) == files


def test_seeds_give_other_orders(world: World) -> None:
    orders = {
        tuple(planned_cells(world, plan(world, specification(name=f"s{seed}", seed=seed)))["shuffle_key"])
        for seed in range(4)
    }
    assert len(orders) == 4


def test_plan_stays_when_data_changes_and_a_new_version_sees_it(world: World) -> None:
    first = plan(world)
    before = tree(world)
    world.add("a", make_source(gene(1, 2), 50, 9))
    assert plan(world) == first
    assert tree(world) == before
    assert plan(world, version=2).total_cells == 71 - 31 + 50
    build(world)
    assert sum(shard.n_obs for shard in read_shards(world)) == 71


def test_lost_files_are_planned_again_from_the_pinned_ingests(world: World) -> None:
    first = plan(world)
    before = tree(world)
    world.add("a", make_source(gene(1, 2), 50, 9))
    (world.root / first.groups[1].key).unlink()
    assert plan(world) == first
    assert tree(world) == before


def test_another_specification_under_a_planned_version_is_refused(world: World) -> None:
    plan(world)
    with pytest.raises(InputError, match=r"all\.v1 was planned from another specification"):
        plan(world, specification(seed=4))


def test_leftovers_of_an_unfinished_plan_are_removed(world: World) -> None:
    build(world, specification(bin_size=5))
    (world.root / "extracts/all/v1/plan/plan.json").unlink()
    plan(world)
    names = set(tree(world))
    assert not [name for name in names if "000004" in name]
    assert "extract_files/extract_000003.h5ad" in names


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([("cell_type", "eq", "gamma")], "condition 1, cell_type eq 'gamma', holds for none of the 71 cells of all"),
        (
            [("dataset", "eq", "brain"), ("metadata_extra.only_here", "not_null", None), ("cell_type", "eq", "none")],
            "condition 2, metadata_extra.only_here not_null, holds for none of the 17 cells left by",
        ),
        (
            [("dataset", "eq", "brain"), ("cell_type_ontology_term_id", "descendant_of", "CL:0000084")],
            r"condition 2, cell_type_ontology_term_id descendant_of \['CL:0000084'\], holds for none of the 17 cells",
        ),
    ],
)
def test_no_cell_names_the_condition(world: World, conditions: list[tuple[str, str, Any]], message: str) -> None:
    asked = [{"column": column, "op": op, "value": value} for column, op, value in conditions]
    with pytest.raises(InputError, match=message):
        plan(world, specification(filter=asked))
    assert not (world.root / "extracts").exists()


def test_no_cell_names_the_nested_condition_as_a_whole(world: World) -> None:
    nested = {"n_features__gte": 0, "any": [{"cell_type__eq": "gamma"}, {"not": {"n_features__gte": 0}}]}
    message = (
        r"condition 2, any \(cell_type eq 'gamma'; not \(n_features gte 0\)\), holds for none of the 71 cells left"
    )
    with pytest.raises(InputError, match=message):
        plan(world, specification(filter=nested))


def test_a_plan_keeps_what_descendant_of_meant(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    terms = ["CL:0000624", "CL:0000236", None] * 4
    world.add("t", make_source(gene(1, 2), 12, 9, {"cell_type_ontology_term_id": terms}), "t")
    asked = specification(filter={"cell_type_ontology_term_id__descendant_of": "CL:0000084"})
    first = plan(world, asked)
    assert first.total_cells == 4
    assert first.ontology is not None
    assert first.ontology.version.startswith("CL v")
    assert "CL:0000624" in first.ontology.terms["CL:0000084"]
    before = tree(world)
    (world.root / first.groups[0].key).unlink()
    # Ontologies that have moved on since: nothing is below a term any more.
    monkeypatch.setattr("omics_datastore.query.ontology._descendants", lambda _, term, *__: (term,))
    assert plan(world, asked) == first
    assert tree(world) == before
    with pytest.raises(InputError, match="holds for none of the 83 cells"):
        plan(world, asked, version=2)


def test_order_and_brackets_of_a_filter_make_no_other_curriculum(world: World) -> None:
    one = specification(filter=[{"n_features__gte": 1}, {"cell_type__in": ["T cell"]}])
    same = specification(filter={"all": [{"cell_type__eq": "T cell"}, {"n_features__gte": 1}]})
    assert one.digest() == same.digest()
    assert plan(world, one).specification_digest == plan(world, same).specification_digest


def test_empty_warehouse(empty_world: World) -> None:
    with pytest.raises(InputError, match="no dataset yet"):
        plan(empty_world)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"obs_columns": ["cell_typ"]}, "did you mean cell_type"),
        ({"obs_columns": ["metadata_extra.batch"]}, "write 'batch' under metadata_extra_columns"),
        ({"obs_columns": ["metadata_extra"]}, "metadata_extra"),
        ({"metadata_extra_columns": ["cell_type"]}, "another obs column"),
        ({"metadata_extra_columns": ["original_id"]}, "another obs column"),
        ({"metadata_extra_columns": ["metadata_extra.batch"]}, "write 'batch'"),
        ({"metadata_extra_columns": ["a/b"]}, "no '/'"),
        ({"features": "nowhere"}, "no feature schema nowhere"),
    ],
)
def test_wrong_columns_and_features(world: World, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(world, specification(**changes))


def test_genes_that_nobody_measured(world: World) -> None:
    world.store.write("feature_schemas/mouse.csv", b"ensembl_id\nENSMUSG00000000001\n")
    with pytest.raises(InputError, match="no gene of feature schema mouse"):
        plan(world, specification(features="mouse"))
    world.add("d", make_source(gene(77), 5, 4))
    with pytest.raises(InputError, match="no gene of the intersection"):
        plan(world, specification(features="intersection"))


def test_obs_columns_once_and_in_order(world: World) -> None:
    spec = specification(obs_columns=["donor_id", "cell_index", "donor_id", "n_features", "ingest_id"])
    assert list(columns(plan(world, spec))) == [*FIXED_COLUMNS, "donor_id", "n_features", "batch"]


def test_text_over_the_limit_is_plain_text_everywhere(world: World) -> None:
    build(world, specification(category_limit=3))
    shards = read_shards(world)
    assert [str(shard.obs["donor_id"].dtype) for shard in shards] == ["object"] * 4
    assert {str(shard.obs["cell_type"].dtype) for shard in shards} == {"category"}
    assert set(shards[0].obs["donor_id"]) <= {f"donor{number}" for number in range(4)}


def test_null_text_over_the_limit_is_empty(world: World) -> None:
    build(world, specification(category_limit=1))
    batches = [value for shard in read_shards(world) for value in shard.obs["batch"]]
    assert batches.count("") == 23
    assert set(batches) == {"", "b0", "b1"}


def test_columns_without_any_value_stay(world: World) -> None:
    made, _ = build(world, specification(obs_columns=["disease", "tag"], metadata_extra_columns=["no such key"]))
    shards = read_shards(world)
    for name in ("disease", "tag", "no such key"):
        assert columns(made)[name].categories == []
        assert {shard.obs[name].cat.codes.unique().tolist()[0] for shard in shards} == {-1}
    assert "obs column disease (disease) is null in every selected cell" in made.warnings


def test_booleans_with_nulls_are_nullable_everywhere(world: World) -> None:
    source = make_source(gene(1), 9, 5)
    del source.obs["is_primary_data"]
    world.add("d", source)
    build(world)
    shards = read_shards(world)
    assert {str(shard.obs["is_primary_data"].dtype) for shard in shards} == {"boolean"}
    assert sum(shard.obs["is_primary_data"].isna().sum() for shard in shards) == 9


def test_whole_numbers_with_nulls_are_float(world: World) -> None:
    # The tables have no nullable whole numbers today; the rule is there for when they do.
    cells = select(specification(), world.warehouse).cells
    asked = [
        ObsSource("some", "metadata_extra.batch", ColumnType.INT64),
        ObsSource("all", "n_features", ColumnType.INT64),
    ]
    layout = decide_obs_layout(asked, cells, world.warehouse, 10)
    assert [column.kind for column in layout] == ["float64", "int64"]


def test_keys_of_metadata_extra_meet_no_column_of_the_plan(world: World) -> None:
    for number, name in enumerate(("bin", "position", "obs.bin", "Batch", "with space", "ünïcode")):
        source = make_source(gene(1), 5, 20 + number, {name: [f"{name}{row}" for row in range(5)]})
        world.add(f"e{number}", source)
    names = ["bin", "position", "obs.bin", "Batch", "batch", "with space", "ünïcode"]
    build(world, specification(metadata_extra_columns=names))
    shards = read_shards(world)
    assert shards[0].obs.columns.tolist()[-7:] == names
    for name in names:
        values = {value for shard in shards for value in shard.obs[name].dropna()}
        assert values == ({"b0", "b1"} if name == "batch" else {f"{name}{row}" for row in range(5)})


def test_smallest_symbol_names_a_gene(world: World) -> None:
    source = make_source(gene(1, 42), 5, 30)
    source.var["feature_name"] = ["a symbol", ""]
    world.add("d", source)
    build(world)
    names = read_shards(world)[0].var["feature_name"]
    assert names[gene(1)[0]] == "a symbol"
    assert names[gene(42)[0]] == gene(42)[0]
