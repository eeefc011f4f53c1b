"""Make small ingests straight from arrays, by the table schemas: what the real ingest would have written."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse

from omics_datastore.ingest.manifest import Finding, IngestFile, IngestManifest
from omics_datastore.keys import make_ingest_id
from omics_datastore.schema.arrow import arrow_schema
from omics_datastore.schema.tables import CELL_INFO, DATA_TABLES, FEATURE_INFO, RAW_COUNTS, Table
from omics_datastore.shuffle import shuffle_keys
from omics_datastore.storage.layout import ingest_folder
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.parquet_layout import ParquetLayout


@dataclass(frozen=True)
class MadeIngest:
    """An ingest and the arrays it was made from, in the order of the source file."""

    manifest: IngestManifest
    matrix: sparse.csr_matrix
    """int32 (cells, features)."""
    shuffle_key: NDArray[np.int64]
    obs: dict[str, list[Any]]

    @property
    def ingest_id(self) -> str:
        return self.manifest.ingest_id


def random_matrix(cells: int, features: int, seed: int = 0, density: float = 0.3) -> sparse.csr_matrix:
    """Return random counts from 1; the last of every seven cells has none."""
    random = np.random.default_rng(seed)
    dense = random.integers(1, 70_000, (cells, features)) * (random.random((cells, features)) < density)
    dense[6::7] = 0
    return sparse.csr_matrix(dense.astype(np.int32))


def make_ingest(
    store: ObjectStore,
    dataset: str = "lung",
    source: str = "a.h5ad",
    *,
    matrix: sparse.csr_matrix | None = None,
    obs: dict[str, list[Any]] | None = None,
    extra: list[dict[str, Any] | None] | None = None,
    version: int = 1,
    shuffle_key: NDArray[np.int64] | None = None,
    layout: ParquetLayout | None = None,
) -> MadeIngest:
    """Write the ingest files of one source file.

    :param store: Where to; the manifest is returned, not written.
    :param dataset: Dataset key.
    :param source: Name of the source file; with ``version`` it decides the ingest id and the shuffle keys.
    :param matrix: Counts; random ones by default.
    :param obs: Columns of ``cell_info`` by name; those not given are null (``original_id``: the row).
    :param extra: ``metadata_extra`` of each cell.
    :param version: Changes the content, so that another ingest of the same source is made.
    :param shuffle_key: Keys other than the ingest's own, to make collisions.
    :param layout: By default row groups of 4 cells.
    """
    matrix = random_matrix(23, 11, seed=version) if matrix is None else matrix
    matrix.sort_indices()
    layout = layout or ParquetLayout(counts_row_group=4, cells_row_group=5)
    sha256 = hashlib.sha256(f"{source} {version}".encode()).hexdigest()
    config_digest = hashlib.sha256(b"config").hexdigest()
    ingest_id = make_ingest_id(dataset, sha256, config_digest)
    cells, features = matrix.shape
    keys = shuffle_keys(dataset, sha256, 0, cells) if shuffle_key is None else shuffle_key
    order = np.argsort(keys, kind="stable")
    obs = {"original_id": [f"cell{row}" for row in range(cells)], **(obs or {})}
    columns = {
        **obs,
        "cell_index": range(cells),
        "shuffle_key": keys.tolist(),
        "total_mrna_umis": np.asarray(matrix.sum(axis=1)).ravel().tolist(),
        "n_features": np.diff(matrix.indptr).tolist(),
        "metadata_extra": [None if item is None else json.dumps(item) for item in extra or [None] * cells],
    }
    columns |= {name: obs[name] for name in ("total_mrna_umis", "n_features") if name in obs}
    tables = {
        RAW_COUNTS.name: _counts(ingest_id, matrix[order], keys, order),
        CELL_INFO.name: _table(CELL_INFO, ingest_id, columns, cells).take(pa.array(order)),
        FEATURE_INFO.name: _table(
            FEATURE_INFO,
            ingest_id,
            {
                "feature_index": range(features),
                "ensembl_id": [f"ENSG{number:011d}" for number in range(features)],
                "symbol": [f"GENE{number}" for number in range(features)],
            },
            features,
        ),
    }
    row_groups = {RAW_COUNTS.name: layout.counts_row_group, CELL_INFO.name: layout.cells_row_group}
    files: list[IngestFile] = []
    for table in DATA_TABLES:
        options = layout.counts_writer_options() if table is RAW_COUNTS else layout.table_writer_options()
        path = store.scratch_path(table.name)
        rows = tables[table.name]
        pq.write_table(rows, path, store_schema=False, row_group_size=row_groups.get(table.name, 1000), **options)
        content = path.read_bytes()
        key = f"{ingest_folder(dataset, ingest_id)}{table.name}.parquet"
        store.put(path, key)
        digest = hashlib.sha256(content).hexdigest()
        files.append(IngestFile(table=table.name, key=key, rows=rows.num_rows, size=len(content), sha256=digest))
    manifest = IngestManifest(
        ingest_id=ingest_id,
        dataset=dataset,
        source_uri=f"/inbox/{source}",
        source_key=f"inbox/{source}",
        source_generation=str(version),
        source_sha256=sha256,
        source_size=1000,
        config_digest=config_digest,
        config={},
        counts_from="X",
        cell_count=cells,
        feature_count=features,
        nnz=matrix.nnz,
        total_mrna_umis=int(matrix.sum()),
        empty_cells=int((np.diff(matrix.indptr) == 0).sum()),
        organism=None,
        schema_version="5.2.0",
        tag=None,
        uns={"title": f'A "{dataset}"'},
        findings=[Finding(rule="empty_cells", severity="warning", message="3 cells have no counts.")],
        files=files,
        nexus_version="0.1.0",
    )
    return MadeIngest(manifest, matrix, keys, obs)


def _counts(ingest_id: str, matrix: sparse.csr_matrix, keys: NDArray[np.int64], order: NDArray[np.int64]) -> pa.Table:
    schema = arrow_schema(RAW_COUNTS)
    kind = schema.field("feature_index").type
    offsets = pa.array(matrix.indptr.astype(np.int32))
    columns = [
        pa.array([ingest_id] * len(order), pa.string()),
        pa.array(order),
        pa.array(keys[order]),
        pa.ListArray.from_arrays(offsets, pa.array(matrix.indices.astype(np.int32)), type=kind),
        pa.ListArray.from_arrays(offsets, pa.array(matrix.data.astype(np.int32)), type=kind),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _table(table: Table, ingest_id: str, columns: dict[str, Any], rows: int) -> pa.Table:
    schema = arrow_schema(table)
    unknown = set(columns) - set(schema.names)
    if unknown:
        raise ValueError(f"{table.name} has no columns {unknown}")
    columns = {**dict.fromkeys(schema.names, [None] * rows), **columns, "ingest_id": [ingest_id] * rows}
    return pa.Table.from_arrays([pa.array(columns[field.name], field.type) for field in schema], schema=schema)
