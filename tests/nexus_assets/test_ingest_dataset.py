"""The job ingest_dataset in this process: what people see when it goes well, and when it does not."""

import base64
import re
import shutil
from typing import Any

import dagster as dg
import polars as pl

from nexus_assets.policy import REQUESTED_BY
from omics_datastore.query.cells import count_by, selected_cells
from omics_datastore.query.filters import CellFilter
from tests.nexus_assets.world import World, checks, failure, make_source, materialized, tree

TABLES = ("cell_info", "feature_info", "ingest_info", "raw_counts")


def test_every_asset_turns_green_with_its_numbers(world: World) -> None:
    first, second = make_source(6, (1, 2, 3), 1), make_source(5, (2, 3, 4, 5), 2)
    world.drop("lung/a", first)
    world.drop("lung/b", second)
    result = world.run("ingest_dataset", "lung", {REQUESTED_BY: "ada"})
    assert result.success, failure(result)
    nonzeros = int((first.X != 0).sum() + (second.X != 0).sum())
    made = materialized(result)
    assert set(made) == {
        "ingest/validation_report",
        "ingest/ingest_files",
        "warehouse/snapshot",
        *(f"warehouse/{name}" for name in TABLES),
    }
    assert (made["ingest/validation_report"]["files"], made["ingest/validation_report"]["refused_files"]) == (2, 0)
    files = made["ingest/ingest_files"]
    assert (files["source_files"], files["ingests"], files["nonzeros"]) == (2, 2, nonzeros)
    assert files["source_bytes"] == sum(path.stat().st_size for path in (world.root / "inbox/lung").iterdir())
    rows = {name: made[f"warehouse/{name}"]["dagster/partition_row_count"] for name in TABLES}
    assert rows == {"cell_info": 11, "raw_counts": 11, "feature_info": 7, "ingest_info": 2}
    for name in TABLES:
        table = made[f"warehouse/{name}"]
        assert (table["committed"], table["ingests_delta"], table["cells_delta"]) == (2, 2, 11)
    assert {metadata["requested_by"] for metadata in made.values()} == {"ada"}
    assert files["bytes"] == sum(path.stat().st_size for path in (world.root / "ingest/lung").rglob("*/*.*"))
    assert checks(result) == {
        "ingest/validation_report:all_files_valid": (True, {"files": 2, "refused": 0}),
        "ingest/ingest_files:files_complete": (True, {"source_files": 2, "ingest_ids": 2}),
        "warehouse/cell_info:rows_match_manifests": (True, {"found": 11, "expected": 11}),
        "warehouse/cell_info:cells_unique": (True, {"found": 11, "expected": 11}),
        "warehouse/raw_counts:rows_match_manifests": (True, {"found": 11, "expected": 11}),
        "warehouse/raw_counts:nonzeros_match_manifests": (True, {"found": nonzeros, "expected": nonzeros}),
        "warehouse/raw_counts:no_orphan_cells": (True, {"found": 0, "expected": 0}),
        "warehouse/feature_info:rows_match_manifests": (True, {"found": 7, "expected": 7}),
        "warehouse/ingest_info:all_committed": (True, {"ingests": 2, "missing": 0}),
    }


def test_the_tables_and_plots_people_see(world: World) -> None:
    world.drop("lung/a", make_source(6, (1, 2, 3), 1))
    world.drop("lung/b", make_source(5, (2, 3, 4, 5), 2))
    made = materialized(world.run("ingest_dataset", "lung"))
    files = records(made["ingest/ingest_files"]["files"])
    assert [(row["source"], row["cells"], row["features"], row["counts_from"]) for row in files] == [
        ("inbox/lung/a.h5ad", 6, 3, "X"),
        ("inbox/lung/b.h5ad", 5, 4, "X"),
    ]
    loaded = records(made["warehouse/cell_info"]["ingests"])
    assert {row["ingest_id"] for row in loaded} == {row["ingest_id"] for row in files}
    snapshot = made["warehouse/snapshot"]
    assert {name: snapshot[name] for name in ("datasets", "ingests", "superseded_ingests", "cells")} == {
        "datasets": 1,
        "ingests": 2,
        "superseded_ingests": 0,
        "cells": 11,
    }
    assert records(snapshot["by_dataset"])[0]["dataset"] == "lung"
    plots = {name: value for name, value in snapshot.items() if name.startswith("plot_")}
    assert set(plots) == {
        f"plot_{name}" for name in ("dataset", "tissue", "cell_type", "assay", "total_mrna_umis", "n_features", "genes")
    }
    kept = {path.stem: path.read_bytes() for path in (world.root / "plots/warehouse/snapshot").iterdir()}
    assert snapshot["plots"] == str(world.root / "plots/warehouse/snapshot")
    assert {f"plot_{name}" for name in kept} == set(plots)
    assert records(snapshot["by_dataset"])[0]["genes"] == 4
    for markdown in plots.values():
        width, height = png_size(markdown)
        assert 400 < width < 900
        assert 100 < height < 900


def test_a_refused_file_fails_the_run_and_nothing_enters(world: World) -> None:
    world.ingest("heart", a=make_source())
    before = tree(world.root / "warehouse")
    world.drop("lung/good", make_source(seed=1))
    bad = world.drop("lung/bad", make_source(seed=2, negative=True))
    result = world.run("ingest_dataset", "lung")
    assert not result.success
    assert failure(result).startswith(f"{bad}: ")
    assert "negative" in failure(result)
    assert "\n" not in failure(result)
    made = materialized(result)
    assert set(made) == {"ingest/validation_report"}
    assert made["ingest/validation_report"]["refused_files"] == 1
    finding = records(made["ingest/validation_report"]["findings"])[0]
    assert (finding["file"], finding["severity"], finding["rule"]) == ("inbox/lung/bad.h5ad", "error", "counts")
    (passed, seen) = checks(result)["ingest/validation_report:all_files_valid"]
    assert (passed, seen["files"], seen["refused"]) == (False, 2, 1)
    assert "/inbox/lung/" in str(seen["reason"])
    assert tree(world.root / "warehouse") == before
    assert not (world.root / "ingest/lung/ingest_set.json").exists()


def test_two_refused_files_are_both_named(world: World) -> None:
    paths = [world.drop(f"lung/{name}", make_source(negative=True, seed=ord(name))) for name in "ab"]
    lines = failure(world.run("ingest_dataset", "lung")).splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(path) for path in paths]


def test_validating_writes_only_the_report(world: World) -> None:
    world.drop("lung/a")
    result = world.run("validate_dataset", "lung")
    assert result.success, failure(result)
    assert set(materialized(result)) == {"ingest/validation_report"}
    assert (world.root / "reports/lung/validation_report.json").exists()
    assert not (world.root / "ingest").exists()
    assert not (world.root / "warehouse").exists()


def test_ingest_files_can_be_made_without_their_report(world: World) -> None:
    world.drop("lung/a")
    result = world.run("ingest_dataset", "lung", asset_selection=[dg.AssetKey(["ingest", "ingest_files"])])
    assert result.success, failure(result)
    assert set(materialized(result)) == {"ingest/ingest_files"}
    assert set(checks(result)) == {"ingest/ingest_files:files_complete"}


def test_the_same_content_again_changes_nothing(world: World) -> None:
    world.ingest("lung", a=make_source())
    before = tree(world.root / "warehouse"), tree(world.root / "ingest")
    made = materialized(world.ingest("lung"))
    loaded, files = made["warehouse/ingest_info"], made["ingest/ingest_files"]
    assert (loaded["committed"], loaded["unchanged"], loaded["cells_delta"]) == (0, 1, 0)
    assert (files["created_now"], "cells_per_second" in files) == (0, False)
    assert (tree(world.root / "warehouse"), tree(world.root / "ingest")) == before


def test_one_content_in_two_files_is_one_ingest(world: World) -> None:
    path = world.drop("lung/a")
    shutil.copy(path, path.with_name("b.h5ad"))
    made = materialized(world.ingest("lung"))
    assert (made["ingest/ingest_files"]["source_files"], made["ingest/ingest_files"]["ingests"]) == (2, 1)
    assert world.warehouse.ingests().height == 1


def test_a_replaced_source_file_supersedes_the_old_one(world: World) -> None:
    world.ingest("lung", a=make_source(6, seed=1))
    old = world.warehouse.ingests()["ingest_id"].to_list()
    before = materialized(world.run("refresh_snapshot", None))["warehouse/snapshot"]
    assert "cells_delta" not in before  # it is the first
    loaded = materialized(world.ingest("lung", a=make_source(4, seed=2)))["warehouse/ingest_info"]
    assert (loaded["ingests_delta"], loaded["cells_delta"]) == (0, -2)
    ingests = world.warehouse.ingests()
    assert ingests.filter(~pl.col("is_current"))["ingest_id"].to_list() == old
    assert ingests.filter("is_current")["cell_count"].to_list() == [4]
    snapshot = materialized(world.run("refresh_snapshot", None))["warehouse/snapshot"]
    assert (snapshot["ingests"], snapshot["superseded_ingests"], snapshot["cells"]) == (1, 1, 4)
    assert (snapshot["ingests_delta"], snapshot["superseded_ingests_delta"], snapshot["cells_delta"]) == (0, 1, -2)


def test_a_file_that_comes_back_becomes_current_again(world: World) -> None:
    world.ingest("lung", a=make_source(6, seed=1))
    world.ingest("lung", a=make_source(4, seed=2))
    world.ingest("lung", a=make_source(6, seed=1))
    assert world.warehouse.ingests().filter("is_current")["cell_count"].to_list() == [6]


def test_a_corrupted_ingest_file_stops_the_load_and_is_mended_by_the_next_ingest(world: World) -> None:
    world.drop("lung/a")
    first = world.run("ingest_dataset", "lung", asset_selection=_INGEST)
    assert first.success, failure(first)
    counts = next((world.root / "ingest/lung").rglob("raw_counts.parquet"))
    content = bytearray(counts.read_bytes())
    content[len(content) // 2] ^= 0xFF
    counts.write_bytes(content)
    load = world.run("ingest_dataset", "lung", asset_selection=_TABLES)
    assert not load.success
    assert str(counts) in failure(load)
    assert "run the ingest again, which mends it" in failure(load)
    assert world.warehouse.ingests().is_empty()
    assert world.ingest("lung").success
    assert world.warehouse.ingests()["cell_count"].to_list() == [6]


def test_a_pipeline_component_can_load_instead(world: World) -> None:
    world.ingest("lung", a=make_source(6, seed=1), b=make_source(5, seed=2))
    other = World(world.root.with_name("other"), client_calls="pipeline")
    made = materialized(other.ingest("lung", a=make_source(6, seed=1), b=make_source(5, seed=2)))
    assert made["warehouse/ingest_info"]["committed"] == 2
    tables = ("cell_info", "feature_info", "raw_counts")
    assert [tree(other.root / "warehouse" / name) for name in tables] == [
        tree(world.root / "warehouse" / name) for name in tables
    ]
    again = materialized(other.ingest("lung"))
    assert (again["warehouse/ingest_info"]["committed"], again["warehouse/ingest_info"]["unchanged"]) == (0, 2)


def test_the_configuration_beside_the_drop_is_used(world: World) -> None:
    (world.root / "inbox").mkdir(parents=True)
    (world.root / "inbox/lung.yaml").write_text("tag: pilot\n")
    world.ingest("lung", a=make_source())
    cells = selected_cells(CellFilter())
    assert world.warehouse.query(count_by(cells, ["tag"])).to_dicts() == [{"tag": "pilot", "cells": 6}]


def test_a_wrong_configuration_fails_the_run_with_its_key(world: World) -> None:
    world.drop("lung/a")
    (world.root / "inbox/lung.yaml").write_text("tagg: pilot\n")
    result = world.run("ingest_dataset", "lung")
    assert failure(result) == f"{world.root}/inbox/lung.yaml: tagg is not a known key."
    assert materialized(result) == {}


def test_a_dataset_that_is_not_in_the_inbox_fails_the_run(world: World) -> None:
    assert "the inbox holds no source file of the dataset 'lung'" in failure(world.run("ingest_dataset", "lung"))


def test_a_partition_key_that_breaks_the_rule_is_refused(world: World) -> None:
    world.drop("Bad Key/a")
    world.instance.add_dynamic_partitions("datasets", ["Bad Key"])
    result = world.run("ingest_dataset", "Bad Key", add=False)
    assert "'Bad Key' is not a dataset name" in failure(result)
    assert "'bad-key'" in failure(result)
    assert materialized(result) == {}


_INGEST = [dg.AssetKey(["ingest", name]) for name in ("validation_report", "ingest_files")]
_TABLES = [dg.AssetKey(["warehouse", name]) for name in TABLES]


def records(table: Any) -> list[dict[str, Any]]:
    assert [column.name for column in table.schema.columns] == list(table.records[0].data)
    return [dict(record.data) for record in table.records]


def png_size(markdown: str) -> tuple[int, int]:
    match = re.fullmatch(r"!\[plot\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", markdown)
    assert match is not None
    content = base64.b64decode(match[1], validate=True)
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
