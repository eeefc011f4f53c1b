"""The files that the contestants read: gzip ``.h5ad`` of single-cell counts, made once for a size."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = ("T cell", "B cell", "monocyte", "fibroblast", "neuron", "hepatocyte", "endothelial cell", "macrophage")
_TISSUES = ("lung", "blood", "brain", "liver", "kidney", "spleen")


@dataclass(frozen=True)
class Corpus:
    """How many cells in how many files, over how many genes, with how many transcripts drawn a cell (the median)."""

    cells: int
    files: int
    genes: int = 20_000
    depth: int = 4_200
    seed: int = 0


def make_corpus(folder: Path, corpus: Corpus, processes: int) -> list[Path]:
    """Make the files that are missing.

    A cell's type decides which genes are likely (log-normal weights), a log-normal depth how many transcripts are
    drawn, in bursts of logarithmic-series size: so counts of a gene are negative binomial, and most are 1.

    :param folder: Where they go.
    :param corpus: What is made; the same gives the same bytes of counts.
    :param processes: Files made side by side.
    :return: The files, in order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"source_{number:04d}.h5ad" for number in range(corpus.files)]
    missing = [(path, number, corpus) for number, path in enumerate(paths) if not path.exists()]
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(_make_file, missing))
    return paths


def _make_file(asked: tuple[Path, int, Corpus]) -> None:
    import anndata
    import pandas as pd

    path, number, corpus = asked
    cells = corpus.cells // corpus.files + (number < corpus.cells % corpus.files)
    random = np.random.default_rng([corpus.seed, number])
    types = random.choice(len(_TYPES), cells, p=random.dirichlet(np.ones(len(_TYPES))))
    matrix = _draw(random, _programmes(corpus), types, corpus)

    def text(codes: NDArray[np.integer[Any]], names: Sequence[str]) -> Any:
        return pd.Categorical.from_codes(codes.astype(np.int16), categories=pd.Index(names))

    donors = random.integers(0, 6, cells)
    obs = pd.DataFrame(
        {
            "cell_type": text(types, _TYPES),
            "tissue": text(np.full(cells, number % len(_TISSUES)), _TISSUES),
            "donor_id": text(donors, [f"donor {number:04d}-{donor}" for donor in range(6)]),
            "sex": text(donors % 2, ("male", "female")),
            "assay": text(random.integers(0, 2, cells), ("10x 3' v3", "10x 5' v1")),
            "is_primary_data": np.ones(cells, bool),
            "src_row": np.arange(cells),
        },
        index=[f"{number:04d}-{cell:07d}-AAACCTG" for cell in range(cells)],
    )
    genes = [f"ENSG{100_000 + gene:011d}" for gene in range(corpus.genes)]
    var = pd.DataFrame({"feature_name": [f"GENE{gene}" for gene in range(corpus.genes)]}, index=genes)
    partial = path.with_suffix(".partial")
    anndata.AnnData(X=matrix, obs=obs, var=var).write_h5ad(partial, compression="gzip")
    partial.rename(path)


def _programmes(corpus: Corpus) -> list[NDArray[np.int32]]:
    """Return, for each cell type, genes in a table that is drawn from evenly."""
    random = np.random.default_rng([corpus.seed, 2**31])
    base = random.lognormal(0, 2.15, corpus.genes)
    places = (np.arange(2**18) + 0.5) / 2**18
    tables = []
    for _ in _TYPES:
        weights = np.cumsum(base * random.lognormal(0, 1.0, corpus.genes))
        tables.append(np.searchsorted(weights / weights[-1], places).astype(np.int32))
    return tables


def _draw(
    random: np.random.Generator, programmes: list[NDArray[np.int32]], types: NDArray[np.int64], corpus: Corpus
) -> Any:
    from scipy import sparse

    parts = []
    for start in range(0, len(types), 256):
        chosen = types[start : start + 256]
        depth = np.maximum(200, corpus.depth * random.lognormal(0, 0.55, len(chosen))).astype(np.int64)
        rows = np.repeat(np.arange(len(chosen)), depth)
        table = np.stack(programmes)
        genes = table[chosen[rows], random.integers(0, table.shape[1], len(rows))]
        bursts = random.logseries(0.3, len(rows)).astype(np.float32)
        block = sparse.coo_matrix((bursts, (rows, genes)), shape=(len(chosen), corpus.genes)).tocsr()
        parts.append(block)
    return sparse.vstack(parts, format="csr")
