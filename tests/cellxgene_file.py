"""Make small files that cellxgene-schema 7 takes, and such as it does not."""

from pathlib import Path

import numpy as np

GENES = ("ENSG00000141510", "ENSG00000012048", "ENSG00000157764", "ENSG00000139618", "ENSG00000171862")
WRONG_TISSUE = "UBERON:9999999"
_OBS = {
    "cell_type_ontology_term_id": "CL:0000084",
    "assay_ontology_term_id": "EFO:0009922",
    "disease_ontology_term_id": "PATO:0000461",
    "sex_ontology_term_id": "PATO:0000383",
    "tissue_ontology_term_id": "UBERON:0002048",
    "tissue_type": "tissue",
    "self_reported_ethnicity_ontology_term_id": "unknown",
    "development_stage_ontology_term_id": "unknown",
    "donor_id": "d1",
    "suspension_type": "cell",
}


def make_cellxgene_file(path: Path, cells: int = 40, **obs: str) -> Path:
    """Write a file of the CELLxGENE schema.

    :param path: Where to.
    :param cells: Number of cells.
    :param obs: Values of obs columns that all cells have, in place of right ones.
    """
    import anndata
    import pandas as pd
    from scipy import sparse

    path.parent.mkdir(parents=True, exist_ok=True)
    counts = np.random.default_rng(1).integers(0, 5, (cells, len(GENES))).astype(np.float32)
    counts[:, 0] = np.arange(1, cells + 1)  # no two cells alike, none empty
    columns = {name: pd.Categorical([value] * cells) for name, value in {**_OBS, **obs}.items()}
    anndata.AnnData(
        X=sparse.csr_matrix(counts),
        obs=pd.DataFrame({**columns, "is_primary_data": True}, index=[f"cell{place}" for place in range(cells)]),
        var=pd.DataFrame({"feature_is_filtered": [False] * len(GENES)}, index=list(GENES)),
        uns={"title": "A study", "organism_ontology_term_id": "NCBITaxon:9606"},
        obsm={"X_umap": counts[:, :2]},
    ).write_h5ad(path)
    return path
