"""How many genes of a feature schema each dataset of the warehouse measured."""

import numpy as np
import polars as pl

from omics_datastore.curriculum.feature_schema import FeatureSchema
from omics_datastore.curriculum.features import FeatureMaps
from omics_datastore.warehouse.warehouse import Warehouse


def measured_by_dataset(schema: FeatureSchema, warehouse: Warehouse) -> pl.DataFrame:
    """Count the genes of a schema that the current ingests of each dataset have among theirs.

    :param schema: The feature schema.
    :param warehouse: The warehouse.
    :return: ``dataset``, and int64 ``ingests``, ``measured`` (by one of them at least) and ``measured_by_all``; a row
        a dataset, ordered.
    """
    current = warehouse.ingests().filter(pl.col("is_current"))
    ids = current["ingest_id"].to_list()
    maps = FeatureMaps(schema.features["feature_id"], ids, warehouse)
    size = schema.features.height
    rows = []
    for (dataset,), ingests in current.sort("dataset").group_by("dataset", maintain_order=True):
        times = np.zeros(size, np.int64)
        for ingest_id in ingests["ingest_id"]:
            found = maps[ingest_id]
            times[np.unique(found[found >= 0])] += 1
        counts = {"measured": int((times > 0).sum()), "measured_by_all": int((times == ingests.height).sum())}
        rows.append({"dataset": str(dataset), "ingests": ingests.height, **counts})
    types = {"dataset": pl.String, "ingests": pl.Int64, "measured": pl.Int64, "measured_by_all": pl.Int64}
    return pl.DataFrame(rows, schema=types)
