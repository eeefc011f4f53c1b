"""Cells with values that break pasted SQL, in a real warehouse, and the same cells as plain rows."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import ibis.expr.types as ir
import pytest

from omics_datastore.query.compile import compile_sql
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.folder import FolderWarehouse
from tests.omics_datastore.ingest_factory import make_ingest, random_matrix
from tests.omics_datastore.query.googlesql import GoogleSQL

TEXTS = (
    *("lung", "Lung", "", " lung ", "it's", 'say "hi"', "back\\slash", "\\", "\\'", "'; --", "/* x */", "a, b"),
    *("new\nline", "tab\t", "\r", "`tick`", "$$", "{}", "%", "_", "?", "@x", "NULL", "true", "5", "5.0", "é"),
    *("e\u0301", "ключ", "😀", "\u2028", "\x1b"),
)
EXTRA_KEYS = (
    "batch",
    "a b",
    "x.y",
    "~/z",
    "~1",
    "$",
    "$.batch",
    "it's",
    'q"q',
    "b\\",
    "ключ",
    "0",
    "[0]",
    "New\nline",
    "__",
)
EXTRA_VALUES = (*TEXTS, 5, 0, -3, 2**53 - 1, 5.0, 0.1, -1.25, 1e-3, True, False, None)
NUMBERS = (0, 1, 5, 499, 500, 501, 2**31, 2**62, 2**63 - 1)


@dataclass(frozen=True, repr=False)
class Cells:
    """A warehouse of cells, and its rows as they should be seen."""

    warehouse: FolderWarehouse
    rows: list[dict[str, Any]]
    """``cell_info`` columns, ``dataset``, and ``metadata_extra`` as a mapping or ``None``."""


@pytest.fixture(scope="session")
def nasty_cells(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    store = FolderStore(tmp_path_factory.mktemp("cells"))
    warehouse = FolderWarehouse(store, threads=1)
    rows: list[dict[str, Any]] = []
    manifests = []
    for number, dataset in enumerate(("lung", "blood.2")):
        cells = 44
        pick = [(row * 7 + number * 3) for row in range(cells)]
        obs: dict[str, list[Any]] = {
            "tissue": [(*TEXTS, None)[p % (len(TEXTS) + 1)] for p in pick],
            "donor_id": [(None, "d1", "d2", "'")[p % 4] for p in pick],
            "is_primary_data": [(True, False, None)[p % 3] for p in pick],
            "total_mrna_umis": [NUMBERS[p % len(NUMBERS)] for p in pick],
        }
        extra = [
            None
            if p % 5 == 0
            else {
                key: EXTRA_VALUES[(p + at * 11) % len(EXTRA_VALUES)]
                for at, key in enumerate(EXTRA_KEYS)
                if (p + at) % 4
            }
            for p in pick
        ]
        made = make_ingest(store, dataset, matrix=random_matrix(cells, 5), obs=obs, extra=extra)
        manifests.append(made.manifest)
        rows += [
            {
                **{name: values[row] for name, values in made.obs.items()},
                "ingest_id": made.ingest_id,
                "dataset": dataset,
                "cell_index": row,
                "shuffle_key": int(made.shuffle_key[row]),
                "n_features": int(made.matrix.indptr[row + 1] - made.matrix.indptr[row]),
                "metadata_extra": extra[row],
            }
            for row in range(cells)
        ]
    warehouse.load(manifests, datetime.now(UTC))
    return Cells(warehouse, rows)


@pytest.fixture(scope="session")
def googlesql() -> GoogleSQL:
    return GoogleSQL()


@pytest.fixture(scope="session")
def run_google(nasty_cells: Cells, googlesql: GoogleSQL) -> Callable[[ir.Table], list[list[Any]]]:
    """Give a function that compiles for BigQuery, analyses and evaluates over the same cells."""
    ingests = {row["ingest_id"]: row["dataset"] for row in nasty_cells.rows}
    cells = [
        {**row, "metadata_extra": None if row["metadata_extra"] is None else json.dumps(row["metadata_extra"])}
        for row in nasty_cells.rows
    ]
    rows = {
        "cell_info": cells,
        "ingest_info": [{"ingest_id": ingest_id, "dataset": dataset} for ingest_id, dataset in ingests.items()],
    }

    def run(query: ir.Table) -> list[list[Any]]:
        sql = compile_sql(query, "bigquery")
        googlesql.analyze(sql)
        return googlesql.run(sql, rows)

    return run
