"""Run the ingest of one file in a store of its own, and read back what it wrote."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.create import DEFAULT_MEMORY_LIMIT, create_ingest_files, validate_source
from omics_datastore.ingest.manifest import FileReport, IngestManifest, SourceFile, read_manifest
from omics_datastore.ingest.source_kinds import describe_source, find_members
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.parquet_layout import ParquetLayout

SMALL_GROUPS = ParquetLayout(counts_row_group=2, cells_row_group=3)
DATASET = "lung"


@dataclass
class Written:
    """What the ingest files of one ingest hold."""

    manifest: IngestManifest
    counts: NDArray[np.int64]
    """(cells, features) of the source."""
    cells: pl.DataFrame
    """``cell_info`` in the order of the source."""
    features: pl.DataFrame


class IngestRun:
    """A store and a source file in its inbox."""

    def __init__(self, root: Path, key: str = f"inbox/{DATASET}.h5ad") -> None:
        self.root = root
        self.store = FolderStore(root)
        self.key = key
        self.source = root / key
        self.source.parent.mkdir(parents=True, exist_ok=True)

    def observed(self) -> SourceFile:
        members = find_members(self.store, self.key)
        assert members
        return describe_source(self.store, self.key, members)

    def create(
        self, limit: int = DEFAULT_MEMORY_LIMIT, layout: ParquetLayout = SMALL_GROUPS, **config: Any
    ) -> FileReport:
        return create_ingest_files(
            self.observed(), DATASET, DatasetConfig(**config), self.store, layout=layout, memory_limit_bytes=limit
        )

    def validate(self, limit: int = DEFAULT_MEMORY_LIMIT, **config: Any) -> FileReport:
        return validate_source(self.observed(), DATASET, DatasetConfig(**config), self.store, memory_limit_bytes=limit)

    def refusal(self, rule: str, limit: int = DEFAULT_MEMORY_LIMIT, **config: Any) -> str:
        """Return the message the file is refused with, and check that nothing of it is left."""
        report = self.create(limit, **config)
        assert not report.valid
        first = report.findings[0]
        assert (first.rule, first.severity) == (rule, "error"), report.findings
        assert not (self.root / "ingest").exists()
        assert list(self.root.glob(".scratch/*/*")) == []
        assert self.validate(limit, **config).findings == report.findings
        return first.message

    def written(
        self, limit: int = DEFAULT_MEMORY_LIMIT, layout: ParquetLayout = SMALL_GROUPS, **config: Any
    ) -> Written:
        report = self.create(limit, layout, **config)
        assert report.valid, report.findings
        return self.read(report)

    def read(self, report: FileReport) -> Written:
        assert report.ingest_id is not None
        manifest = read_manifest(self.store, DATASET, report.ingest_id)
        tables = {file.table: pq.read_table(self.store.path(file.key)) for file in manifest.files}
        counts = np.zeros((manifest.cell_count, len_features(tables)), np.int64)
        for row in tables["raw_counts"].to_pylist():
            assert row["feature_index"] == sorted(set(row["feature_index"]))
            assert min(row["raw_count"], default=1) > 0
            counts[row["cell_index"], row["feature_index"]] = row["raw_count"]
        for name in ("raw_counts", "cell_info"):
            keys = tables[name]["shuffle_key"].to_pylist()
            assert keys == sorted(keys)
        cells = pl.DataFrame(tables["cell_info"])
        assert cells["cell_index"].to_list() == tables["raw_counts"]["cell_index"].to_pylist()
        return Written(manifest, counts, cells.sort("cell_index"), pl.DataFrame(tables["feature_info"]))


def len_features(tables: dict[str, Any]) -> int:
    """Return the number of columns that feature positions may name."""
    return int(max(tables["feature_info"]["feature_index"].to_pylist(), default=-1)) + 1
