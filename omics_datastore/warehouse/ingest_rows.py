"""The rows of ``ingest_info``: made from manifests, and which of them are current. The same for every warehouse."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa

from omics_datastore.ingest.manifest import IngestManifest
from omics_datastore.keys import canonical_json
from omics_datastore.schema.arrow import arrow_schema
from omics_datastore.schema.tables import INGEST_INFO, Table


def ingest_rows(manifests: Sequence[IngestManifest], committed_at: datetime) -> pa.Table:
    """Return the rows that commit ingests.

    :param manifests: Manifests of the ingests.
    :param committed_at: Time of the commit, with a time zone.
    :return: One row a manifest, in the schema of ``ingest_info``.
    """
    schema = arrow_schema(INGEST_INFO)
    rows = [_row(manifest, committed_at) for manifest in manifests]
    # Not by pa.Table.from_pylist, which imports pandas, half a second.
    return pl.DataFrame(rows, empty_frame(INGEST_INFO).schema, orient="row").to_arrow().cast(schema)


def empty_frame(table: Table) -> pl.DataFrame:
    """Return no rows of a table.

    :param table: One of the warehouse tables.
    :return: A frame with its columns.
    """
    frame = pl.from_arrow(pa.Table.from_batches([], arrow_schema(table)))
    assert isinstance(frame, pl.DataFrame)  # noqa: S101
    return frame


def mark_current(rows: pl.DataFrame) -> pl.DataFrame:
    """Keep the newest row of each ingest and tell which ingests are current.

    Of the ingests of one (dataset, source_uri) the one committed last is current, unless it was retired since; when
    two were committed in one load, the one whose id sorts last. Retiring it does not bring back the one before.

    :param rows: Rows of ``ingest_info``.
    :return: One row an ingest id with ``is_current``, ordered by dataset, source_uri, committed_at, ingest_id.
    """
    changed = pl.max_horizontal("committed_at", "retired_at")
    newest = rows.sort(changed).unique("ingest_id", keep="last", maintain_order=True)
    ordered = newest.sort("dataset", "source_uri", "committed_at", "ingest_id")
    last = pl.col("ingest_id").last().over("dataset", "source_uri")
    return ordered.with_columns(is_current=(pl.col("ingest_id") == last) & pl.col("retired_at").is_null())


def commit_time(ingests: pl.DataFrame, manifests: Sequence[IngestManifest], committed_at: datetime) -> datetime:
    """Return the time to commit at, so that what is committed now becomes current even when clocks disagree.

    :param ingests: What is committed, as :func:`mark_current` returns it.
    :param manifests: Manifests of the ingests to commit.
    :param committed_at: Time by this machine's clock, with a time zone.
    :return: The same time, or one microsecond after the newest commit or retirement of the same source files.
    :raise ValueError: When the time has no time zone.
    """
    if committed_at.tzinfo is None:
        raise ValueError("committed_at has no time zone")
    sources = pl.DataFrame(
        {"dataset": [item.dataset for item in manifests], "source_uri": [item.source_uri for item in manifests]},
        schema={"dataset": pl.String, "source_uri": pl.String},
    )
    return _after(ingests.join(sources, on=["dataset", "source_uri"], how="semi"), committed_at)


def retired_rows(ingests: pl.DataFrame, datasets: Sequence[str], retired_at: datetime) -> pa.Table:
    """Return the rows that retire datasets: those of their current ingests, with the time.

    :param ingests: What is committed, as :func:`mark_current` returns it.
    :param datasets: Dataset keys.
    :param retired_at: Time by this machine's clock, with a time zone.
    :return: Rows of ``ingest_info``, none when no ingest of the datasets is current.
    :raise ValueError: When the time has no time zone.
    """
    if retired_at.tzinfo is None:
        raise ValueError("retired_at has no time zone")
    chosen = ingests.filter(pl.col("is_current") & pl.col("dataset").is_in(list(datasets)))
    when = pl.lit(_after(chosen, retired_at)).cast(pl.Datetime("us", "UTC"))
    schema = arrow_schema(INGEST_INFO)
    return chosen.with_columns(retired_at=when).select(schema.names).to_arrow().cast(schema)


def _after(ingests: pl.DataFrame, when: datetime) -> datetime:
    newest = ingests.select(pl.max_horizontal(pl.col("committed_at", "retired_at").max())).item()
    return max(when, newest + timedelta(microseconds=1)) if isinstance(newest, datetime) else when


def _row(manifest: IngestManifest, committed_at: datetime) -> dict[str, Any]:
    validation = {"findings": [finding.model_dump(mode="json") for finding in manifest.findings]}
    return {
        **manifest.model_dump(include=set(INGEST_INFO.column_names) - {"uns"}),
        "uns": canonical_json(manifest.uns),
        "validation": canonical_json(validation),
        "committed_at": committed_at,
        "retired_at": None,
    }
