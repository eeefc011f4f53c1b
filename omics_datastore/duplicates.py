"""Find the same cell in two datasets: cells with equal counts of equal genes, whatever they are called.

All counts are read once and a digest of each cell is kept, 32 bytes a cell. A digest does not depend on the order of
the genes nor on genes without a count, so datasets with different gene lists can be compared.
"""

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from omics_datastore.query.cells import selected_cells
from omics_datastore.query.curriculum import features_of_ingests
from omics_datastore.query.filters import CellFilter
from omics_datastore.shuffle import mix
from omics_datastore.warehouse.warehouse import Warehouse

LEAST_FEATURES = 20
"""Cells with fewer genes are not compared: a few small counts agree by chance."""
_CELLS_AT_ONCE = 65_536
_EXAMPLES = 3
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class SharedCells(BaseModel):
    """Two datasets that share cells: how many different ones, how many rows of each, and examples.

    An example is a pair of ``<ingest_id>:<cell_index>``, first that of ``dataset``.
    """

    dataset: str
    other: str
    shared: int
    cells: int
    other_cells: int
    examples: list[tuple[str, str]]


def find_shared_cells(
    warehouse: Warehouse,
    *,
    least_features: int = LEAST_FEATURES,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[SharedCells]:
    """Compare the cells of all current datasets by their counts.

    :param warehouse: The warehouse.
    :param least_features: Compare cells with at least so many genes.
    :param on_progress: Called with the cells read and the cells in all.
    :return: Pairs of datasets that share cells, most shared first.
    """
    ingests = warehouse.ingests().filter("is_current").sort("dataset", "ingest_id")
    total, done = int(ingests["cell_count"].sum()), 0
    parts: list[pl.DataFrame] = []
    for row in ingests.iter_rows(named=True):
        dataset = pl.lit(row["dataset"], pl.Categorical)
        parts += [part.with_columns(dataset=dataset) for part in _digests(warehouse, row["ingest_id"], least_features)]
        done += row["cell_count"]
        if on_progress is not None:
            on_progress(done, total)
    return _pairs(pl.concat(parts)) if parts else []


def cell_digests(
    genes: NDArray[np.uint64], indptr: NDArray[np.int64], feature_index: NDArray[np.int32], counts: NDArray[np.int32]
) -> NDArray[np.uint64]:
    """Return the digests of cells: sums of hashes of (gene, count), modulo 2**64 in two ways.

    :param genes: uint64 (features, 2), hashes of the genes by feature index.
    :param indptr: int64 (n + 1,), CSR.
    :param feature_index: int32 (nnz,), in any order inside a cell.
    :param counts: int32 (nnz,).
    :return: uint64 (n, 2).
    """
    found = np.empty((len(indptr) - 1, 2), np.uint64)
    counted = mix(counts.astype(np.uint64) * _GOLDEN)
    for way in range(2):
        sums = np.zeros(len(counts) + 1, np.uint64)
        np.cumsum(mix(genes[feature_index, way] ^ counted), out=sums[1:])
        found[:, way] = sums[indptr[1:]] - sums[indptr[:-1]]
    return found


def gene_hashes(ensembl_ids: list[str]) -> NDArray[np.uint64]:
    """Return two hashes of each gene id.

    :param ensembl_ids: Ids of genes.
    :return: uint64 (genes, 2).
    """
    content = b"".join(hashlib.blake2b(name.encode(), digest_size=16).digest() for name in ensembl_ids)
    return np.frombuffer(content, "<u8").reshape(-1, 2).astype(np.uint64)


def _digests(warehouse: Warehouse, ingest_id: str, least_features: int) -> Iterator[pl.DataFrame]:
    features = warehouse.query(features_of_ingests([ingest_id]))
    genes = np.zeros((int(features["feature_index"].to_numpy().max(initial=-1)) + 1, 2), np.uint64)
    genes[features["feature_index"].to_numpy()] = gene_hashes(features["ensembl_id"].to_list())
    enough = CellFilter.model_validate({"n_features__gte": max(1, least_features)})
    cells = selected_cells(enough, [ingest_id]).select("ingest_id", "cell_index", "shuffle_key")
    for frame in warehouse.stream(cells, _CELLS_AT_ONCE):
        for batch in warehouse.read_counts(frame):
            digests = cell_digests(genes, batch.indptr, batch.feature_index, batch.raw_count)
            yield pl.DataFrame(
                {
                    "one": digests[:, 0],
                    "two": digests[:, 1],
                    "ingest_id": pl.Series([ingest_id], dtype=pl.Categorical).extend_constant(
                        ingest_id, len(batch.rows) - 1
                    ),
                    "cell_index": frame["cell_index"].to_numpy()[batch.rows],
                }
            )


def _pairs(cells: pl.DataFrame) -> list[SharedCells]:
    name = pl.format("{}:{}", pl.col("ingest_id").cast(pl.String), "cell_index")
    twice = cells.filter(pl.col("dataset").n_unique().over("one", "two") > 1)
    held = twice.group_by("one", "two", pl.col("dataset").cast(pl.String)).agg(
        pl.len().alias("cells"), name.sort().first().alias("example")
    )
    joined = held.join(held, on=["one", "two"], suffix="_other").filter(pl.col("dataset") < pl.col("dataset_other"))
    pairs = joined.group_by("dataset", "dataset_other").agg(
        pl.len().alias("shared"),
        pl.col("cells", "cells_other").sum(),
        pl.struct("example", "example_other").sort_by("example", "example_other").head(_EXAMPLES).alias("examples"),
    )
    ordered = pairs.sort("shared", "dataset", "dataset_other", descending=[True, False, False])
    return [
        SharedCells(
            dataset=row["dataset"],
            other=row["dataset_other"],
            shared=row["shared"],
            cells=row["cells"],
            other_cells=row["cells_other"],
            examples=[(pair["example"], pair["example_other"]) for pair in row["examples"]],
        )
        for row in ordered.to_dicts()
    ]
