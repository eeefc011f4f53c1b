"""10x Genomics ``.h5`` files of Cell Ranger 3 and later (a group ``matrix``) and of Cell Ranger 2 (one a genome).

The matrix is stored by columns of features x barcodes, which are the rows of cells x features.
Format: 10x Genomics, "Feature-Barcode Matrices (HDF5)".
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from omics_datastore.ingest.declared_size import check_rows, held_dataset
from omics_datastore.ingest.formats.gene_expression import FEATURE_TYPE, GeneFeatures, keep_genes
from omics_datastore.ingest.formats.h5ad_draft import H5adDraft
from omics_datastore.ingest.frame_values import text
from omics_datastore.ingest.manifest import Finding
from omics_datastore.ingest.matrix import Matrix, RowBlock
from omics_datastore.ingest.refusal import RefusedSourceError
from omics_datastore.ingest.source_file import open_source, refuse_damage

_CELLS_AT_ONCE = 2**16
_ENTRIES = ("data", "indices", "indptr", "barcodes")
_FEATURE_COLUMNS = {"name": "feature_name", "feature_type": FEATURE_TYPE, "genome": "genome"}


def convert_tenx(path: Path, target: Path, memory_limit_bytes: int) -> list[Finding] | None:
    """Write the counts of a 10x file as ``.h5ad``.

    :param path: The file.
    :param target: The file to write.
    :param memory_limit_bytes: Bytes of cell data to hold at once.
    :return: Warnings; ``None``, and nothing written, when the file is an AnnData file that is called ``.h5``.
    :raise RefusedSourceError: When it is neither, contradicts itself, or has several genomes.
    """
    with open_source(path) as file:
        if "obs" in file and "var" in file:
            return None
        with refuse_damage("the file"):
            name = _find_group(file)
            group = file[name]
            features = _read_features(group, name)
            matrix = _matrix(path, group, name, len(features.place))
        with H5adDraft(target, group["data"].dtype) as draft:
            draft.write_features(features.ids, features.columns)
            for start in range(0, matrix.shape[0], _CELLS_AT_ONCE):
                with refuse_damage(f"{name}/barcodes"):
                    names = [text(value) for value in group["barcodes"][start : start + _CELLS_AT_ONCE]]
                draft.add_cells(names)
            for block in matrix.blocks(memory_limit_bytes):
                if isinstance(block, RowBlock):  # a matrix by rows gives nothing else
                    lengths, columns, kept = features.select(np.diff(block.pointers), block.columns)
                    draft.add_rows(lengths, columns, block.values if kept is None else block.values[kept])
        return features.findings


def _find_group(file: h5py.File) -> str:
    groups = [str(name) for name, node in file.items() if isinstance(node, h5py.Group)]
    found = [name for name in groups if all(isinstance(file[name].get(part), h5py.Dataset) for part in _ENTRIES)]
    if len(found) > 1:
        raise RefusedSourceError(
            "matrix_structure",
            f"the file holds the counts of several genomes, {', '.join(found)}; write a file for each.",
        )
    if not found:
        raise RefusedSourceError(
            "readable",
            f"the file is neither a 10x matrix nor AnnData: it holds {', '.join(sorted(file)) or 'nothing'}; give the "
            "filtered_feature_bc_matrix.h5 of Cell Ranger.",
        )
    return found[0]


def _read_features(group: h5py.Group, name: str) -> GeneFeatures:
    nested = group.get("features")
    if isinstance(nested, h5py.Group):
        columns = {known: nested[stored] for stored, known in _FEATURE_COLUMNS.items() if stored in nested}
        ids = nested.get("id")
    else:
        columns = {"feature_name": group["gene_names"]} if "gene_names" in group else {}
        ids = group.get("genes")
    if ids is None:
        raise RefusedSourceError("readable", f"{name} has no feature ids; write the file again with Cell Ranger.")
    read = {column: _texts(f"{name}: {column}", node) for column, node in {"id": ids, **columns}.items()}
    wrong = next((column for column, values in read.items() if len(values) != len(read["id"])), None)
    if wrong is not None:
        raise RefusedSourceError(
            "matrix_structure",
            f"{name} has {len(read['id'])} feature ids and {len(read[wrong])} values of {wrong}; write the file again.",
        )
    known = read.pop("id")
    if not isinstance(nested, h5py.Group):
        read["genome"] = [name] * len(known)
    return keep_genes(known, read)


def _matrix(path: Path, group: h5py.Group, name: str, features: int) -> Matrix:
    cells = int(group["barcodes"].shape[0])
    check_rows(f"{name}/barcodes", cells, int(group.file.id.get_filesize()))
    shape = [int(size) for size in group["shape"][:3]] if "shape" in group else [features, cells]
    if shape != [features, cells]:
        raise RefusedSourceError(
            "matrix_structure",
            f"{name} says it has {' features x '.join(map(str, shape))} cells, but names {features} features and "
            f"{cells} cells; write the file again.",
        )
    return Matrix(name, group, path, "csr", (cells, features))


def _texts(what: str, node: Any) -> list[str]:
    return [text(value) for value in np.atleast_1d(held_dataset(what, node)[()])]
