"""What people see of the cost of the warehouse."""

import pytest

from nexus_assets.warehouse_cost import cost_metadata
from omics_datastore.warehouse.warehouse import WarehouseUsage


def test_a_free_warehouse_says_nothing() -> None:
    assert cost_metadata(WarehouseUsage()) == {}


def test_bytes_jobs_and_dollars() -> None:
    usage = WarehouseUsage(3, 5 * 2**40, 4 * 2**40, 2 * 2**40, ("https://one", "https://two"))
    seen = {name: value.value for name, value in cost_metadata(usage).items()}
    assert seen["bytes_billed"] == 4 * 2**40
    assert seen["estimated_cost_usd"] == pytest.approx(4 * 6.25 + 2 * 1.32)
    assert seen["latest_jobs"] == "- [job 1](https://one)\n- [job 2](https://two)"
    assert (seen["warehouse_jobs"], seen["bytes_processed"]) == (3, 5 * 2**40)
