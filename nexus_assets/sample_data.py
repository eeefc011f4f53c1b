"""Sample data for ``nexus demo``: four made-up source files of two tissues, each stored in another way.

Cell types are real, with real marker genes; all other genes are made up (``ENSG9…``, ``SYN…``), and so are the counts.
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple

MARKERS: dict[str, dict[str, str]] = {
    "CD4-positive, alpha-beta T cell": {
        "CD3D": "ENSG00000167286",
        "CD3E": "ENSG00000198851",
        "CD4": "ENSG00000010610",
        "IL7R": "ENSG00000168685",
    },
    "B cell": {"MS4A1": "ENSG00000156738", "CD79A": "ENSG00000105369", "CD19": "ENSG00000177455"},
    "natural killer cell": {"NKG7": "ENSG00000105374", "GNLY": "ENSG00000115523", "KLRD1": "ENSG00000134539"},
    "monocyte": {"LYZ": "ENSG00000090382", "CD14": "ENSG00000170458", "S100A8": "ENSG00000143546"},
    "macrophage": {"MARCO": "ENSG00000019169", "CD68": "ENSG00000129226", "CST3": "ENSG00000101439"},
    "endothelial cell": {"PECAM1": "ENSG00000261371", "VWF": "ENSG00000110799"},
    "fibroblast": {"COL1A1": "ENSG00000108821", "COL1A2": "ENSG00000164692", "DCN": "ENSG00000011465"},
    "pulmonary alveolar type 2 cell": {"SFTPC": "ENSG00000168484", "SFTPB": "ENSG00000168878"},
}
"""Marker genes, symbol to Ensembl id, by cell type."""

_TERMS = {
    "CD4-positive, alpha-beta T cell": "CL:0000624",
    "B cell": "CL:0000236",
    "natural killer cell": "CL:0000623",
    "monocyte": "CL:0000576",
    "macrophage": "CL:0000235",
    "endothelial cell": "CL:0000115",
    "fibroblast": "CL:0000057",
    "pulmonary alveolar type 2 cell": "CL:0002063",
}
_OTHER_GENES = 2400
_MEASURED = 0.85
_MEDIAN_UMIS = 2500
_DISPERSION = 0.6


class _File(NamedTuple):
    """A source file: where it goes, what it is of, how its counts are stored."""

    path: str
    tissue: tuple[str, str]
    assay: tuple[str, str]
    sex: tuple[str, str]
    disease: tuple[str, str]
    cell_types: tuple[str, ...]
    stored: Literal["csr", "raw", "csc", "dense"]


_BLOOD = ("blood", "UBERON:0000178")
_LUNG = ("lung", "UBERON:0002048")
_V3 = ("10x 3' v3", "EFO:0009922")
_V2 = ("10x 3' v2", "EFO:0009899")
_FEMALE = ("female", "PATO:0000383")
_MALE = ("male", "PATO:0000384")
_NORMAL = ("normal", "PATO:0000461")
_COVID = ("COVID-19", "MONDO:0100096")
_IN_BLOOD = tuple(MARKERS)[:4]
_IN_LUNG = tuple(MARKERS)[3:]
FILES = (
    _File("pbmc/pbmc_donor_a.h5ad", _BLOOD, _V3, _FEMALE, _NORMAL, _IN_BLOOD, "csr"),
    _File("pbmc/pbmc_donor_b.h5ad", _BLOOD, _V2, _MALE, _COVID, _IN_BLOOD, "raw"),
    _File("lung/lung_donor_c.h5ad", _LUNG, _V3, _MALE, _NORMAL, _IN_LUNG, "csc"),
    _File("lung/lung_donor_d.h5ad", _LUNG, _V3, _FEMALE, _COVID, _IN_LUNG, "dense"),
)


def make_sample(folder: Path, cells: int = 3000, seed: int = 0) -> list[Path]:
    """Write the sample; the same arguments give the same counts and names.

    :param folder: Where the folders of the datasets go.
    :param cells: Cells in all, divided evenly among the files.
    :param seed: Seed of the random numbers.
    :return: The files.
    """
    paths: list[Path] = []
    for number, file in enumerate(FILES):
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(file, max(1, cells // len(FILES)), seed, number).write_h5ad(path, compression="gzip")
        paths.append(path)
    return paths


def _make(file: _File, cells: int, seed: int, number: int) -> Any:
    import anndata
    import numpy as np
    import pandas as pd
    from scipy import sparse

    symbols = [symbol for genes in MARKERS.values() for symbol in genes]
    ids = [identifier for genes in MARKERS.values() for identifier in genes.values()]
    symbols += [f"SYN{gene}" for gene in range(_OTHER_GENES)]
    ids += [f"ENSG9{gene:010d}" for gene in range(_OTHER_GENES)]
    shares = np.random.default_rng([seed, 0]).lognormal(0, 1.8, len(ids))
    rng = np.random.default_rng([seed, 1, number])
    types = rng.integers(0, len(file.cell_types), cells)
    counts = np.empty((cells, len(ids)), np.float32)
    depth = rng.lognormal(np.log(_MEDIAN_UMIS), 0.4, cells)
    for place, name in enumerate(file.cell_types):
        own = shares.copy()
        own[: len(symbols) - _OTHER_GENES] = 0.02
        own[[symbols.index(symbol) for symbol in MARKERS[name]]] = shares.sum() * 0.01
        rows = np.flatnonzero(types == place)
        mean = depth[rows, None] * own / own.sum()
        # A Poisson count of a gamma rate is negative binomial.
        counts[rows] = rng.poisson(rng.gamma(1 / _DISPERSION, mean * _DISPERSION))
    # Every file measures genes of its own, in an order of its own; the markers are always among them.
    extra = len(symbols) - _OTHER_GENES + rng.permutation(_OTHER_GENES)[: int(_OTHER_GENES * _MEASURED)]
    genes = rng.permutation(np.concatenate([np.arange(len(symbols) - _OTHER_GENES), extra]))
    matrix = sparse.csr_matrix(counts[:, genes])
    donor = Path(file.path).stem
    labels = [file.cell_types[kind] for kind in types]
    columns: dict[str, Any] = {"cell_type": labels, "cell_type_ontology_term_id": [_TERMS[label] for label in labels]}
    for column in ("tissue", "assay", "sex", "disease"):
        columns[column], columns[f"{column}_ontology_term_id"] = getattr(file, column)
    columns |= {"donor_id": donor, "suspension_type": "cell", "tissue_type": "tissue"}
    columns |= {"self_reported_ethnicity": "unknown", "self_reported_ethnicity_ontology_term_id": "unknown"}
    obs = pd.DataFrame(columns, index=[f"{donor}-{cell:05d}" for cell in range(cells)]).astype("category")
    obs["is_primary_data"] = True
    obs["batch"] = pd.Categorical([f"{donor}-lane{lane}" for lane in rng.integers(1, 3, cells)])
    var = pd.DataFrame({"feature_name": [symbols[gene] for gene in genes]}, index=[ids[gene] for gene in genes])
    uns = {"title": f"Nexus sample: {donor}", "organism_ontology_term_id": "NCBITaxon:9606"}
    made = anndata.AnnData(matrix, obs=obs, var=var, uns=uns)
    if file.stored == "raw":
        made.raw = made.copy()
        logged = sparse.csr_matrix(matrix.multiply(1e4 / np.maximum(matrix.sum(axis=1), 1)))
        made.X = logged.log1p().astype(np.float32)
    elif file.stored == "csc":
        made.X = matrix.tocsc()
    elif file.stored == "dense":
        made.X = matrix.toarray()
    return made
