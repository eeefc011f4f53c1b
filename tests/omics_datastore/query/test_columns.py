"""The list of columns and operators says what filters take."""

from typing import Any

import pytest

from omics_datastore.errors import InputError
from omics_datastore.query.cells import selected_cells
from omics_datastore.query.columns import filter_columns
from omics_datastore.query.filter_values import NULL_OPERATORS, OPERATORS
from omics_datastore.query.filters import CellFilter
from omics_datastore.schema.tables import CELL_INFO

VALUES: dict[str, Any] = {"STRING": "x", "INT64": 5, "BOOL": True}


@pytest.mark.parametrize("row", filter_columns(), ids=lambda row: row["column"])
def test_every_operator_that_is_listed_is_taken_and_no_other(row: dict[str, str]) -> None:
    name = row["column"].replace("<key>", "batch")
    listed = row["operators"].split()
    term = "UBERON:0002048" if name.startswith("tissue") else "unknown"
    for op in OPERATORS:
        value = None if op in NULL_OPERATORS else VALUES[row["type"]]
        condition = {"column": name, "op": op, "value": [value] if op in ("in", "not_in") else value}
        if op == "descendant_of":
            if op in listed and not name.startswith("tissue"):
                continue  # every ontology is a file of its own, which takes a second to read
            condition["value"] = term
        if op in listed:
            selected_cells(CellFilter.model_validate([condition]), ["a@0"])
        else:
            with pytest.raises((InputError, ValueError)):
                selected_cells(CellFilter.model_validate([condition]), ["a@0"])


def test_every_column_of_the_table_is_listed() -> None:
    listed = [row["column"] for row in filter_columns()]
    assert listed == [
        *(name for name in CELL_INFO.column_names if name != "metadata_extra"),
        "dataset",
        "metadata_extra.<key>",
    ]
    assert all(row["description"] for row in filter_columns())
