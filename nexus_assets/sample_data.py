"""Sample data for ``nexus demo``: four small source files of two datasets that look like published ones.

Cells are drawn from cell types with marker genes of their own; everything else is made up. The files differ as
dropped files do: in their genes and the order of these, in where the counts are, and in how the matrix is stored.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import anndata
    import pandas as pd

MARKERS = {
    "ACTB": "ENSG00000075624",
    "AGER": "ENSG00000204305",
    "B2M": "ENSG00000166710",
    "CCR7": "ENSG00000126353",
    "CD14": "ENSG00000170458",
    "CD3D": "ENSG00000167286",
    "CD3E": "ENSG00000198851",
    "CD4": "ENSG00000010610",
    "CD68": "ENSG00000129226",
    "CD74": "ENSG00000019582",
    "CD79A": "ENSG00000105369",
    "CD79B": "ENSG00000007312",
    "CD8A": "ENSG00000153563",
    "CD8B": "ENSG00000172116",
    "CDH5": "ENSG00000179776",
    "COL1A1": "ENSG00000108821",
    "COL1A2": "ENSG00000164692",
    "CST3": "ENSG00000101439",
    "DCN": "ENSG00000011465",
    "EPCAM": "ENSG00000119888",
    "FCER1A": "ENSG00000179639",
    "FCGR3A": "ENSG00000203747",
    "FOXJ1": "ENSG00000129654",
    "FTH1": "ENSG00000167996",
    "FTL": "ENSG00000087086",
    "GAPDH": "ENSG00000111640",
    "GNLY": "ENSG00000115523",
    "GZMA": "ENSG00000145649",
    "GZMB": "ENSG00000100453",
    "HLA-DRA": "ENSG00000204287",
    "IL7R": "ENSG00000168685",
    "KLRD1": "ENSG00000134539",
    "LUM": "ENSG00000139329",
    "LYZ": "ENSG00000090382",
    "MALAT1": "ENSG00000251562",
    "MARCO": "ENSG00000019169",
    "MKI67": "ENSG00000148773",
    "MS4A1": "ENSG00000156738",
    "MT-CO1": "ENSG00000198804",
    "MT-ND1": "ENSG00000198888",
    "NKG7": "ENSG00000105374",
    "PECAM1": "ENSG00000261371",
    "PF4": "ENSG00000163737",
    "PPBP": "ENSG00000163736",
    "PRF1": "ENSG00000180644",
    "PTPRC": "ENSG00000081237",
    "S100A8": "ENSG00000143546",
    "S100A9": "ENSG00000163220",
    "SCGB1A1": "ENSG00000149021",
    "SFTPB": "ENSG00000168878",
    "SFTPC": "ENSG00000168484",
    "TMSB4X": "ENSG00000205542",
    "VWF": "ENSG00000110799",
}
"""Symbols and Ensembl ids of real human genes."""

_EVERYWHERE = ("ACTB", "B2M", "FTH1", "FTL", "GAPDH", "MALAT1", "MT-CO1", "MT-ND1", "TMSB4X")
_MADE_UP_GENES = 2400
_GENES_OF_A_FILE = 0.85


@dataclass(frozen=True)
class _CellType:
    label: str
    term: str
    markers: tuple[str, ...]
    share: float


_BLOOD = (
    _CellType("CD4-positive, alpha-beta T cell", "CL:0000624", ("CD3D", "CD3E", "CD4", "IL7R", "CCR7", "PTPRC"), 0.32),
    _CellType("CD8-positive, alpha-beta T cell", "CL:0000625", ("CD3D", "CD3E", "CD8A", "CD8B", "GZMA", "PTPRC"), 0.2),
    _CellType("natural killer cell", "CL:0000623", ("NKG7", "GNLY", "KLRD1", "PRF1", "GZMB", "FCGR3A"), 0.12),
    _CellType("B cell", "CL:0000236", ("MS4A1", "CD79A", "CD79B", "CD74", "HLA-DRA"), 0.12),
    _CellType("classical monocyte", "CL:0000860", ("LYZ", "CD14", "S100A8", "S100A9", "CST3", "CD68"), 0.16),
    _CellType("conventional dendritic cell", "CL:0000990", ("FCER1A", "CST3", "HLA-DRA", "CD74", "LYZ"), 0.05),
    _CellType("platelet", "CL:0000233", ("PPBP", "PF4"), 0.03),
)
_LUNG = (
    _CellType("pulmonary alveolar type 2 cell", "CL:0002063", ("SFTPC", "SFTPB", "EPCAM", "CD74"), 0.26),
    _CellType("pulmonary alveolar type 1 cell", "CL:0002062", ("AGER", "EPCAM"), 0.1),
    _CellType("club cell", "CL:0000158", ("SCGB1A1", "EPCAM"), 0.07),
    _CellType("ciliated cell", "CL:0000064", ("FOXJ1", "EPCAM"), 0.06),
    _CellType("alveolar macrophage", "CL:0000583", ("MARCO", "CD68", "LYZ", "CST3", "HLA-DRA", "MKI67"), 0.22),
    _CellType("endothelial cell", "CL:0000115", ("PECAM1", "VWF", "CDH5"), 0.12),
    _CellType("fibroblast", "CL:0000057", ("COL1A1", "COL1A2", "DCN", "LUM"), 0.09),
    _CellType("T cell", "CL:0000084", ("CD3D", "CD3E", "IL7R", "PTPRC"), 0.08),
)


@dataclass(frozen=True)
class _File:
    """One source file: its path, share of the cells, cell types, storage, and the labels that all of its cells have."""

    path: str
    share: float
    cell_types: tuple[_CellType, ...]
    stored: str
    schema_version: str
    labels: dict[str, tuple[str, str]]
    suspension_type: str = "cell"


def _labels(assay: tuple[str, str], age: int, disease: tuple[str, str], sex: str, tissue: str) -> dict[str, Any]:
    return {
        "assay": assay,
        # Terms of ages in years are numbered one after the other.
        "development_stage": (f"{age}-year-old stage", f"HsapDv:{94 + age:07d}"),
        "disease": disease,
        "self_reported_ethnicity": ("unknown", "unknown"),
        "sex": (sex, {"female": "PATO:0000383", "male": "PATO:0000384"}[sex]),
        "tissue": (tissue, {"blood": "UBERON:0000178", "lung": "UBERON:0002048"}[tissue]),
    }


_V2, _V3 = ("10x 3' v2", "EFO:0009899"), ("10x 3' v3", "EFO:0009922")
_NORMAL, _CANCER = ("normal", "PATO:0000461"), ("lung adenocarcinoma", "MONDO:0005061")
_FILES = (
    _File("pbmc/pbmc_donor_a.h5ad", 0.35, _BLOOD, "csr", "5.2.0", _labels(_V3, 35, _NORMAL, "female", "blood")),
    _File("pbmc/pbmc_donor_b.h5ad", 0.25, _BLOOD, "raw", "5.2.0", _labels(_V2, 52, _NORMAL, "male", "blood")),
    _File("lung-atlas/lung_donor_c.h5ad", 0.25, _LUNG, "csc", "7.0.0", _labels(_V3, 61, _NORMAL, "male", "lung")),
    _File(
        "lung-atlas/lung_donor_d.h5ad",
        0.15,
        _LUNG,
        "dense",
        "7.0.0",
        _labels(_V3, 58, _CANCER, "female", "lung"),
        "nucleus",
    ),
)


def make_sample(folder: Path, cells: int = 3000, seed: int = 0) -> list[Path]:
    """Write the source files of two datasets, one folder each.

    :param folder: Where to; made if need be.
    :param cells: Cells in all, at least ten a file.
    :param seed: The same seed gives the same bytes.
    :return: The files.
    """
    symbols = [*MARKERS, *(f"SYN{number:05d}" for number in range(_MADE_UP_GENES))]
    ids = [*MARKERS.values(), *(f"ENSG{90_000_000_000 + number:011d}" for number in range(_MADE_UP_GENES))]
    # Few genes are abundant and most are rare, as in every tissue.
    abundance = np.random.default_rng([seed, 0]).lognormal(-1.6, 1.5, len(ids))
    paths = []
    for number, file in enumerate(_FILES, start=1):
        random = np.random.default_rng([seed, number])
        data = _make_file(random, file, max(10, round(cells * file.share)), np.array(symbols), np.array(ids), abundance)
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        data.write_h5ad(path, compression="gzip")
        paths.append(path)
    return paths


def _make_file(
    random: np.random.Generator,
    file: _File,
    cells: int,
    symbols: NDArray[np.str_],
    ids: NDArray[np.str_],
    abundance: NDArray[np.float64],
) -> "anndata.AnnData":
    import anndata
    import pandas as pd
    from scipy import sparse

    kept = random.permutation(len(ids))[: int(len(ids) * _GENES_OF_A_FILE)]
    shares = np.array([cell_type.share for cell_type in file.cell_types])
    kinds = random.choice(len(shares), cells, p=shares / shares.sum())
    counts = sparse.csr_matrix(_draw_counts(random, file, kinds, symbols[kept], abundance[kept]))
    var = pd.DataFrame(
        {
            "feature_name": symbols[kept].astype(object),
            "feature_biotype": pd.Categorical(["gene"] * len(kept)),
            "feature_reference": pd.Categorical(["NCBITaxon:9606"] * len(kept)),
            "feature_is_filtered": np.zeros(len(kept), bool),
        },
        index=pd.Index(ids[kept].astype(object)),
    )
    data = anndata.AnnData(counts, _make_obs(random, file, kinds, counts, symbols[kept]), var)
    title = file.path.removesuffix(".h5ad").rpartition("/")[2].replace("_", " ")
    data.uns = {"title": f"Sample: {title}", "schema_version": file.schema_version, "citation": "Made by nexus demo."}
    if file.schema_version >= "7":
        data.uns["organism_ontology_term_id"] = "NCBITaxon:9606"
    if file.stored == "raw":
        data.raw = data.copy()
        scale = 1e4 / np.maximum(1.0, np.asarray(counts.sum(axis=1)).ravel())
        data.X.data = np.log1p(data.X.data * np.repeat(scale, np.diff(counts.indptr))).astype(np.float32)
    elif file.stored == "csc":
        data.X = sparse.csc_matrix(counts)
    elif file.stored == "dense":
        data.X = counts.toarray()
    return data


def _draw_counts(
    random: np.random.Generator,
    file: _File,
    kinds: NDArray[np.int64],
    symbols: NDArray[np.str_],
    abundance: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Draw negative-binomial counts (cells, genes): Poisson around a gamma-distributed rate."""
    rates = np.tile(abundance, (len(file.cell_types), 1))
    rates[:, np.isin(symbols, _EVERYWHERE)] = 15.0
    for kind, cell_type in enumerate(file.cell_types):
        # Every type has some made-up genes of its own besides the markers.
        rates[kind, random.choice(len(symbols), 60, replace=False)] *= 8
        rates[kind, np.isin(symbols, cell_type.markers)] = random.uniform(8, 25)
    for kind, cell_type in enumerate(file.cell_types):
        others = np.isin(symbols, list(MARKERS)) & ~np.isin(symbols, (*cell_type.markers, *_EVERYWHERE))
        rates[kind, others] = 0.02
    depth = random.lognormal(0, 0.35, (len(kinds), 1))
    return random.poisson(random.gamma(2.0, rates[kinds] * depth / 2.0)).astype(np.float32)


def _make_obs(
    random: np.random.Generator,
    file: _File,
    kinds: NDArray[np.int64],
    counts: Any,
    symbols: NDArray[np.str_],
) -> "pd.DataFrame":
    import pandas as pd

    cells = len(kinds)
    columns: dict[str, Any] = {}
    for name, (label, term) in file.labels.items():
        columns[name] = pd.Categorical([label] * cells)
        columns[f"{name}_ontology_term_id"] = pd.Categorical([term] * cells)
    columns["cell_type"] = pd.Categorical([file.cell_types[kind].label for kind in kinds])
    columns["cell_type_ontology_term_id"] = pd.Categorical([file.cell_types[kind].term for kind in kinds])
    if file.schema_version < "7":  # later versions name the organism once, in uns
        columns["organism"] = pd.Categorical(["Homo sapiens"] * cells)
        columns["organism_ontology_term_id"] = pd.Categorical(["NCBITaxon:9606"] * cells)
    columns["donor_id"] = pd.Categorical([file.path.removesuffix(".h5ad").partition("_")[2]] * cells)
    columns["suspension_type"] = pd.Categorical([file.suspension_type] * cells)
    columns["tissue_type"] = pd.Categorical(["tissue"] * cells)
    columns["is_primary_data"] = np.ones(cells, bool)
    columns["batch"] = pd.Categorical(random.choice(["lane 1", "lane 2"], cells))
    mitochondrial = np.asarray(counts[:, np.char.startswith(symbols, "MT-")].sum(axis=1)).ravel()
    total = np.maximum(1.0, np.asarray(counts.sum(axis=1)).ravel())
    columns["percent_mito"] = (100 * mitochondrial / total).astype(np.float32)
    letters = np.array(list("ACGT"))[random.integers(0, 4, (cells, 16))]
    return pd.DataFrame(columns, index=pd.Index([f"{''.join(row)}-1" for row in letters], dtype=object))
