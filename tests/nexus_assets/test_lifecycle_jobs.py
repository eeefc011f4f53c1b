"""The jobs ``purge`` and ``find_duplicates`` as somebody launches them in the web UI."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from tests.nexus_assets.world import World, make_source


def run(world: World, job: str, op: str, **config: Any) -> dict[str, Any]:
    """Run a job of one op; return the metadata of its output."""
    done = (
        world.definitions()
        .resolve_job_def(job)
        .execute_in_process(
            instance=world.instance,
            run_config={
                "ops": {op: {"config": config}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
        )
    )
    (output,) = [event for event in done.all_node_events if event.event_type is dg.DagsterEventType.STEP_OUTPUT]
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


def test_purge_and_duplicates(tmp_path: Path) -> None:
    world = World(tmp_path)
    source = make_source(6, seed=1)
    world.ingest("lung", a=source)
    world.ingest("copies", b=source[2:5].copy())
    found = run(world, "find_duplicates", "compare_cells", least_features=1)
    (row,) = [record.data for record in found["shared_cells"].records]
    assert (found["pairs"], row["dataset"], row["other"], row["shared"]) == (1, "copies", "lung", 3)
    world.warehouse.retire(["copies"], datetime.now(UTC))
    assert run(world, "purge", "delete_leftovers")["items"] == 0
    listed = run(world, "purge", "delete_leftovers", grace_hours=0.0, dry_run=True)
    assert (listed["dry_run"], listed["items"]) == (True, 1)
    assert world.warehouse.ingests().height == 2
    deleted = run(world, "purge", "delete_leftovers", grace_hours=0.0)
    assert (deleted["items"], deleted["bytes"]) == (1, listed["bytes"])
    assert world.warehouse.ingests()["dataset"].to_list() == ["lung"]
