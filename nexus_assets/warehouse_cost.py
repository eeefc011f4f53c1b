"""What the warehouse was asked and what that costs, as Dagster metadata. Nothing where asking is free."""

from typing import TYPE_CHECKING

import dagster as dg

from nexus_assets.markdown_text import markdown_link

if TYPE_CHECKING:
    from omics_datastore.warehouse.warehouse import WarehouseUsage

QUERY_DOLLARS = 6.25 / 2**40
"""US dollars a byte billed: BigQuery on demand (its pricing page); the free TiB a month is not counted."""

READ_DOLLARS = 1.32 / 2**40
"""US dollars a byte read by the Storage Read API (the same page; 300 TiB of each month are free, not counted)."""


def cost_metadata(usage: "WarehouseUsage") -> dict[str, dg.MetadataValue]:
    """Show what a warehouse object was asked so far.

    :param usage: Of :meth:`omics_datastore.warehouse.warehouse.Warehouse.usage`.
    :return: Bytes, links of the jobs and the estimated cost; empty when nothing was asked of a service.
    """
    if not usage.jobs and not usage.bytes_read:
        return {}
    dollars = usage.bytes_billed * QUERY_DOLLARS + usage.bytes_read * READ_DOLLARS
    links = "\n".join(f"- {markdown_link(f'job {number}', link)}" for number, link in enumerate(usage.links, start=1))
    return {
        "warehouse_jobs": dg.MetadataValue.int(usage.jobs),
        "bytes_processed": dg.MetadataValue.int(usage.bytes_processed),
        "bytes_billed": dg.MetadataValue.int(usage.bytes_billed),
        "bytes_read": dg.MetadataValue.int(usage.bytes_read),
        "estimated_cost_usd": dg.MetadataValue.float(round(dollars, 6)),
        "latest_jobs": dg.MetadataValue.md(links or "none"),
    }
