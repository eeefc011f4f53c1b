"""Compare sampled cells of shards with the source files, read by anndata and not by our own reader.

Sources of other kinds are compared with the ``.h5ad`` file that was made of them.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omics_datastore.curriculum.plan_model import CurriculumPlan
from omics_datastore.curriculum.shard_files import local_shard, open_shard
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.feature_ids import strip_version
from omics_datastore.ingest.formats.as_h5ad import as_h5ad
from omics_datastore.ingest.local_source import local_source
from omics_datastore.ingest.manifest import IngestManifest, read_manifest
from omics_datastore.ingest.source_kinds import describe_source, find_members
from omics_datastore.keys import parse_ingest_id
from omics_datastore.shuffle import permutation
from omics_datastore.storage.layout import shard_key
from omics_datastore.storage.object_store import ObjectStore

_MAX_SOURCE_BYTES = 2**30
_COLUMN_MAJOR_BYTES = 2**26
_MEMORY_LIMIT = 2**28


@dataclass
class Comparison:
    """How many cells were compared, one sentence for each that differs, and what could not be compared."""

    cells: int = 0
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare_with_sources(plan: CurriculumPlan, store: ObjectStore, *, cells: int) -> Comparison:
    """Compare the counts of sampled cells with their source files, gene by gene.

    The sample is taken from the first, the middle and the last shard, the same for the same plan.

    :param plan: The plan of an extracted curriculum.
    :param store: Object store of shards, manifests and sources.
    :param cells: How many cells to compare.
    :return: The comparison; sources that are gone, changed or too costly to read are notes.
    """
    compared = Comparison()
    wanted: dict[str, list[tuple[int, str, NDArray[Any], NDArray[Any]]]] = {}
    numbers = sorted({0, len(plan.bins) // 2, len(plan.bins) - 1})
    for number in numbers:
        for ingest_id, cell_index, name, genes, counts in _sample(plan, store, number, -(-cells // len(numbers))):
            wanted.setdefault(ingest_id, []).append((cell_index, name, genes, counts))
    for ingest_id, sampled in sorted(wanted.items()):
        dataset, _ = parse_ingest_id(ingest_id)
        _compare_ingest(read_manifest(store, dataset, ingest_id), sampled, store, compared)
    return compared


def _sample(
    plan: CurriculumPlan, store: ObjectStore, number: int, cells: int
) -> list[tuple[str, int, str, NDArray[Any], NDArray[Any]]]:
    import anndata

    key = shard_key(plan.name, plan.version, number, plan.file_format)
    with local_shard(store, key) as path, open_shard(path) as shard:
        frame = anndata.io.read_elem(shard["obs"])
        rows = np.sort(permutation(len(frame), "round-trip", number)[:cells])
        matrix = anndata.io.sparse_dataset(shard["X"])[rows]
        genes = anndata.io.read_elem(shard["var"]).index.to_numpy(str)
    found = []
    for place, row in enumerate(rows):
        obs = frame.iloc[row]
        counts = matrix[place].toarray().ravel()
        found.append((str(obs["ingest_id"]), int(obs["cell_index"]), str(obs["original_id"]), genes, counts))
    return found


def _compare_ingest(
    manifest: IngestManifest,
    sampled: list[tuple[int, str, NDArray[Any], NDArray[Any]]],
    store: ObjectStore,
    compared: Comparison,
) -> None:
    members = find_members(store, manifest.source_key)
    stored = describe_source(store, manifest.source_key, members) if members else None
    if stored is None or stored.size != manifest.source_size or stored.generation != manifest.source_generation:
        compared.notes.append(f"{manifest.source_uri} is gone or has changed since it was ingested; not compared")
        return
    if manifest.source_size > _MAX_SOURCE_BYTES:
        compared.notes.append(f"{manifest.source_uri} is larger than {_MAX_SOURCE_BYTES} bytes; not compared")
        return
    config = DatasetConfig.model_validate(manifest.config)
    with (
        local_source(store, manifest.source_key) as source,
        as_h5ad(source, config, _MEMORY_LIMIT, store.scratch_path("round-trip")) as form,
    ):
        rows = _source_rows(str(form.path), manifest, [cell for cell, *_ in sampled])
    if rows is None:
        compared.notes.append(f"{manifest.source_uri} is stored by column; not compared")
        return
    names, ids, counts = rows
    for place, (cell, name, genes, found) in enumerate(sampled):
        compared.cells += 1
        by_gene: dict[str, float] = {}
        for gene, value in zip(ids, counts[place], strict=True):
            by_gene[gene] = by_gene.get(gene, 0) + float(value)
        expected = np.array([by_gene.get(gene, 0) for gene in genes])
        wrong = np.flatnonzero(expected != found)
        where = f"cell {cell} of {manifest.ingest_id}"
        if len(wrong):
            gene = genes[wrong[0]]
            compared.differences.append(f"{where}: {gene} is {found[wrong[0]]:g}, in the source {expected[wrong[0]]:g}")
        elif manifest.config.get("obs_mapping") == {} and names[place] != name:
            compared.differences.append(f"{where} is called {name!r}, in the source {names[place]!r}")


def _source_rows(
    path: str, manifest: IngestManifest, cells: list[int]
) -> tuple[list[str], list[str], NDArray[Any]] | None:
    import anndata
    import h5py

    with h5py.File(path) as file:
        inner = "raw/X" if manifest.counts_from == "raw.X" and "raw/X" in file else manifest.counts_from
        node = file[inner]
        if isinstance(node, h5py.Dataset):
            counts = np.stack([node[cell] for cell in cells])
        elif str(node.attrs.get("encoding-type", "")).startswith("csc"):
            if node["data"].size * 16 > _COLUMN_MAJOR_BYTES:
                return None
            counts = anndata.io.read_elem(node).tocsr()[cells].toarray()
        elif "encoding-type" in node.attrs:
            counts = anndata.io.sparse_dataset(node)[np.array(cells)].toarray()
        else:
            return None
        var = "raw/var" if inner == "raw/X" else "var"
        if not isinstance(file[var], h5py.Group) or not isinstance(file["obs"], h5py.Group):
            return None
        features = anndata.io.read_elem(file[var])
        names = anndata.io.read_elem(file["obs"]).index.astype(str)
    column = _id_column(manifest, list(features.columns))
    ids = features.index if column is None else features[column]
    return [names[cell] for cell in cells], _plain_ids(list(ids.astype(str))), counts


def _id_column(manifest: IngestManifest, columns: list[str]) -> str | None:
    for source, target in manifest.config.get("var_mapping", {}).items():
        if target in ("ensembl_id", "ensemble_id"):
            return None if source == "index" else str(source)
    return next((name for name in ("ensembl_id", "ensemble_id") if name in columns), None)


def _plain_ids(ids: list[str]) -> list[str]:
    import polars as pl

    return strip_version(pl.Series(ids, dtype=pl.String)).to_list()
