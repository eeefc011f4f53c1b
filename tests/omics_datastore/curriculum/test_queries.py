"""The planner's queries are valid GoogleSQL, and mean the same there as on a laptop."""

from typing import Any

import ibis.expr.types as ir
import pytest
import sqlglot

from omics_datastore.curriculum.specification import DEFAULT_OBS_COLUMNS
from omics_datastore.query.caps import capped_cells, group_sizes
from omics_datastore.query.cells import column_values, selected_cells
from omics_datastore.query.compile import Dialect, compile_sql
from omics_datastore.query.curriculum import (
    cells_by_ingest,
    cells_in_exact_order,
    cells_in_groups,
    cells_in_store_order,
    distinct_values,
    features_of_ingests,
    summarise_columns,
)
from omics_datastore.query.filters import CellFilter
from omics_datastore.query.splits import cells_with_keys, cells_with_values, count_by_keys
from omics_datastore.shuffle import mixing_rounds
from tests.omics_datastore.curriculum.curriculum_world import World
from tests.omics_datastore.query.googlesql import GoogleSQL

COLUMNS = ["cell_type", "is_primary_data", "total_mrna_umis", "dataset", "metadata_extra.batch", "metadata_extra.Batch"]
ROUNDS = mixing_rounds("cap", 7, 1)
TEXT = ["cell_type", "metadata_extra.batch", "dataset"]


@pytest.fixture(scope="module")
def google_sql() -> GoogleSQL:
    return GoogleSQL()


def queries(ids: list[str]) -> dict[str, tuple[ir.Table, bool]]:
    """Return the queries by name, and whether their rows have an order."""
    cells = selected_cells(CellFilter.model_validate({"total_mrna_umis__gte": 1}), ids)
    return {
        "cells_by_ingest": (cells_by_ingest(cells), True),
        "summarise_columns": (summarise_columns(cells, COLUMNS), True),
        "distinct_values": (distinct_values(cells, TEXT), False),
        "one distinct_values": (distinct_values(cells, TEXT[:1]), False),
        "cells_in_store_order": (cells_in_store_order(cells, COLUMNS, 2**62), True),
        "cells_in_exact_order": (cells_in_exact_order(cells, COLUMNS, 7), True),
        "cells_in_groups": (cells_in_groups(cells, COLUMNS[:1], COLUMNS, 2, 7), True),
        "cells_in_store_order of a span": (cells_in_store_order(cells, COLUMNS, 2**62, (2**61, 2**63 - 1)), True),
        "group_sizes": (group_sizes(cells, COLUMNS, 2, 3), True),
        "capped_cells": (cells_by_ingest(capped_cells(cells, [*TEXT, "is_primary_data"], 2, 3, ROUNDS)), True),
        "cells_with_values": (cells_by_ingest(cells_with_values(cells, TEXT[1], ["b0", None], others=True)), True),
        "cells_with_keys": (cells_by_ingest(cells_with_keys(cells, (2**61, 2**63 - 1), ROUNDS)), True),
        "count_by_keys": (count_by_keys(cells, [2**61, 2**62], ROUNDS), True),
        "some column_values": (column_values(cells, TEXT[1]).limit(2), True),
        "features_of_ingests": (features_of_ingests(ids), False),
    }


@pytest.mark.parametrize("name", queries(["a@0"]))
def test_query_gives_the_same_rows_in_both_dialects(world: World, google_sql: GoogleSQL, name: str) -> None:
    expression, ordered = queries(list(world.sources))[name]
    sql = compile_sql(expression, "bigquery")
    google_sql.analyze(sql)
    theirs = [tuple(row) for row in google_sql.run(sql, _tables(world))]
    ours = world.warehouse.query(expression).rows()
    assert ours
    assert theirs == ours if ordered else sorted(theirs) == sorted(ours)


@pytest.mark.parametrize("dialect", ["duckdb", "bigquery"])
@pytest.mark.parametrize("columns", [("cell_type",), DEFAULT_OBS_COLUMNS])
def test_cells_are_ordered_by_the_outermost_query(columns: tuple[str, ...], dialect: Dialect) -> None:
    # The order of a query inside another is kept by DuckDB and by the emulators, but BigQuery does not promise it.
    cells = selected_cells(CellFilter(), ["a@0"])
    for expression in (
        cells_in_store_order(cells, columns, 2**62),
        cells_in_exact_order(cells, columns, 7),
        cells_in_groups(cells, columns, ("donor_id",), 2, 7),
    ):
        statement = sqlglot.parse_one(compile_sql(expression, dialect), dialect=dialect)
        assert statement.args.get("order") is not None


def _tables(world: World) -> dict[str, list[dict[str, Any]]]:
    import polars as pl

    tables = {"ingest_info": world.warehouse.ingests().select("ingest_id", "dataset").to_dicts()}
    for name in ("cell_info", "feature_info"):
        files = sorted(world.root.glob(f"ingest/*/*/{name}.parquet"))
        tables[name] = pl.concat([pl.read_parquet(file) for file in files]).to_dicts()
    return tables
