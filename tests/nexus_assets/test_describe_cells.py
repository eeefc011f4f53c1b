"""The job describe_cells: what it shows of a filter, and what it says of a wrong one."""

from typing import Any

import dagster as dg
import pytest

from tests.nexus_assets.world import World, failure, make_source, materialized


def run(world: World, config: dict[str, Any]) -> dg.ExecuteInProcessResult:
    job = world.definitions().resolve_job_def("describe_cells")
    return job.execute_in_process(
        instance=world.instance, run_config={"ops": {"ops__cell_counts": {"config": config}}}, raise_on_error=False
    )


@pytest.fixture
def filled(world: World) -> World:
    world.ingest("lung", a=make_source(6, (1, 2), 1), b=make_source(5, (1, 2), 2, tissue="blood"))
    return world


def test_counts_values_and_a_plot_of_what_a_filter_selects(filled: World) -> None:
    asked = [{"any": [{"tissue__eq": "blood"}, {"not": {"donor_id__eq": "donor0"}}]}]
    result = run(filled, {"filter": asked, "by": ["tissue", "donor_id"], "column": "tissue", "limit": 2})
    assert result.success, failure(result)
    made = materialized(result)["ops/cell_counts"]
    assert (made["cells"], made["distinct_values"], made["combinations"]) == (8, 2, 3)
    assert [row.data for row in made["values"].records] == [
        {"value": "blood", "cells": 5},
        {"value": "lung", "cells": 3},
    ]
    assert [row.data["cells"] for row in made["by"].records] == [3, 3]
    assert made["plot"].startswith("![plot](data:image/png;base64,")
    everything = materialized(run(filled, {}))["ops/cell_counts"]
    assert everything["cells"] == 11
    for config, said in (
        ({"filter": [{"tisue__eq": "lung"}]}, "'tisue' is not a column"),
        ({"filter": [{"any": []}]}, "the list is empty"),
        ({"column": "tisue"}, "'tisue' is not a column"),
        ({"by": ["tissue", "tissue"]}, "different columns"),
    ):
        assert said in failure(run(filled, config))
