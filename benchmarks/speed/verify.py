"""Whether shards hold what the sources hold: totals per cell and per gene of all, and some cells exactly."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.nexus_functions import SHARDS

EXACT_CELLS = 200

MADE: dict[str, tuple[str, str | None]] = {
    "nexus": (SHARDS.format("extract"), "original_id"),
    "nexus, exact": (SHARDS.format("extract-exact"), "original_id"),
    "nexus, grouped": (SHARDS.format("extract-grouped"), "original_id"),
    "floor": ("shards/*.h5ad", None),
    "anndata": ("extract_*.h5ad", "_index"),
    "tiledbsoma": ("extract_*.h5ad", "_index"),
}
"""Where the shards of a contestant are, and the obs column with the names of the sources; the floor keeps places."""


class Sources:
    """What the source files hold, read once; cells have unique names."""

    def __init__(self, paths: Sequence[Path]) -> None:
        import anndata

        self.totals: dict[Any, float] = {}
        self.exact: dict[Any, Any] = {}
        self.names: dict[int, str] = {}
        random = np.random.default_rng(0)
        by_gene: Any = 0.0
        for number, path in enumerate(paths):
            source = anndata.read_h5ad(path)
            names = source.obs_names.to_list()
            self.totals |= dict(zip(names, np.asarray(source.X.sum(axis=1)).ravel().tolist(), strict=True))
            self.names |= {number * 2**32 + row: name for row, name in enumerate(names)}
            by_gene = by_gene + np.asarray(source.X.sum(axis=0), dtype=np.float64).ravel()
            for row in random.choice(source.n_obs, -(-EXACT_CELLS // len(paths)), replace=False):
                self.exact[names[row]] = source.X[row].toarray().ravel()
            self.genes = source.var_names
        self.by_gene = by_gene


def verify(sources: Sources, shards: Sequence[Path], column: str | None) -> dict[str, int]:
    """Compare shards of everything with the sources.

    :param sources: What the source files hold; all have the same genes.
    :param shards: The shards.
    :param column: obs column with the names of the cells, ``_index`` for the index; ``None`` for the floor's places.
    :return: How many cells, genes and exact cells were compared.
    :raise RuntimeError: At the first difference.
    """
    missing, exact = dict(sources.totals), 0
    found_genes: Any = 0.0
    for path in shards:
        names, matrix = _read(path, column, sources)
        found_genes = found_genes + np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()
        totals = np.asarray(matrix.sum(axis=1)).ravel()
        for row, name in enumerate(names):
            if missing.pop(name, None) != totals[row]:
                raise RuntimeError(f"{path.name}: cell {name} has another total, or stands there twice")
            if name in sources.exact:
                exact += 1
                if (matrix[row].toarray().ravel() != sources.exact[name]).any():
                    raise RuntimeError(f"{path.name}: cell {name} has other counts")
    if missing:
        raise RuntimeError(f"{len(missing)} cells are in no shard")
    if not np.array_equal(found_genes, sources.by_gene):
        raise RuntimeError("a gene has another total")
    return {"cells": len(sources.totals), "genes": len(sources.genes), "exact_cells": exact}


def _read(path: Path, column: str | None, sources: Sources) -> tuple[list[str], Any]:
    """Return the names of a shard's cells, and its matrix in the order of the sources' genes."""
    import anndata
    import h5py
    from scipy import sparse

    if column is None:
        with h5py.File(path) as file:
            names = [sources.names[int(cell)] for cell in file["cell"][()]]
            parts = tuple(file[f"X/{part}"][()] for part in ("data", "indices", "indptr"))
        return names, sparse.csr_matrix(parts, shape=(len(names), len(sources.genes)))
    shard = anndata.read_h5ad(path)
    names = shard.obs_names.to_list() if column == "_index" else shard.obs[column].astype(str).to_list()
    return names, shard.X.tocsr()[:, shard.var_names.get_indexer(sources.genes)]
