"""The features of a source file as rows of ``feature_info``, with the checks of their ids."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from omics_datastore.ingest.booleans import to_boolean
from omics_datastore.ingest.column_mapping import INDEX, map_columns
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.declared_size import check_held
from omics_datastore.ingest.extra_columns import metadata_extra, with_index
from omics_datastore.ingest.feature_ids import is_ensembl, strip_version
from omics_datastore.ingest.frames import FrameReader
from omics_datastore.ingest.manifest import Finding
from omics_datastore.ingest.refusal import RefusedSourceError

TARGETS = ("ensembl_id", "symbol", "biotype", "reference", "is_filtered")
ALIASES = {
    "ensemble_id": "ensembl_id",
    "feature_name": "symbol",
    "feature_biotype": "biotype",
    "feature_reference": "reference",
    "feature_is_filtered": "is_filtered",
}
"""CELLxGENE's names, and the spelling of the system before."""


@dataclass(frozen=True)
class Features:
    """The features.

    ``table`` has ``feature_info``'s columns but ``ingest_id``; ``column`` int32 (features,) says to which column's
    counts those of a column are added (its own, unless duplicates are summed); ``names`` is the index of var;
    ``findings`` are warnings.
    """

    table: pl.DataFrame
    column: NDArray[np.int32]
    names: list[str]
    findings: list[Finding]


def read_features(frame: FrameReader, config: DatasetConfig) -> Features:
    """Read and check the features.

    :param frame: The var frame that belongs to the matrix.
    :param config: Configuration of the dataset.
    :return: The features.
    :raise RefusedSourceError: For ids that are missing, of another kind, or not unique, and for a wrong mapping.
    """
    frame.require((*config.var_mapping, *TARGETS, *ALIASES))
    check_held(frame.path, frame.length, frame.row_bytes, frame.stored_bytes)
    columns = frame.read(0, frame.length)
    index = frame.index(0, frame.length)
    mapping = map_columns("var", frame.columns, config.var_mapping, TARGETS, ALIASES)
    values = {target: index if source == INDEX else columns[source] for target, source in mapping.sources.items()}
    ids_from = mapping.sources.get("ensembl_id", INDEX)
    raw_ids = values.pop("ensembl_id", index).cast(pl.String)
    ids = strip_version(raw_ids)
    where = f"the index of {frame.path}" if ids_from == INDEX else f"{frame.path}[{ids_from!r}]"
    _check_ids(ids, where, columns, config)
    index_kept = ids_from == INDEX or "symbol" not in values
    if ids_from != INDEX and "symbol" not in values:
        values["symbol"] = index
    extra = with_index(columns.select(mapping.extra), index, mapping.sources.values(), kept=index_kept)
    filtered = f"{frame.path}[{mapping.sources.get('is_filtered', '')!r}]"
    table = pl.DataFrame(
        {
            "feature_index": pl.int_range(frame.length, eager=True),
            "ensembl_id": ids,
            **{name: _text_or_null(values.get(name), frame.length) for name in ("symbol", "biotype", "reference")},
            "is_filtered": to_boolean(values.get("is_filtered"), filtered, 0, frame.length),
            "metadata_extra": metadata_extra(extra, frame.length),
        }
    )
    column = np.arange(frame.length, dtype=np.int32)
    if not ids.is_unique().all():
        table, column = _sum_duplicates(table, ids, where, config)
    return Features(table, column, index.to_list(), frame.findings())


def _check_ids(ids: pl.Series, where: str, columns: pl.DataFrame, config: DatasetConfig) -> None:
    empty = ids.is_null() | (ids.str.strip_chars() == "")
    if empty.any():
        row = int(empty.arg_max() or 0)
        raise RefusedSourceError(
            "feature_ids",
            f"{where} has no id in row {row} ({int(empty.sum())} rows in all); fill it in or leave them out.",
        )
    if config.feature_ids == "any":
        return
    wrong = ~is_ensembl(ids)
    if not wrong.any():
        return
    row = int(wrong.arg_max() or 0)
    advice = _advice(columns)
    raise RefusedSourceError(
        "feature_ids",
        f"{where} must hold Ensembl ids, but {int(wrong.sum())} of {len(ids)} are not, the first {ids[row]!r} "
        f"in row {row}; {advice}.",
    )


def _advice(columns: pl.DataFrame) -> str:
    for name in columns.columns:
        if columns[name].dtype == pl.String and len(columns):
            share = is_ensembl(strip_version(columns[name])).fill_null(value=False).sum() / len(columns)
            if share > 0.5:
                return f"the column {name!r} holds Ensembl ids: configure var_mapping: {{{name}: ensembl_id}}"
    return (
        "name the column that holds them with var_mapping: {<column>: ensembl_id}, "
        "or allow any ids with feature_ids: any"
    )


def _sum_duplicates(
    table: pl.DataFrame, ids: pl.Series, where: str, config: DatasetConfig
) -> tuple[pl.DataFrame, NDArray[np.int32]]:
    if config.duplicate_features == "error":
        first = ids.filter(ids.is_duplicated())[0]
        rows = [row for row, name in enumerate(ids) if name == first]
        raise RefusedSourceError(
            "feature_ids",
            f"{ids.filter(ids.is_duplicated()).n_unique()} feature ids stand more than once in {where}, "
            f"the first {first!r} in rows {', '.join(map(str, rows[:5]))}; make them unique or configure "
            "duplicate_features: sum.",
        )
    first_of = table.select(pl.col("feature_index").min().over("ensembl_id")).to_series()
    return table.filter(pl.col("feature_index") == first_of), first_of.to_numpy().astype(np.int32)


def _text_or_null(values: pl.Series | None, length: int) -> pl.Series:
    if values is None:
        return pl.Series([None] * length, dtype=pl.String)
    return values.cast(pl.String)
