"""``Warehouse.sql`` over BigQuery: the statement goes there as it is, if it only reads."""

from collections.abc import Iterator

import pytest

from omics_datastore.errors import InputError
from tests.contracts.warehouse_contract import NOON, World
from tests.emulators.bigquery.process import BigQueryEmulator
from tests.omics_datastore.ingest_factory import random_matrix
from tests.omics_datastore.warehouse.bigquery_world import emulated_world


@pytest.fixture
def world(bigquery_emulator: BigQueryEmulator) -> Iterator[World]:
    with emulated_world(bigquery_emulator) as made:
        yield made


def test_a_statement_reads_the_tables_and_changes_nothing(world: World) -> None:
    made = world.make("lung", matrix=random_matrix(6, 4))
    warehouse = world.open()
    warehouse.load([made.manifest], NOON)
    result = warehouse.sql("SELECT cell_index, n_features > 0 AS any FROM cell_info ORDER BY cell_index", 4)
    assert result.rows["cell_index"].to_list() == [0, 1, 2, 3]
    assert result.is_cut
    nonzeros = warehouse.sql("SELECT COUNT(*) AS n, SUM(raw_count) AS total FROM raw_counts_coo", 4)
    assert nonzeros.rows.rows() == [(made.matrix.nnz, int(made.matrix.sum()))]
    assert not nonzeros.is_cut
    for statement, said in (
        ("DELETE FROM cell_info WHERE TRUE", "only reads"),
        ("SELECT tisue FROM cell_info", "tisue"),
        ("SELECT FROM WHERE", "refused the statement"),
        ("SELECT 1 FROM nothing_like_it", "nothing_like_it"),
    ):
        with pytest.raises(InputError, match=said):
            warehouse.sql(statement, 1)
    assert warehouse.sql("SELECT COUNT(*) AS cells FROM cell_info", 1).rows.item() == 6
