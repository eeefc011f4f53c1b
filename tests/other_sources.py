"""Make small sources of the other kinds that people drop: 10x ``.h5``, matrix-market folders, zarr stores."""

import gzip
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from tests.source_files import cell_names, ensembl_ids, make_source


def make_tenx_v3(
    path: Path, counts: NDArray[Any], *, types: Sequence[str] | None = None, ids: Sequence[str] | None = None
) -> Path:
    """Write what Cell Ranger 3 writes: cells x features as columns of features x barcodes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    features = counts.shape[1]
    with h5py.File(path, "w") as file:
        group = _write_columns(file, "matrix", counts)
        named = group.create_group("features")
        named["id"] = np.array(ids or ensembl_ids(features), "S")
        named["name"] = np.array([f"gene{place}" for place in range(features)], "S")
        named["feature_type"] = np.array(types or ["Gene Expression"] * features, "S")
        named["genome"] = np.array(["GRCh38"] * features, "S")
    return path


def make_tenx_v2(path: Path, counts: NDArray[Any], genomes: Sequence[str] = ("hg19",)) -> Path:
    """Write what Cell Ranger 2 writes: a group for each genome."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for genome in genomes:
            group = _write_columns(file, genome, counts)
            group["genes"] = np.array(ensembl_ids(counts.shape[1]), "S")
            group["gene_names"] = np.array([f"gene{place}" for place in range(counts.shape[1])], "S")
    return path


def _write_columns(file: h5py.File, name: str, counts: NDArray[Any]) -> h5py.Group:
    matrix = sparse.csr_matrix(counts)
    group = file.create_group(name)
    group["barcodes"] = np.array(cell_names(len(counts)), "S")
    group["shape"] = np.array(counts.shape[::-1], np.int32)
    length = max(5, matrix.nnz // 50)
    for part, dtype in (("data", np.int32), ("indices", np.int64), ("indptr", np.int64)):
        values = getattr(matrix, part).astype(dtype)
        group.create_dataset(part, data=values, chunks=(min(length, len(values)),), compression="gzip")
    return group


def write_text(path: Path, text: str) -> None:
    """Write text, gzip'd when the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def matrix_text(counts: NDArray[Any], kind: str = "integer", order: Sequence[int] | None = None) -> str:
    """Write a matrix of cells x features as matrix-market text of features x cells.

    :param counts: The counts.
    :param kind: ``integer`` or ``real``.
    :param order: Order of the entries; by cell when it is not given.
    """
    cells, features = np.nonzero(counts)
    lines = [f"{features[n] + 1} {cells[n] + 1} {counts[cells[n], features[n]]}" for n in range(len(cells))]
    lines = [lines[place] for place in order] if order is not None else lines
    head = [f"%%MatrixMarket matrix coordinate {kind} general", '%metadata_json: {"format_version": 2}']
    return "\n".join([*head, f"{counts.shape[1]} {counts.shape[0]} {len(lines)}", *lines, ""])


def make_matrix_market(
    folder: Path, counts: NDArray[Any], *, packed: bool = True, genes: bool = False, prefix: str = "", text: str = ""
) -> Path:
    """Write a matrix-market folder.

    :return: The matrix.
    """
    end = ".gz" if packed else ""
    ids = ensembl_ids(counts.shape[1])
    rows = [f"{name}\tgene{place}" + ("" if genes else "\tGene Expression") for place, name in enumerate(ids)]
    write_text(folder / f"{prefix}barcodes.tsv{end}", "\n".join([*cell_names(len(counts)), ""]))
    write_text(folder / f"{prefix}{'genes' if genes else 'features'}.tsv{end}", "\n".join([*rows, ""]))
    matrix = folder / f"{prefix}matrix.mtx{end}"
    write_text(matrix, text or matrix_text(counts))
    return matrix


def make_zarr(path: Path, source: Path, version: int, chunks: int | None = None, top: str = "") -> Path:
    """Write an ``.h5ad`` file as a zarr store: a folder, or a zip file when the path ends so.

    :param path: Where to.
    :param source: The file.
    :param version: Format of zarr.
    :param chunks: Rows and columns of the chunks of a dense matrix.
    :param top: Folder inside the zip file that holds the store, with a slash.
    """
    import anndata
    import zarr

    if path.suffix == ".zip":
        folder = make_zarr(path.with_suffix(""), source, version, chunks)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, f"{top}{file.relative_to(folder).as_posix()}")
        shutil.rmtree(folder)
        return path
    whole = anndata.read_h5ad(source)
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == 2 else 3)
    for name in ("obs", "var", "uns", "X"):
        options = {"chunks": (chunks, chunks)} if chunks and name == "X" and isinstance(whole.X, np.ndarray) else {}
        with anndata.settings.override(auto_shard_zarr_v3=True):
            element = dict(whole.uns) if name == "uns" else getattr(whole, name)
            anndata.io.write_elem(group, name, element, dataset_kwargs=options)
    group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    return path


def make_every_kind(folder: Path, counts: NDArray[Any]) -> list[str]:
    """Write the same counts as a source of every kind but ``.h5ad``.

    :return: Keys below the folder, ordered.
    """
    plain = make_source(folder.parent / "plain.h5ad", counts)
    make_tenx_v3(folder / "a.h5", counts)
    make_zarr(folder / "b.zarr", plain, 2)
    make_zarr(folder / "c.zarr.zip", plain, 3)
    (folder / "d.h5ad.gz").write_bytes(gzip.compress(plain.read_bytes()))
    for sample, packed in (("one", True), ("two", False)):
        make_matrix_market(folder / sample, counts, packed=packed)
    return ["a.h5", "b.zarr", "c.zarr.zip", "d.h5ad.gz", "one/matrix.mtx.gz", "two/matrix.mtx"]
