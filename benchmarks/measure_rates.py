"""Measure what the cost of scale rests on: bytes and CPU seconds a cell of the real ingest, plan and extraction.

    python -m benchmarks.measure_rates            # some minutes; writes benchmarks/rates.json

Cells are made with the density of the design's reference, since sizes and speeds follow from it; genes are drawn
without the correlations of real ones, so real files compress better. CPU seconds of all threads are counted, not time
on the clock: they are what is paid for, and another program on the machine changes them little.
"""

import json
import os
import platform
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from omics_datastore.version import NEXUS_VERSION

RATES = Path(__file__).with_name("rates.json")
CELLS = 40_000
FILES = 2
GENES = 36_000
NONZEROS = 2_000
BIN_SIZE = 10_000


def make_source(path: Path, cells: int, seed: int) -> None:
    """Write a source file of random counts as most are published: CSR, gzip, float32.

    Genes are drawn by a power law and counts by a geometric one; most counts are 1, as in single-cell data.

    :param path: Path of the file.
    :param cells: Cells.
    :param seed: Seed.
    """
    import anndata
    import pandas as pd
    from scipy import sparse

    random = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, GENES + 1) ** 0.6
    each = np.clip(random.normal(NONZEROS, NONZEROS / 4, cells).astype(int), 200, GENES // 4)
    drawn = random.choice(GENES, size=int(each.sum() * 1.15), p=weights / weights.sum())
    ends = np.cumsum(each * 1.15).astype(int)
    rows = [np.unique(drawn[end - int(count * 1.15) : end]) for end, count in zip(ends, each, strict=True)]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    counts = random.geometric(0.55, indptr[-1]).astype(np.float32)
    matrix = sparse.csr_matrix((counts, np.concatenate(rows).astype(np.int32), indptr), shape=(cells, GENES))
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(random.choice([f"cell type {number}" for number in range(40)], cells)),
            "tissue": pd.Categorical(random.choice(["lung", "blood", "liver"], cells)),
            "donor_id": pd.Categorical(random.choice([f"donor {number}" for number in range(20)], cells)),
            "assay": "10x 3' v3",
            "n_genes_by_counts": np.diff(indptr),
        },
        index=[f"{number:016x}-1" for number in random.integers(0, 2**62, cells)],
    )
    var = pd.DataFrame({"feature_name": [f"GENE{number}" for number in range(GENES)]}, index=_genes())
    anndata.AnnData(X=matrix, obs=obs, var=var).write_h5ad(path, compression="gzip")


def _genes() -> list[str]:
    return [f"ENSG{number:011d}" for number in range(GENES)]


def measure(folder: Path) -> dict[str, Any]:
    """Ingest, load, plan and extract once, and return what each cost a cell.

    :param folder: An empty folder.
    :return: Names of rates and their values, bytes or cells a second.
    """
    from omics_datastore.curriculum.extract import extract_groups
    from omics_datastore.curriculum.plan import plan_curriculum
    from omics_datastore.curriculum.specification import CurriculumSpecification
    from omics_datastore.ingest.configuration import DatasetConfig
    from omics_datastore.ingest.create import create_ingest_files
    from omics_datastore.ingest.manifest import SourceFile, read_manifest
    from omics_datastore.storage.folder import FolderStore
    from omics_datastore.warehouse.folder import FolderWarehouse
    from omics_datastore.warehouse.parquet_layout import ParquetLayout

    store = FolderStore(folder)
    warehouse = FolderWarehouse(store, threads=1)
    sizes: dict[str, int] = {}
    seconds = dict.fromkeys(("ingest", "plan", "extract"), 0.0)
    cells = nonzeros = 0
    for number in range(FILES):
        key = f"inbox/atlas/{number}.h5ad"
        path = store.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        make_source(path, CELLS // FILES, number)
        source = SourceFile(key=key, uri=key, size=path.stat().st_size, generation="1")
        sizes["source"] = sizes.get("source", 0) + source.size
        started = time.process_time()
        report = create_ingest_files(source, "atlas", DatasetConfig(), store, layout=ParquetLayout(purpose="bulk_load"))
        seconds["ingest"] += time.process_time() - started
        if report.ingest_id is None:
            raise RuntimeError(f"the source was refused: {report.errors}")
        for file in sorted(store.path(f"ingest/atlas/{report.ingest_id}").glob("*.parquet")):
            sizes[file.stem] = sizes.get(file.stem, 0) + file.stat().st_size
        warehouse.load([read_manifest(store, "atlas", report.ingest_id)], datetime.now(tz=UTC))
        cells, nonzeros = cells + report.cell_count, nonzeros + report.nnz
    content = {"name": "all", "bin_size": BIN_SIZE, "obs_columns": ["cell_type", "tissue", "donor_id", "assay"]}
    started = time.process_time()
    plan = plan_curriculum(CurriculumSpecification.model_validate(content), 1, warehouse, store, bins_per_group=4)
    seconds["plan"] = time.process_time() - started
    started = time.process_time()
    extract_groups(plan, [group.group for group in plan.groups], warehouse, store)
    seconds["extract"] = time.process_time() - started
    shards = sum(file.stat().st_size for file in store.path("extracts/all/v1/extract_files").glob("*.h5ad"))
    return {
        "nonzeros_a_cell": round(nonzeros / cells),
        "source_bytes_a_cell": round(sizes["source"] / cells),
        "raw_counts_bytes_a_cell": round(sizes["raw_counts"] / cells),
        "cell_info_bytes_a_cell": round(sizes["cell_info"] / cells, 1),
        "shard_bytes_a_cell": round(shards / cells),
        "ingest_cells_a_second": round(cells / seconds["ingest"]),
        "plan_cells_a_second": round(cells / seconds["plan"]),
        "extract_cells_a_second": round(cells / seconds["extract"]),
    }


def main() -> None:
    """Measure and write ``rates.json``."""
    with tempfile.TemporaryDirectory(prefix="nexus-rates-") as folder:
        rates = measure(Path(folder))
    about = {
        "date": f"{datetime.now(tz=UTC):%Y-%m-%d}",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),
        "nexus_version": NEXUS_VERSION,
        "cells": CELLS,
        "files": FILES,
    }
    RATES.write_text(json.dumps({"about": about, "rates": rates}, indent=2) + "\n")
    print(RATES.read_text())  # noqa: T201 - what the program is for


if __name__ == "__main__":
    main()
