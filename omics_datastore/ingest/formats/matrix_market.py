"""A matrix-market matrix with its barcodes and features, as Cell Ranger and most aligners write it."""

from pathlib import Path

import numpy as np

from omics_datastore.ingest.formats.gene_expression import FEATURE_TYPE, GeneFeatures, keep_genes
from omics_datastore.ingest.formats.h5ad_draft import H5adDraft
from omics_datastore.ingest.formats.matrix_market_text import MatrixMarketText
from omics_datastore.ingest.formats.text_lines import TextFile
from omics_datastore.ingest.manifest import Finding
from omics_datastore.ingest.refusal import RefusedSourceError
from omics_datastore.ingest.row_order import CountsInOrder
from omics_datastore.ingest.source_kinds import BARCODES, FEATURES, MATRIX

_FEATURE_COLUMNS = ("feature_name", FEATURE_TYPE)


def convert_matrix_market(
    files: dict[str, Path], target: Path, max_file_bytes: int | None, memory_limit_bytes: int, scratch: Path
) -> list[Finding]:
    """Write the counts of a matrix-market matrix as ``.h5ad``.

    The entries may come in any order; those of one cell and feature are added up.

    :param files: Its files by name.
    :param target: The file to write.
    :param max_file_bytes: The configured limit of a file's size, for the unpacked ones.
    :param memory_limit_bytes: Bytes of cell data to hold at once.
    :param scratch: Where entries may be laid aside.
    :return: Warnings.
    :raise RefusedSourceError: When a file is missing or damaged, or they contradict each other.
    """
    matrix_file, cells_file, features_file = (
        TextFile(files[name], name, max_file_bytes) for name in _three_names(list(files))
    )
    matrix = MatrixMarketText(matrix_file)
    features, cells = matrix.shape
    genes = _read_features(features_file)
    with H5adDraft(target, np.dtype(np.int32)) as draft:
        draft.write_features(genes.ids, genes.columns)
        barcodes = 0
        for rows in cells_file.rows(1, 1):
            draft.add_cells([row[0] for row in rows])
            barcodes += len(rows)
        _check_lengths(
            matrix_file.name, (features, cells), features_file.name, len(genes.place), cells_file.name, barcodes
        )
        counts = CountsInOrder(np.arange(cells), features, matrix.stored, memory_limit_bytes, 1, scratch)
        try:
            for entries in matrix.entries():
                counts.add_entries(entries.cells, entries.features, entries.counts)
            for _, found in counts.ranges():
                lengths, columns, kept = genes.select(np.diff(found.indptr).astype(np.int64), found.indices)
                draft.add_rows(lengths, columns, found.data if kept is None else found.data[kept])
        finally:
            counts.close()
    return genes.findings


def _three_names(names: list[str]) -> list[str]:
    """Return the names of the matrix, the barcodes and the features."""
    chosen: list[str] = []
    for role, endings in (("matrix", MATRIX), ("barcodes", BARCODES), ("features", FEATURES)):
        found = sorted(name for name in names if name.endswith(endings))
        if len(found) > 1:
            raise RefusedSourceError(
                "readable", f"there are both {' and '.join(found)}; keep the one that belongs to the matrix."
            )
        if not found:
            prefix = chosen[0].removesuffix(".gz").removesuffix(MATRIX[0])
            alternatives = [f"{prefix}{ending}" for ending in endings if not ending.endswith(".gz")]
            raise RefusedSourceError(
                "readable",
                f"there is no {' or '.join(alternatives)} (or .gz) beside {chosen[0]}; put the {role} there.",
            )
        chosen.append(found[0])
    return chosen


def _read_features(file: TextFile) -> GeneFeatures:
    rows = [row for part in file.rows(1, 3) for row in part]
    width = len(rows[0]) if rows else 1
    columns = {name: [row[place] for row in rows] for place, name in enumerate(_FEATURE_COLUMNS, 1) if place < width}
    return keep_genes([row[0] for row in rows], columns)


def _check_lengths(
    matrix: str, shape: tuple[int, int], features_file: str, features: int, cells_file: str, cells: int
) -> None:
    if shape == (features, cells):
        return
    turned = " (it holds cells x features: transpose it)" if shape == (cells, features) else ""
    raise RefusedSourceError(
        "matrix_structure",
        f"{matrix} has {shape[0]} rows and {shape[1]} columns{turned}, but {features_file} has {features} features and "
        f"{cells_file} {cells} cells; put the files together that belong together.",
    )
