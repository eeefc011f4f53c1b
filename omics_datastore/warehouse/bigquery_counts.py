"""Read the counts of chosen cells by the Storage Read API: ranges of shuffle keys, over several streams at once."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from omics_datastore.schema.tables import RAW_COUNTS
from omics_datastore.warehouse.bigquery_jobs import BigQueryJobs
from omics_datastore.warehouse.bigquery_read import read_table
from omics_datastore.warehouse.cell_request import COUNTS_COLUMNS, CellRequest
from omics_datastore.warehouse.warehouse import CountsBatch

_MOST_RANGES = 32
_NARROWEST_GAP = 1 / 64
_LONGEST_RESTRICTION = 900_000
"""Characters; BigQuery takes a row restriction of 1 MB."""


def read_counts(request: CellRequest, reader: Any, jobs: BigQueryJobs, streams: int) -> Iterator[CountsBatch]:
    """Read the counts of the cells of a request.

    Memory holds a batch or two a stream; batches are a few megabytes.

    :param request: The cells; at least one.
    :param reader: ``google.cloud.bigquery_storage.BigQueryReadClient``.
    :param jobs: The jobs of the warehouse.
    :param streams: Streams to read side by side.
    :return: Batches in any order.
    :raise CorruptionError: When a cell is not there once.
    """
    ids = pa.array(request.ingest_ids, pa.string())
    address = jobs.address
    asked = read_table(
        reader,
        jobs,
        f"projects/{address.project}/datasets/{address.dataset}/tables/{RAW_COUNTS.name}",
        streams=streams,
        columns=["ingest_id", *COUNTS_COLUMNS],
        restriction=row_restriction(key_ranges(request.keys), request.ingest_ids),
    )
    with closing(asked) as batches:
        for batch in batches:
            ingest = pc.index_in(batch.column("ingest_id"), value_set=ids).fill_null(-1)
            yield from request.take(ingest.to_numpy(zero_copy_only=False).astype(np.int64), batch)
    request.check_complete()


def key_ranges(keys: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Cover shuffle keys with a few ranges.

    Neighbours become one range; gaps that are wide against the whole are left out, the widest first.

    :param keys: int64 (n,), ascending; at least one.
    :return: First and last key of each range, ascending.
    """
    # Differences of 63-bit keys fit int64.
    gaps = np.diff(keys)
    wide = np.flatnonzero(gaps > max(1.0, (int(keys[-1]) - int(keys[0])) * _NARROWEST_GAP))
    cuts = np.sort(wide[np.argsort(gaps[wide])[::-1][: _MOST_RANGES - 1]])
    firsts = keys[np.concatenate(([0], cuts + 1))]
    lasts = keys[np.concatenate((cuts, [len(keys) - 1]))]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def row_restriction(ranges: Sequence[tuple[int, int]], ingest_ids: Sequence[str]) -> str:
    """Return the condition on rows of ``raw_counts`` for ranges of keys and ingests.

    :param ranges: First and last key of each range.
    :param ingest_ids: Ingests, of committed rows; left out when the condition would become too long.
    :return: GoogleSQL.
    """
    by_key = " OR ".join(f"shuffle_key BETWEEN {first} AND {last}" for first, last in ranges)
    texts = ", ".join("'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'" for name in ingest_ids)
    by_ingest = f" AND ingest_id IN ({texts})" if len(texts) < _LONGEST_RESTRICTION else ""
    return f"({by_key}){by_ingest}"
