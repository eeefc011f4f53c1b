"""The features of a curriculum: which genes in which order, who measured them, and where an ingest has them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from omics_datastore.curriculum.feature_schema import INTERSECTION, UNION, FeatureSchema, load_feature_schema
from omics_datastore.errors import InputError
from omics_datastore.query.curriculum import features_of_ingests
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.warehouse import Warehouse

INGESTS_AT_ONCE = 64
"""Ingests whose features are held at once."""


@dataclass(frozen=True)
class CurriculumFeatures:
    """The features of a curriculum.

    ``table`` has ``feature_id``, ``feature_name`` (the id where no symbol is known), and int64 ``sources_measured`` and
    ``cells_measured``: how many of the ingests, and of the selected cells, had the feature among theirs.
    ``measured`` says for each ingest which of the features it had: bool (features,), one array for ingests alike.
    """

    table: pl.DataFrame
    measured: dict[str, NDArray[np.bool_]]
    schema_digest: str | None


def curriculum_features(
    asked: str, cells_by_ingest: dict[str, int], warehouse: Warehouse, store: ObjectStore
) -> CurriculumFeatures:
    """Find the features that a specification asks for.

    :param asked: A feature schema's name, ``union`` or ``intersection``.
    :param cells_by_ingest: Selected cells of each ingest; at least one.
    :param warehouse: The warehouse.
    :param store: Object store of the feature schemas.
    :return: The features: in the order of the schema, else sorted by id.
    :raise InputError: When the schema is not there, or no feature is left that an ingest measured.
    """
    schema = None if asked in (UNION, INTERSECTION) else load_feature_schema(store, asked)
    seen = _measured_by_any(cells_by_ingest, warehouse)
    if schema is not None:
        table = _in_schema_order(schema, seen)
    elif asked == INTERSECTION:
        table = seen.filter(pl.col("sources_measured") == len(cells_by_ingest))
    else:
        table = seen
    table = table.with_columns(pl.col("feature_name").fill_null(pl.col("feature_id")))
    if not table.filter(pl.col("sources_measured") > 0).height:
        what = f"feature schema {asked}" if schema else f"the {asked} of their features"
        raise InputError(
            f"no gene of {what} was measured by any of the {len(cells_by_ingest)} selected ingests; "
            "choose other features or other cells."
        )
    maps = FeatureMaps(table["feature_id"], list(cells_by_ingest), warehouse)
    return CurriculumFeatures(table, _masks(maps, table.height), schema.digest() if schema else None)


class FeatureMaps:
    """Where ingests have the features of a curriculum: ``feature_index`` to column.

    Ingests with the same features, as is common, share one array.

    :param feature_ids: The features of the curriculum in order.
    :param ingest_ids: The ingests.
    :param warehouse: The warehouse.
    """

    def __init__(self, feature_ids: pl.Series, ingest_ids: Sequence[str], warehouse: Warehouse) -> None:
        columns = pl.DataFrame({"ensembl_id": feature_ids, "column": np.arange(len(feature_ids), dtype=np.int32)})
        kept: dict[bytes, NDArray[np.int32]] = {}
        self._maps: dict[str, NDArray[np.int32]] = {}
        for frame in _feature_rows(ingest_ids, warehouse):
            placed = frame.join(columns, on="ensembl_id", how="left")
            for (ingest_id,), part in placed.group_by("ingest_id"):
                found = feature_map(part["feature_index"], part["column"])
                self._maps[str(ingest_id)] = kept.setdefault(found.tobytes(), found)

    def __getitem__(self, ingest_id: str) -> NDArray[np.int32]:
        """Return the map of an ingest: int32 (largest feature_index + 1,), -1 where the feature is not wanted."""
        return self._maps.get(ingest_id, np.empty(0, np.int32))

    def all(self) -> Iterator[tuple[str, NDArray[np.int32]]]:
        """Give every ingest with its map."""
        yield from self._maps.items()


def _masks(maps: FeatureMaps, features: int) -> dict[str, NDArray[np.bool_]]:
    kept: dict[int, NDArray[np.bool_]] = {}
    masks: dict[str, NDArray[np.bool_]] = {}
    for ingest_id, found in maps.all():
        if id(found) not in kept:
            mask = np.zeros(features, np.bool_)
            mask[found[found >= 0]] = True
            kept[id(found)] = mask
        masks[ingest_id] = kept[id(found)]
    return masks


def feature_map(feature_index: pl.Series, column: pl.Series) -> NDArray[np.int32]:
    """Turn pairs of feature index and column into an array to look columns up in.

    :param feature_index: Positions in the source file, none twice.
    :param column: Columns of the curriculum; null where the feature is not wanted.
    :return: int32 array of the largest feature index + 1, -1 where no column is.
    """
    index = feature_index.to_numpy()
    found = np.full(int(index.max(initial=-1)) + 1, -1, np.int32)
    found[index] = column.fill_null(-1).to_numpy()
    return found


def _feature_rows(ingest_ids: Sequence[str], warehouse: Warehouse) -> Iterator[pl.DataFrame]:
    for start in range(0, len(ingest_ids), INGESTS_AT_ONCE):
        yield warehouse.query(features_of_ingests(ingest_ids[start : start + INGESTS_AT_ONCE]))


def _measured_by_any(cells_by_ingest: dict[str, int], warehouse: Warehouse) -> pl.DataFrame:
    """Return every feature of the ingests with its smallest symbol and who measured it, sorted by id."""
    seen = pl.DataFrame(
        schema={
            "feature_id": pl.String,
            "feature_name": pl.String,
            "sources_measured": pl.Int64,
            "cells_measured": pl.Int64,
        }
    )
    for frame in _feature_rows(list(cells_by_ingest), warehouse):
        cells = pl.col("ingest_id").replace_strict(cells_by_ingest, return_dtype=pl.Int64)
        symbol = pl.col("symbol").str.strip_chars()
        new = frame.select(
            feature_id="ensembl_id",
            feature_name=pl.when(symbol != "").then(symbol),
            sources_measured=pl.lit(1, pl.Int64),
            cells_measured=cells,
        )
        seen = (
            pl.concat([seen, new])
            .group_by("feature_id")
            .agg(pl.col("feature_name").min(), pl.col("sources_measured", "cells_measured").sum())
        )
    return seen.sort("feature_id")


def _in_schema_order(schema: FeatureSchema, seen: pl.DataFrame) -> pl.DataFrame:
    joined = schema.features.join(seen, on="feature_id", how="left", maintain_order="left", suffix="_seen")
    return joined.select(
        "feature_id",
        pl.coalesce("feature_name", "feature_name_seen").alias("feature_name"),
        pl.col("sources_measured", "cells_measured").fill_null(0),
    )
