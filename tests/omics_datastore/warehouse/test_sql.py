"""``Warehouse.sql`` over a folder: what it sees, what it cannot reach, how it ends."""

import re
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.query.sql_text import COO_COLUMNS, COO_VIEW, LocalStatement
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse import duckdb_sql
from omics_datastore.warehouse.folder import FolderWarehouse
from tests.omics_datastore.ingest_factory import MadeIngest, make_ingest, random_matrix


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[FolderWarehouse, MadeIngest]:
    store = FolderStore(tmp_path_factory.mktemp("it's"))
    warehouse = FolderWarehouse(store, threads=1)
    ingest = make_ingest(store, "lung", matrix=random_matrix(30, 6))
    warehouse.load([ingest.manifest], datetime.now(UTC))
    make_ingest(store, "hidden", matrix=random_matrix(3, 4))
    return warehouse, ingest


def test_the_view_of_nonzeros_equals_the_source(made: tuple[FolderWarehouse, MadeIngest]) -> None:
    warehouse, ingest = made
    statement = f"SELECT cell_index, feature_index, raw_count FROM {COO_VIEW} ORDER BY 1, 2"  # noqa: S608
    matrix = ingest.matrix.tocoo()
    expected = sorted(zip(matrix.row.tolist(), matrix.col.tolist(), matrix.data.astype(int).tolist(), strict=True))
    assert warehouse.sql(statement, 10_000).rows.rows() == expected
    assert warehouse.sql("SELECT * FROM raw_counts_coo LIMIT 1", 1).rows.columns == list(COO_COLUMNS)
    by_gene = "SELECT ensembl_id, SUM(raw_count) AS total FROM raw_counts_coo GROUP BY ensembl_id"
    totals = warehouse.sql(by_gene, 100).rows
    assert totals["total"].sum() == matrix.data.sum()
    assert totals.schema["total"] == pl.Int64


def test_more_rows_than_asked_for_are_noticed(made: tuple[FolderWarehouse, MadeIngest]) -> None:
    warehouse, _ = made
    statement = "SELECT cell_index FROM cell_info ORDER BY cell_index DESC"
    result = warehouse.sql(statement, 29)
    assert (result.rows["cell_index"].to_list(), result.is_cut) == (list(range(29, 0, -1)), True)
    assert not warehouse.sql(statement, 30).is_cut


def test_distinct_values_are_counted_exactly(made: tuple[FolderWarehouse, MadeIngest]) -> None:
    assert made[0].sql("SELECT APPROX_COUNT_DISTINCT(cell_index) FROM cell_info", 1).rows.item() == 30


def test_only_committed_ingests_are_seen(made: tuple[FolderWarehouse, MadeIngest]) -> None:
    warehouse, _ = made
    assert warehouse.sql(
        "SELECT DISTINCT dataset FROM ingest_info JOIN cell_info USING (ingest_id)", 9
    ).rows.rows() == [("lung",)]


def test_an_empty_warehouse_has_its_tables(tmp_path: Path) -> None:
    warehouse = FolderWarehouse(FolderStore(tmp_path))
    assert (
        warehouse.sql("SELECT COUNT(*) AS cells FROM cell_info JOIN raw_counts_coo USING (ingest_id)", 1).rows.item()
        == 0
    )


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "SELECT\n  tisue FROM cell_info",
            "line 2, column 3: there is no column 'tisue'; did you mean tissue or tissue_type.",
        ),
        (
            "SELECT c.tisue FROM cell_info AS c",
            "line 1, column 10: there is no column 'tisue'; did you mean tissue or tissue_type.",
        ),
        ("SELECT xyzzy FROM feature_info", "there is no column 'xyzzy'; feature_info has biotype, "),
        ("SELECT tissue, COUNT(*) FROM cell_info", "GROUP BY"),
        ("SELECT DIV(1, 0)", "ivision by zero"),
        ("SELECT CAST(ensembl_id AS INT64) FROM feature_info", "no whole number"),
        ("SELECT CAST(cell_index / 2 AS STRING) FROM cell_info", "ROUND it"),
        ("SELECT 1 / (cell_index - cell_index) FROM cell_info", "division by zero"),
        ("SELECT tissue, tissue FROM cell_info", "two columns of the result are called tissue"),
        ("SELECT 'a' + cell_index FROM cell_info", "cannot be answered"),
    ],
)
def test_errors_are_sentences(made: tuple[FolderWarehouse, MadeIngest], statement: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        made[0].sql(statement, 10)
    message = str(caught.value)
    assert said.lower() in message.lower()
    assert "\n" not in message
    assert message.endswith(".")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/hostname')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/*')",
        "COPY (SELECT 1) TO '{tmp}/x.csv'",
        "ATTACH '{tmp}/x.db'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ],
)
def test_duckdb_itself_is_confined(
    made: tuple[FolderWarehouse, MadeIngest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    """Were a statement to get past the parser, DuckDB would still refuse it."""
    escaped = LocalStatement(sql.format(tmp=tmp_path), frozenset({"cell_info"}))
    monkeypatch.setattr(duckdb_sql, "local_statement", lambda _: escaped)
    with pytest.raises((InputError, duckdb.Error)):
        made[0].sql("whatever", 10)
    assert not list(tmp_path.iterdir())


def test_a_lost_file_is_named(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    warehouse = FolderWarehouse(store, threads=1)
    ingest = make_ingest(store, "lung", matrix=random_matrix(3, 4))
    warehouse.load([ingest.manifest], datetime.now(UTC))
    (path,) = tmp_path.glob("warehouse/cell_info/*/*.parquet")
    path.unlink()
    with pytest.raises(CorruptionError, match=r"has lost .*cell_info"):
        warehouse.sql("SELECT COUNT(*) FROM cell_info", 1)


def statements_of_the_page() -> list[str]:
    page = (Path(__file__).parents[3] / "docs" / "sql.md").read_text()
    block: str = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)[0]
    return block.strip().split("\n\n")


@pytest.mark.parametrize("statement", statements_of_the_page())
def test_the_statements_of_the_page_run(made: tuple[FolderWarehouse, MadeIngest], statement: str) -> None:
    assert made[0].sql(statement, 10).rows.columns
