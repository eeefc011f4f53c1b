"""The folder of a release as a trainer opens it, wherever it was copied to: its metadata, its shards, its masks.

Only what lies in the folder is read. Nothing here uses Polars, whose threads do not outlive a fork of the process.
"""

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import sparse

from omics_datastore.curriculum.release_model import CurriculumRelease, ExtractMetadata
from omics_datastore.curriculum.released_files import damaged_shard, read_released
from omics_datastore.curriculum.shard_files import local_shard, open_shard, path_sha256
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.storage.documents import read_document
from omics_datastore.storage.layout import GENES, MEASURED_GENES, RELEASE, SPLITS, metadata_file
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.storage.open import open_store


@dataclass(frozen=True)
class ShardContent:
    """What was read of a shard: counts float32 (cells, genes), obs columns by name, int64 places in the curriculum."""

    counts: sparse.csr_matrix
    obs: dict[str, NDArray[Any]]
    cells: NDArray[np.int64]


class ReleaseFolder:
    """Open the folder of a released version.

    :param folder: A path, or a ``gs://`` address.
    :param split: Name of a split, of a curriculum that has some; ``None`` for the whole.
    :raise InputError: When there is no release, or no such split.
    """

    def __init__(self, folder: str | Path, split: str | None = None) -> None:
        self.store: ObjectStore = open_store(str(folder))
        self._checked: set[str] = set()
        try:
            self.release = read_document(self.store, RELEASE, CurriculumRelease)
        except FileNotFoundError:
            raise InputError(
                f"there is no released curriculum at {folder}: give the folder of a version, which holds {RELEASE}."
            ) from None
        self.metadata = self._metadata(split)
        self.sizes = np.diff(self.metadata.limits, prepend=0).tolist()

    @cached_property
    def digest(self) -> str:
        """Return a digest of the release and of what is read of it: 16 hexadecimal digits."""
        content = [self.release.model_dump(mode="json"), self.metadata.model_dump(mode="json")]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def check_columns(self, columns: Sequence[str]) -> None:
        """Refuse obs columns that the shards do not have.

        :param columns: Names of obs columns.
        :raise InputError: When one is not there; those that are there are named.
        """
        known = [column.name for column in self.release.obs_columns]
        unknown = [name for name in columns if name not in known]
        if unknown:
            raise InputError(f"the shards have no obs column {unknown[0]!r}; they have {', '.join(known)}.")

    def read_shard(self, number: int, columns: Sequence[str], *, check: bool = False) -> ShardContent:
        """Read a shard.

        :param number: Its number among the shards of the split.
        :param columns: Names of obs columns; they are given as batches have them.
        :param check: Compare its SHA-256 with the release first, unless that was done.
        :return: Its content.
        :raise CorruptionError: When it is gone or not what the release says.
        """
        import anndata

        file = self.metadata.filenames[number]
        try:
            with local_shard(self.store, file) as path:
                if check and file not in self._checked:
                    if path_sha256(path) != self._sha256[file]:
                        raise damaged_shard(self.store.uri(file))
                    self._checked.add(file)
                with open_shard(path) as shard:
                    counts = anndata.io.read_elem(shard["X"])
                    obs = {name: _values(anndata.io.read_elem(shard["obs"][name])) for name in columns}
        except FileNotFoundError:
            raise CorruptionError(f"{self.store.uri(file)} is gone; build the curriculum again.") from None
        size = self.sizes[number]
        if counts.shape != (size, self.release.feature_count):
            raise CorruptionError(
                f"{self.store.uri(file)} has {counts.shape[0]} cells of {counts.shape[1]} genes, not {size} of "
                f"{self.release.feature_count}; build the curriculum again."
            )
        first = self._first_cells[file]
        return ShardContent(counts, obs, np.arange(first, first + size))

    def masks(self) -> tuple[dict[str, int], NDArray[np.bool_]]:
        """Read which genes each source measured.

        :return: Row by ingest id, and bool (ingests, genes).
        :raise InputError: When the release has no such table.
        :raise CorruptionError: When the table is not what was released.
        """
        import pyarrow.parquet as pq

        if self.release.measured_genes_sha256 is None:
            raise InputError("this release says not which genes its sources measured; build the curriculum again.")
        content = io.BytesIO(read_released(self.store, "", self.release, MEASURED_GENES))
        table = pq.read_table(content, columns=["ingest_id", "measured"], use_threads=False)
        masks = table["measured"].combine_chunks().values.to_numpy(zero_copy_only=False)
        rows = {ingest_id: row for row, ingest_id in enumerate(table["ingest_id"].to_pylist())}
        return rows, masks.reshape(len(rows), self.release.feature_count)

    def genes(self) -> list[str]:
        """Return the genes in the order of the columns of the counts.

        :raise CorruptionError: When their table is not what was released.
        """
        rows = csv.reader(io.StringIO(read_released(self.store, "", self.release, GENES).decode(), newline=""))
        return [row[0] for row in rows][1:]

    @cached_property
    def _sha256(self) -> dict[str, str]:
        return {shard.file: shard.sha256 for shard in self.release.shards}

    @cached_property
    def _first_cells(self) -> dict[str, int]:
        ends = np.cumsum([shard.cells for shard in self.release.shards])
        return {shard.file: int(end) - shard.cells for shard, end in zip(self.release.shards, ends, strict=True)}

    def _metadata(self, split: str | None) -> ExtractMetadata:
        key = metadata_file(split)
        try:
            content = read_released(self.store, "", self.release, key)
            return ExtractMetadata.model_validate_json(content)
        except (FileNotFoundError, KeyError):
            if split is None:
                raise CorruptionError(f"{self.store.uri(key)} is gone; release the curriculum again.") from None
            names = ", ".join(self.store.folders(SPLITS))
            raise InputError(f"the curriculum has no split {split!r}; it has {names or 'none'}.") from None
        except ValidationError as error:
            raise CorruptionError(f"{self.store.uri(key)} cannot be read; release the curriculum again.") from error


def _values(column: Any) -> NDArray[Any]:
    if hasattr(column, "codes"):
        return np.asarray(column.codes, dtype=np.int32)
    if str(column.dtype) == "boolean":
        return np.asarray(column.to_numpy(dtype="int8", na_value=-1))
    values = np.asarray(column)
    return values.astype(object) if values.dtype.kind in "UT" else values
