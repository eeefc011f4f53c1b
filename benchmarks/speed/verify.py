"""Whether the shards hold what the sources hold: totals per cell and per gene of all, and some cells exactly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

EXACT_CELLS = 200


def verify(sources: Sequence[Path], shards: Sequence[Path]) -> dict[str, int]:
    """Compare the shards of everything with the sources.

    :param sources: The source files, with unique obs names; the shards have ``original_id``.
    :param shards: The shards.
    :return: How many cells, genes and exact cells were compared.
    :raise RuntimeError: At the first difference.
    """
    import anndata

    cell_totals: dict[str, float] = {}
    gene_totals: Any = 0.0
    chosen: dict[str, Any] = {}
    random = np.random.default_rng(0)
    for path in sources:
        source = anndata.read_h5ad(path)
        cell_totals |= dict(zip(source.obs_names, np.asarray(source.X.sum(axis=1)).ravel(), strict=True))
        gene_totals = gene_totals + _by_gene(source)
        for row in random.choice(source.n_obs, -(-EXACT_CELLS // len(sources)), replace=False):
            chosen[source.obs_names[row]] = (source.X[row], source.var_names)
    found_genes: Any = 0.0
    compared = exact = 0
    for path in shards:
        shard = anndata.read_h5ad(path)
        found_genes = found_genes + _by_gene(shard)
        totals = np.asarray(shard.X.sum(axis=1)).ravel()
        for row, name in enumerate(shard.obs["original_id"]):
            if cell_totals.pop(name, None) != totals[row]:
                raise RuntimeError(f"{path.name}: cell {name} has another total, or stands there twice")
            compared += 1
            if name in chosen:
                counts, genes = chosen.pop(name)
                if (shard[row].to_df().iloc[0][genes].to_numpy() != counts.toarray().ravel()).any():
                    raise RuntimeError(f"{path.name}: cell {name} has other counts")
                exact += 1
    if cell_totals or chosen:
        raise RuntimeError(f"{len(cell_totals)} cells are in no shard")
    if not found_genes.sub(gene_totals, fill_value=0).eq(0).all():
        raise RuntimeError("a gene has another total")
    return {"cells": compared, "genes": len(found_genes), "exact_cells": exact}


def _by_gene(data: Any) -> Any:
    import pandas as pd

    return pd.Series(np.asarray(data.X.sum(axis=0), dtype=np.float64).ravel(), index=data.var_names)
