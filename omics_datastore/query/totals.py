"""What the tables really hold of ingests, as two queries: for the checks after a load, committed or not."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from omics_datastore.schema.relations import relation
from omics_datastore.schema.tables import CELL_INFO, FEATURE_INFO, RAW_COUNTS


def cell_totals(ingest_ids: Sequence[str], *, lists: bool) -> ir.Table:
    """Count the cells and counts of ingests.

    :param ingest_ids: At least one ingest id.
    :param lists: Whether to measure the lists of ``raw_counts``, which reads all of a column that is most of the
        warehouse, or to add up ``n_features`` of ``cell_info``.
    :return: ``ingest_id`` and int64 ``raw_counts_rows``, ``nnz``, ``cell_info_rows``, ``distinct_cells``,
        ``orphan_cells``; ingests without rows are left out.
    """
    zero, one = ibis.literal(0, "int64"), ibis.literal(1, "int64")
    counts, cells = relation(RAW_COUNTS), relation(CELL_INFO)
    counts = counts.filter(counts["ingest_id"].isin(list(ingest_ids)))
    cells = cells.filter(cells["ingest_id"].isin(list(ingest_ids)))
    measured = counts["feature_index"].length().cast("int64") if lists else zero
    told = zero if lists else cells["n_features"]
    rows = ibis.union(
        counts.select("ingest_id", "cell_index", counted=one, described=zero, nnz=measured),
        cells.select("ingest_id", "cell_index", counted=zero, described=one, nnz=told),
    )
    by_cell = rows.group_by("ingest_id", "cell_index").aggregate(
        counted=rows["counted"].sum(), described=rows["described"].sum(), nnz=rows["nnz"].sum()
    )
    orphan = (by_cell["counted"] == 0) | (by_cell["described"] == 0)
    return by_cell.group_by("ingest_id").aggregate(
        raw_counts_rows=by_cell["counted"].sum(),
        nnz=by_cell["nnz"].sum(),
        cell_info_rows=by_cell["described"].sum(),
        distinct_cells=by_cell.count(),
        orphan_cells=ibis.ifelse(orphan, one, zero).sum(),
    )


def feature_totals(ingest_ids: Sequence[str]) -> ir.Table:
    """Count the features of ingests.

    :param ingest_ids: At least one ingest id.
    :return: ``ingest_id`` and int64 ``feature_info_rows``; ingests without rows are left out.
    """
    features = relation(FEATURE_INFO)
    chosen = features.filter(features["ingest_id"].isin(list(ingest_ids)))
    return chosen.group_by("ingest_id").aggregate(feature_info_rows=chosen.count())
