"""Shares of an extraction: neighbouring bins that are read together and fit into memory."""

from collections.abc import Iterator
from dataclasses import dataclass

from omics_datastore.curriculum.bin_matrix import BYTES_A_COUNT, MOST_COUNTS
from omics_datastore.curriculum.plan_model import CurriculumPlan, PlannedBin, PlannedGroup
from omics_datastore.warehouse.parquet_layout import RANGE_READS
from omics_datastore.warehouse.warehouse import Warehouse

_BYTES_A_CELL = 2_000
"""Memory of a cell's obs values and places, about."""

_READ_AGAIN = 2.0
"""Rows read for nothing, against those wanted, from which on laying counts aside costs less."""

_LEAST_READ_AGAIN = 50_000
"""Rows read for nothing, in all, that are not worth a thought."""

_BYTES_A_PLACE = 160
"""Memory of a cell's places while it is scattered, about."""


@dataclass(frozen=True)
class Share:
    """Neighbouring bins of one group that are read together."""

    group: PlannedGroup
    bins: list[PlannedBin]


def divide_into_shares(
    groups: list[PlannedGroup], missing: list[PlannedBin], plan: CurriculumPlan, limit_bytes: int
) -> Iterator[Share]:
    """Divide the missing bins into runs of neighbours that fit into memory."""
    wanted = {item.bin for item in missing}
    for group in groups:
        run: list[PlannedBin] = []
        for item in plan.bins[group.first_bin : group.last_bin + 1]:
            if run and (item.bin not in wanted or not _fits([*run, item], limit_bytes)):
                yield Share(group, run)
                run = []
            if item.bin in wanted:
                run.append(item)
        if run:
            yield Share(group, run)


def _fits(bins: list[PlannedBin], limit_bytes: int) -> bool:
    counts = sum(item.counts for item in bins)
    # One bin is there a second time while its shard is written.
    most = counts + max(item.counts for item in bins)
    cells = sum(item.cells for item in bins)
    return counts <= MOST_COUNTS and BYTES_A_COUNT * most + _BYTES_A_CELL * cells <= limit_bytes


def rounds_of_shares(shares: list[Share], memory_limit_bytes: int) -> Iterator[tuple[int, int]]:
    """Divide shares into runs whose cells' places fit into memory while they are scattered."""
    first = cells = 0
    for number, share in enumerate(shares):
        more = sum(item.cells for item in share.bins)
        if number > first and (cells + more) * _BYTES_A_PLACE > memory_limit_bytes:
            yield first, number
            first, cells = number, 0
        cells += more
    yield first, len(shares)


def reads_much_again(plan: CurriculumPlan, shares: list[Share], warehouse: Warehouse) -> bool:
    """Tell whether the row groups of many ingests would be read again and again, once for nearly every share.

    Of every ingest a share has the rows of a range of keys, and reads about one row group more than they fill.

    :param plan: A plan in the stored order.
    :param shares: Shares that would be read one by one.
    :param warehouse: The warehouse.
    :return: Whether reading everything once and laying it aside by share is cheaper.
    """
    if not warehouse.reads_ingests_apart:
        return False
    group = RANGE_READS.counts_row_group
    again = len(shares) * sum(min(group, ingest.cells) for ingest in plan.ingests)
    wanted = sum(item.cells for share in shares for item in share.bins)
    return again > max(_LEAST_READ_AGAIN, _READ_AGAIN * wanted)
