"""The job build_curriculum in this process: plan, shards and release, and what people see of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest

from omics_datastore.curriculum.feature_schema import add_feature_schema
from omics_datastore.storage.layout import curriculum_folder
from tests.nexus_assets.world import World, checks, differences, failure, make_source, materialized, tree

FIRST, SECOND = make_source(6, (1, 2, 3), 1), make_source(5, (2, 3, 4, 5), 2, tissue="blood")


@pytest.fixture
def two_sources(world: World) -> World:
    world.ingest("lung", a=FIRST, b=SECOND)
    return world


def test_a_curriculum_over_the_union_equals_its_sources(two_sources: World) -> None:
    partition, result = two_sources.build(features="union")
    assert result.success, failure(result)
    assert partition == "all.v1"
    shards = read_shards(two_sources)
    assert [shard.n_obs for shard in shards] == [4, 4, 3]
    assert assert_equals(shards, [FIRST, SECOND]) == 11
    made = materialized(result)
    assert set(made) == {"curriculum/plan", "curriculum/extract", "curriculum/release"}
    assert made["curriculum/plan"]["dagster/partition_row_count"] == 11
    assert (made["curriculum/plan"]["bins"], made["curriculum/plan"]["features"]) == (3, 5)
    assert made["curriculum/plan"]["specification"]["name"] == "all"
    extract = made["curriculum/extract"]
    assert (extract["shards"], extract["written_now"], extract["kept"]) == (3, 3, 0)
    assert extract["bytes"] == sum(len(content) for content in shard_bytes(two_sources).values())
    assert [row.data["cells"] for row in extract["first_shards"].records] == [4, 4, 3]
    plots = sorted((two_sources.root / "plots/curriculum/extract/all.v1").iterdir())
    assert [path.name for path in plots] == ["composition.png", "shard_sizes.png"]
    assert extract["plots"] == str(plots[0].parent)
    assert all(extract[f"plot_{path.stem}"].startswith("![plot](data:image/png;base64,") for path in plots)
    release = made["curriculum/release"]
    assert (release["shards"], release["genes"]) == (3, 5)
    assert release["release"].endswith("extracts/all/v1/release.json")
    assert release["load_with_anndata"].startswith("```python\n")
    compared = checks(result)
    assert set(compared) == {
        "curriculum/plan:bins_cover_all_cells",
        "curriculum/extract:all_shards_present",
        "curriculum/extract:cells_round_trip",
        "curriculum/release:loader_opens_shards",
    }
    assert all(passed for passed, _ in compared.values())
    assert compared["curriculum/plan:bins_cover_all_cells"][1] == {"cells": 11, "in_bins": 11, "of_pinned_ingests": 11}
    assert compared["curriculum/extract:cells_round_trip"][1]["compared_cells"] == 11
    assert compared["curriculum/release:loader_opens_shards"][1]["shards_opened"] == 3


def test_the_loader_that_is_shown_runs(two_sources: World) -> None:
    _, result = two_sources.build()
    program = materialized(result)["curriculum/release"]["load_with_anndata"]
    names: dict[str, Any] = {}
    exec(program.removeprefix("```python\n").removesuffix("\n```"), names)  # noqa: S102 - what a user would paste
    assert any(getattr(value, "n_obs", 0) for value in names.values())


def test_a_curriculum_over_the_intersection(two_sources: World) -> None:
    _, result = two_sources.build(features="intersection")
    assert result.success, failure(result)
    shards = read_shards(two_sources)
    assert shards[0].var_names.tolist() == ["ENSG00000000002", "ENSG00000000003"]
    assert assert_equals(shards, [FIRST, SECOND]) == 11


def test_a_curriculum_over_a_feature_schema(two_sources: World) -> None:
    add_feature_schema(two_sources.store, "mine", b"ensembl_id,symbol\nENSG00000000005,E\nENSG00000000009,\n")
    registered = two_sources.run("register_feature_schema", "mine")
    shown = materialized(registered)["curriculum/feature_schema"]
    assert (shown["features"], shown["without_symbol"]) == (2, 1)
    assert [record.data for record in shown["measured_by_dataset"].records] == [
        {"dataset": "lung", "ingests": 2, "measured": 1, "measured_by_all": 0}
    ]
    _, result = two_sources.build(features="mine")
    assert result.success, failure(result)
    shards = read_shards(two_sources)
    assert shards[0].var_names.tolist() == ["ENSG00000000005", "ENSG00000000009"]
    assert assert_equals(shards, [FIRST, SECOND]) == 11


def test_a_feature_schema_that_cannot_be_read_fails_its_run(world: World) -> None:
    path = world.root / "feature_schemas/bad.csv"
    path.parent.mkdir(parents=True)
    path.write_text("gene\nENSG00000000001\n")
    assert "has no column ensembl_id" in failure(world.run("register_feature_schema", "bad"))


def test_only_selected_cells_are_in(two_sources: World) -> None:
    _, result = two_sources.build(filter=[{"column": "tissue", "op": "eq", "value": "blood"}])
    assert result.success, failure(result)
    shards = read_shards(two_sources)
    assert assert_equals(shards, [FIRST, SECOND]) == 5
    assert {value for shard in shards for value in shard.obs["tissue"]} == {"blood"}


def test_a_deleted_extract_is_built_again_byte_for_byte(two_sources: World) -> None:
    asked = {"caps": {"per": "tissue", "cells": 5}, "split": {"by": "tissue", "train": ["lung"], "test": "rest"}}
    _, first = two_sources.build(**asked)
    made = materialized(first)
    assert (made["curriculum/plan"]["left_out_by_caps"], made["curriculum/plan"]["bins"]) == (1, 4)
    assert [row.data["split"] for row in made["curriculum/plan"]["splits"].records] == ["train", "test"]
    assert [row.data["cells"] for row in made["curriculum/release"]["splits"].records] == [5, 5]
    assert checks(first)["curriculum/plan:bins_cover_all_cells"][0]
    before = tree(two_sources.root / "extracts")
    shutil.rmtree(two_sources.root / "extracts")
    partition, result = two_sources.build(**asked)
    assert (partition, result.success) == ("all.v1", True)
    assert differences(tree(two_sources.root / "extracts"), before) == []


def test_only_what_is_missing_is_made_again(two_sources: World) -> None:
    two_sources.build()
    before = tree(two_sources.root / "extracts")
    (two_sources.root / "extracts/all/v1/extract_files/extract_000001.h5ad").unlink()
    result = two_sources.run("build_curriculum", "all.v1")
    extract = materialized(result)["curriculum/extract"]
    assert (extract["written_now"], extract["kept"]) == (1, 2)
    assert differences(tree(two_sources.root / "extracts"), before) == []


def test_new_data_is_a_new_version_and_the_old_one_still_rebuilds(two_sources: World) -> None:
    two_sources.build()
    before = tree(two_sources.root / "extracts/all/v1")
    two_sources.ingest("lung", a=make_source(3, (1, 2, 3), 7))
    partition, result = two_sources.build()
    assert (partition, result.success) == ("all.v2", True)
    assert materialized(result)["curriculum/plan"]["dagster/partition_row_count"] == 8
    shutil.rmtree(two_sources.root / "extracts/all/v1/extract_files")
    again = two_sources.run("build_curriculum", "all.v1")
    # The source of the old version was replaced, which is a note and no failure.
    passed, seen = checks(again)["curriculum/extract:cells_round_trip"]
    assert passed
    assert "changed since it was ingested" in seen["notes"]
    assert differences(tree(two_sources.root / "extracts/all/v1"), before) == []


@pytest.mark.parametrize("bins_per_group", [1, 50])
def test_components_give_the_same_as_the_dagster_process(world: World, bins_per_group: int) -> None:
    other = World(world.root.with_name("other"), client_calls="pipeline", bins_per_group=bins_per_group)
    for each in (world, other):
        each.ingest("lung", a=FIRST, b=SECOND)
        _, result = each.build()
        assert result.success, failure(result)
    assert differences(shard_bytes(other), shard_bytes(world)) == []
    one, two = (json.loads((each.root / "extracts/all/v1/release.json").read_bytes()) for each in (world, other))
    for release in (one, two):
        release.pop("document_digest")
        for ingest in release["ingests"]:
            ingest.pop("source_uri")
    assert one == two


def test_a_curriculum_without_cells_names_the_condition(two_sources: World) -> None:
    (two_sources.root / "curricula").mkdir()
    specification = "name: none\nfilter: [{column: tissue, op: eq, value: brain}]\n"
    (two_sources.root / "curricula/none.yaml").write_text(specification)
    result = two_sources.run("build_curriculum", "none.v1")
    assert "condition 1, tissue eq 'brain', holds for none of the 11 cells" in failure(result)
    assert materialized(result) == {}
    assert not list((two_sources.root / "extracts").rglob("*.h5ad"))


@pytest.mark.parametrize("key", ["all", "all.v0", "all.v1.5", "All.v1", "../x.v1"])
def test_a_partition_key_that_breaks_the_rule_is_refused(world: World, key: str) -> None:
    world.instance.add_dynamic_partitions("curricula", [key])
    assert f"{key!r} is not a curriculum version" in failure(world.run("build_curriculum", key, add=False))


def test_a_shard_that_is_damaged_after_extraction_is_not_released(two_sources: World) -> None:
    from nexus_assets.defs.curriculum.release import RELEASE

    two_sources.build()
    folder = two_sources.root / curriculum_folder("all", 1)
    (folder / "release.json").unlink()
    shard = folder / "extract_files/extract_000000.h5ad"
    shard.write_bytes(shard.read_bytes()[:-900])
    import dagster as dg

    result = two_sources.run("build_curriculum", "all.v1", asset_selection=[dg.AssetKey(RELEASE)])
    assert not result.success
    passed, seen = checks(result)["curriculum/release:loader_opens_shards"]
    assert not passed
    assert seen["first_problem"].startswith("extract_000000.h5ad cannot be opened")
    assert not (folder / "release.json").exists()


def read_shards(world: World) -> list[ad.AnnData]:
    return [ad.read_h5ad(path) for path in _shard_paths(world)]


def shard_bytes(world: World) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in _shard_paths(world)}


def _shard_paths(world: World) -> list[Path]:
    return sorted((world.root / "extracts/all/v1/extract_files").iterdir())


def assert_equals(shards: list[ad.AnnData], sources: list[ad.AnnData]) -> int:
    """Compare every count of every shard with its source, and say how many different cells there were."""
    by_name = {name: (source, row) for source in sources for row, name in enumerate(source.obs_names)}
    seen: set[str] = set()
    for shard in shards:
        for row, name in enumerate(shard.obs["original_id"].astype(str)):
            source, place = by_name[name]
            counts = dict(zip(source.var_names, source.X[place].toarray().ravel(), strict=True))
            expected = [counts.get(gene, 0) for gene in shard.var_names]
            assert np.array_equal(shard.X[row].toarray().ravel(), expected)
            assert shard.obs["tissue"].iloc[row] == source.obs["tissue"].iloc[place]
            seen.add(name)
    assert len(seen) == sum(shard.n_obs for shard in shards)
    return len(seen)
