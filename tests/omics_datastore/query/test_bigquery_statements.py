"""What the BigQuery warehouse sends besides compiled queries, and its own queries, is valid GoogleSQL."""

import pytest

from omics_datastore.query.cells import count_cells, selected_cells
from omics_datastore.query.committed import only_committed
from omics_datastore.query.compile import compile_sql
from omics_datastore.query.filters import CellFilter
from omics_datastore.query.totals import cell_totals, feature_totals
from omics_datastore.schema.tables import CELL_INFO, DATA_TABLES, RAW_COUNTS, Table
from omics_datastore.warehouse.bigquery_counts import row_restriction
from omics_datastore.warehouse.bigquery_statements import (
    clear_statement,
    commit_statement,
    coo_view_query,
    count_rows_statement,
)
from tests.omics_datastore.query.conftest import Cells
from tests.omics_datastore.query.googlesql import GoogleSQL


@pytest.mark.parametrize("table", DATA_TABLES, ids=lambda table: table.name)
def test_clear(googlesql: GoogleSQL, table: Table) -> None:
    googlesql.analyze(clear_statement(table.name))


def test_count_rows(googlesql: GoogleSQL) -> None:
    googlesql.analyze(count_rows_statement())


def test_commit(googlesql: GoogleSQL) -> None:
    googlesql.analyze(commit_statement())
    with pytest.raises(Exception, match="nothing"):
        googlesql.analyze(commit_statement().replace("made.nnz", "made.nothing"))


def test_view(googlesql: GoogleSQL) -> None:
    googlesql.analyze(coo_view_query(lambda name: f"`{name}`"))


def test_row_restriction(googlesql: GoogleSQL) -> None:
    condition = row_restriction([(1, 5), (2**62, 2**63 - 1)], ["lung@0123456789ab", "it's\\"])
    googlesql.analyze(f"SELECT ingest_id FROM {RAW_COUNTS.name} WHERE {condition}")  # noqa: S608


def test_totals(googlesql: GoogleSQL) -> None:
    ids = ["a@0", "b@1"]
    for query in (cell_totals(ids, lists=True), cell_totals(ids, lists=False), feature_totals(ids)):
        googlesql.analyze(compile_sql(query, "bigquery"))


def test_only_committed_cells_are_counted(googlesql: GoogleSQL, nasty_cells: Cells) -> None:
    query = only_committed(count_cells(selected_cells(CellFilter())))
    sql = compile_sql(query, "bigquery")
    googlesql.analyze(sql)
    committed = {row["ingest_id"]: row["dataset"] for row in nasty_cells.rows}
    cells = [{**row, "metadata_extra": None} for row in nasty_cells.rows]
    hidden = [{**row, "ingest_id": "lung@000000000000"} for row in cells]
    ingests = [{"ingest_id": ingest_id, "dataset": dataset} for ingest_id, dataset in committed.items()]
    found = googlesql.run(sql, {CELL_INFO.name: [*cells, *hidden], "ingest_info": ingests})
    assert found == [[len(cells)]]
