"""One run over many datasets: each has its own materializations and checks, and none suffers from another."""

from collections import Counter
from typing import Any

import dagster as dg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_assets.batches import batch_tags, divide, partitions_of
from nexus_assets.partition_results import FAILED
from nexus_resources.pipelines.scripted import ScriptedPipelines
from tests.nexus_assets.world import COMPONENTS, World, failure, make_source

TABLES = [dg.AssetKey(["warehouse", name]) for name in ("cell_info", "raw_counts", "feature_info", "ingest_info")]
INGEST = [dg.AssetKey(["ingest", name]) for name in ("validation_report", "ingest_files")]
NAMES = ("heart", "liver", "lung")


def made(result: dg.ExecuteInProcessResult) -> dict[str, list[str]]:
    """Return the partitions of which a run made each asset."""
    found: dict[str, list[str]] = {}
    for event in result.get_asset_materialization_events():
        found.setdefault(event.asset_key.to_user_string() if event.asset_key else "", []).append(str(event.partition))
    return found


def drop_three(world: World, *, refused: str | None = None) -> None:
    for seed, name in enumerate(NAMES):
        world.drop(name, make_source(4 + seed, seed=seed, negative=name == refused))


def test_each_dataset_has_its_own_numbers(world: World) -> None:
    drop_three(world)
    result = world.run_batch("ingest_dataset", NAMES, {"nexus/requested_by": "ada"})
    assert result.success, failure(result)
    each = list(NAMES)
    assert made(result) == {
        **{key.to_user_string(): each for key in (*INGEST, *TABLES)},
        "warehouse/snapshot": ["None"],
    }
    for event in result.get_asset_materialization_events():
        content = event.step_materialization_data.materialization
        assert content.metadata["requested_by"].value == "ada"
        if event.partition is not None:
            rows: Any = content.metadata.get("dagster/partition_row_count")
            cells = 4 + NAMES.index(event.partition)
            assert rows is None or rows.value in (cells, 4, 1)
            if event.asset_key == TABLES[0]:
                assert (rows.value, content.metadata["cells_delta"].value) == (cells, cells)
    evaluations = result.get_asset_check_evaluations()
    assert Counter(check.partition for check in evaluations) == dict.fromkeys(each, 9)
    assert all(check.passed and check.metadata for check in evaluations)
    versions = {
        str(event.partition): dict(event.step_materialization_data.materialization.tags or {})["dagster/data_version"]
        for event in result.get_asset_materialization_events()
        if event.asset_key == INGEST[1]
    }
    assert len(set(versions.values())) == 3
    assert world.warehouse.ingests()["dataset"].to_list() == each
    assert len(list((world.root / "warehouse/ingest_info").iterdir())) == 1  # one load, one commit


def test_one_run_makes_the_bytes_of_three(world: World) -> None:
    drop_three(world)
    assert world.run_batch("ingest_dataset", NAMES, asset_selection=[*INGEST, *TABLES]).success
    other = World(world.root.with_name("other"))
    drop_three(other)
    for name in NAMES:
        other.ingest(name)
    files = [
        {path.relative_to(each.root): path.read_bytes() for path in (each.root / "warehouse").rglob("ingest_id=*/*")}
        for each in (world, other)
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 9


def test_a_refused_dataset_fails_the_run_and_the_others_are_in_the_warehouse(world: World) -> None:
    drop_three(world, refused="liver")
    result = world.run_batch("ingest_dataset", NAMES)
    assert not result.success
    first, second = failure(result).splitlines()
    assert first == "1 of 3 datasets failed; the other 2 are done."
    assert second.startswith(f"liver: {world.root}/inbox/liver.h5ad: X does not hold counts")
    good = ["heart", "lung"]
    assert made(result) == {
        "ingest/validation_report": list(NAMES),
        **{key.to_user_string(): good for key in (INGEST[1], *TABLES)},
    }
    assert world.warehouse.ingests()["dataset"].to_list() == good
    refused = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [(check.check_name, check.partition) for check in refused] == [("all_files_valid", "liver")]
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    assert set(data.metadata[FAILED].value) == {"liver"}  # type: ignore[arg-type]


def test_what_cannot_be_read_or_loaded_fails_alone(world: World) -> None:
    drop_three(world)
    (world.root / "inbox/heart.yaml").write_text("tagg: x\n")
    result = world.run_batch("ingest_dataset", NAMES, asset_selection=INGEST)
    assert failure(result).splitlines()[1] == f"heart: {world.root}/inbox/heart.yaml: tagg is not a known key."
    counts = next((world.root / "ingest/lung").rglob("raw_counts.parquet"))
    counts.write_bytes(b"damaged")
    lines = failure(world.run_batch("ingest_dataset", NAMES, asset_selection=TABLES)).splitlines()
    assert lines[0] == "2 of 3 datasets failed; the other 1 are done."
    assert lines[1] == (
        "heart: the dataset 'heart' has no ingest files to load; materialize ingest/ingest_files of it first."
    )
    assert "run the ingest again, which mends it" in lines[2]
    assert world.warehouse.ingests()["dataset"].to_list() == ["liver"]


def test_executing_again_from_the_failure_reads_only_what_failed(world: World) -> None:
    drop_three(world, refused="liver")
    first = world.run_batch("ingest_dataset", NAMES)
    world.drop("liver", make_source(9))
    read: list[str] = []

    def count(root: str, config_key: str) -> None:
        read.append(world.store.read(config_key).decode())
        COMPONENTS["create_ingest_files_job"](root, config_key)

    world.use(ScriptedPipelines(components={**COMPONENTS, "create_ingest_files_job": count}))
    tags = {
        "dagster/is_resume_retry": "true",
        "dagster/root_run_id": first.run_id,
        "dagster/parent_run_id": first.run_id,
    }
    again = world.run_batch("ingest_dataset", NAMES, tags)
    assert again.success, failure(again)
    assert [text.count("inbox/") for text in read] == [2]  # key and address of one source
    assert "inbox/liver.h5ad" in read[0]
    assert made(again)["ingest/ingest_files"] == ["liver"]
    assert made(again)["warehouse/ingest_info"] == list(NAMES)
    assert world.warehouse.ingests()["dataset"].to_list() == list(NAMES)


def test_a_component_that_loads_takes_all_datasets_at_once(world: World) -> None:
    other = World(world.root.with_name("other"), client_calls="pipeline")
    drop_three(other)
    result = other.run_batch("ingest_dataset", NAMES, asset_selection=[*INGEST, *TABLES])
    assert result.success, failure(result)
    assert other.warehouse.ingests()["dataset"].to_list() == list(NAMES)
    assert len(list((other.root / "warehouse/ingest_info").iterdir())) == 1


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.sampled_from("abcdefghij")), st.permutations("abcdefghij"), st.integers(0, 10), st.integers(1, 4))
def test_runs_are_ranges_that_hold_every_partition_once(asked: set[str], order: list[str], old: int, most: int) -> None:
    known = order[:old]
    runs = divide(known, dict.fromkeys(asked, 1), most=most)
    assert sorted(key for run in runs for key in run) == sorted(asked)
    later = [*known, *sorted(asked - set(known))]
    for run in runs:
        assert len(run) <= most
        tags = batch_tags(run) or {"dagster/partition": run[0]}
        assert list(partitions_of(dg.DagsterRun("ingest_dataset", tags=tags), lambda: later)) == run


@pytest.mark.parametrize(
    ("sizes", "runs"), [([9, 1, 1], ["a", "bc"]), ([1, 9, 1], ["a", "b", "c"]), ([2, 2, 2], ["abc"])]
)
def test_a_large_dataset_has_a_run_of_its_own(sizes: list[int], runs: list[str]) -> None:
    assert divide([], dict(zip("abc", sizes, strict=True)), most_bytes=6) == [list(run) for run in runs]
