"""The files of a plan: which cells are in which bin and in which order, and the features."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from omics_datastore.curriculum.plan_model import CurriculumPlan, PinnedIngest, PlannedBin, PlannedGroup
from omics_datastore.errors import CorruptionError
from omics_datastore.shuffle import permutation
from omics_datastore.storage.file_digest import file_sha256
from omics_datastore.storage.layout import plan_cells_key, plan_features_key, plan_measured_key
from omics_datastore.storage.object_store import ObjectStore

OBS_PREFIX = "obs."
"""What the names of obs columns begin with in a cells file, so that no key of metadata_extra meets another column."""

_MASKS_AT_ONCE = 64
"""Ingests of a row group of the measured features: a reader need not hold the masks of all."""


@dataclass(frozen=True)
class BinCells:
    """The cells of a bin before they are permuted.

    ``cells`` has the columns ``ingest_id``, ``cell_index``, ``shuffle_key``, ``n_features`` and ``obs.<name>``;
    ``group`` the values that they share, by column of ``group_by``; ``split`` the split that they are of.
    """

    bin: int
    first_position: int
    cells: pl.DataFrame
    group: dict[str, str | int | bool | None] | None = None
    split: str | None = None


class PlanFiles:
    """Write and read the files of one version's plan.

    :param store: Object store.
    :param name: Curriculum key.
    :param version: Version.
    """

    def __init__(self, store: ObjectStore, name: str, version: int) -> None:
        self._store = store
        self._name = name
        self._version = version

    def write_group(self, group: int, bins: Sequence[BinCells], seed: int) -> tuple[PlannedGroup, list[PlannedBin]]:
        """Permute each bin and write the group's file.

        :param group: Number of the group.
        :param bins: Its bins, neighbours, at least one.
        :param seed: Seed of the specification.
        :return: The group and its bins.
        """
        planned: list[PlannedBin] = []
        path = self._store.scratch_path("plan-cells")
        writer: pq.ParquetWriter = None
        try:
            for item in bins:
                rows = _permuted(item, seed)
                table = _plain(rows)
                if writer is None:
                    writer = pq.ParquetWriter(
                        path, table.schema, compression="zstd", compression_level=1, store_schema=False
                    )
                writer.write_table(table, row_group_size=rows.height)
                planned.append(_planned_bin(item, rows, table))
        finally:
            if writer is not None:
                writer.close()
        key = plan_cells_key(self._name, self._version, group)
        size, sha256 = path.stat().st_size, file_sha256(path)
        self._store.put(path, key)
        first, last = planned[0].bin, planned[-1].bin
        return PlannedGroup(group=group, first_bin=first, last_bin=last, key=key, size=size, sha256=sha256), planned

    def write_features(self, features: pl.DataFrame) -> str:
        """Write the features.

        :param features: The table of :class:`omics_datastore.curriculum.features.CurriculumFeatures`.
        :return: SHA-256 of the file.
        """
        return self._write_table(_plain(features), plan_features_key(self._name, self._version))

    def write_measured(self, ingests: Sequence[PinnedIngest], measured: dict[str, NDArray[np.bool_]]) -> str:
        """Write which features each ingest measured.

        :param ingests: The pinned ingests that have cells: the rows, in this order.
        :param measured: For each ingest bool (features,).
        :return: SHA-256 of the file: ``ingest_id``, ``dataset``, and ``measured``, a list of booleans.
        """
        frame = pl.DataFrame(
            {
                "ingest_id": [ingest.ingest_id for ingest in ingests],
                "dataset": [ingest.dataset for ingest in ingests],
                "measured": pl.Series([measured[ingest.ingest_id] for ingest in ingests], dtype=pl.List(pl.Boolean)),
            }
        )
        # Polars makes the Arrow arrays, for pa.array imports pandas, half a second.
        key = plan_measured_key(self._name, self._version)
        return self._write_table(_plain(frame), key, row_group_size=_MASKS_AT_ONCE)

    def _write_table(self, table: pa.Table, key: str, **options: Any) -> str:
        path = self._store.scratch_path("plan-table")
        pq.write_table(table, path, compression="zstd", compression_level=1, store_schema=False, **options)
        sha256 = file_sha256(path)
        self._store.put(path, key)
        return sha256


def read_measured(store: ObjectStore, plan: CurriculumPlan) -> bytes | None:
    """Read the table that says which features each pinned ingest measured.

    :param store: Object store.
    :param plan: The plan.
    :return: The file's bytes; ``None`` for a plan of an earlier version of Nexus, which has none.
    :raise CorruptionError: When the file is gone or not what was written.
    """
    if plan.measured_sha256 is None:
        return None
    key = plan_measured_key(plan.name, plan.version)
    try:
        with store.local_copy(key) as path:
            _check(store, key, path, plan.measured_sha256)
            return path.read_bytes()
    except FileNotFoundError as error:
        raise _lost(store, key) from error


def read_features(store: ObjectStore, plan: CurriculumPlan) -> pl.DataFrame:
    """Read the features of a plan.

    :param store: Object store.
    :param plan: The plan.
    :return: Columns ``feature_id``, ``feature_name``, ``sources_measured``, ``cells_measured``, in order.
    :raise CorruptionError: When the file is gone or not what was written.
    """
    key = plan_features_key(plan.name, plan.version)
    try:
        with store.local_copy(key) as path:
            _check(store, key, path, plan.features_sha256)
            return pl.DataFrame(pq.read_table(path))
    except FileNotFoundError as error:
        raise _lost(store, key) from error


class GroupReader:
    """Read the cells of a group's bins, after the file was checked once.

    :param store: Object store.
    :param group: The group.
    :param path: A local copy of its file.
    :raise CorruptionError: When the file is not what was written.
    """

    def __init__(self, store: ObjectStore, group: PlannedGroup, path: Path) -> None:
        _check(store, group.key, path, group.sha256)
        self._path = path
        self._first_bin = group.first_bin

    def bins(self, first: int, last: int, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Read neighbouring bins.

        :param first: Number of the first bin.
        :param last: Number of the last bin.
        :param columns: Read these columns only; by default all.
        :return: The rows of the file that belong to them, in order.
        """
        groups = list(range(first - self._first_bin, last - self._first_bin + 1))
        with pq.ParquetFile(self._path) as file:
            return pl.DataFrame(file.read_row_groups(groups, columns, use_threads=False))


def _permuted(item: BinCells, seed: int) -> pl.DataFrame:
    order = permutation(item.cells.height, seed, item.bin)
    first = item.first_position
    return item.cells[order].select(
        pl.lit(item.bin, pl.Int64).alias("bin"),
        pl.Series("position", np.arange(first, first + item.cells.height, dtype=np.int64)),
        pl.all(),
    )


def _planned_bin(item: BinCells, rows: pl.DataFrame, table: pa.Table) -> PlannedBin:
    least, most = rows["shuffle_key"].min(), rows["shuffle_key"].max()
    return PlannedBin(
        bin=item.bin,
        first_position=item.first_position,
        cells=rows.height,
        counts=int(rows["n_features"].sum()),
        group=item.group,
        split=item.split,
        min_key=int(least),  # type: ignore[arg-type]
        max_key=int(most),  # type: ignore[arg-type]
        digest=table_digest(table),
    )


def _plain(frame: pl.DataFrame) -> pa.Table:
    """Return Arrow columns of the types Parquet gives back: plain text, in one chunk."""
    columns = [_plain_column(frame[name].rechunk()) for name in frame.columns]
    return pa.Table.from_arrays(columns, names=frame.columns)


def _plain_column(values: pl.Series) -> pa.Array:
    array = values.to_arrow()
    return array.cast(pa.large_string()) if values.dtype == pl.String else array


def table_digest(table: pa.Table) -> str:
    """Return a digest of a table's values, whatever chunks and offsets it has.

    Each column enters with its name, its type, which values are null, the lengths of texts and the values.

    :param table: Columns of large_string, int64, double and bool, one chunk each.
    :return: 64 hexadecimal digits.
    """
    mark = hashlib.sha256(f"{table.num_rows}".encode())
    for name in table.column_names:
        values = pl.Series(table.column(name).combine_chunks())
        mark.update(f"\0{name}\0{values.dtype}\0".encode())
        mark.update(np.packbits(values.is_null().to_numpy()).tobytes())
        if values.dtype == pl.String:
            text = values.fill_null("")
            mark.update(text.str.len_bytes().to_numpy().astype("<u4").tobytes())
            mark.update("".join(text.to_list()).encode())
        elif values.dtype == pl.Boolean:
            mark.update(np.packbits(values.fill_null(value=False).to_numpy()).tobytes())
        else:
            mark.update(values.fill_null(0).to_numpy().tobytes())
    return mark.hexdigest()


def _check(store: ObjectStore, key: str, path: Path, sha256: str) -> None:
    if file_sha256(path) != sha256:
        raise CorruptionError(f"{store.uri(key)} is not what the plan says; plan again, which mends it.")


def _lost(store: ObjectStore, key: str) -> CorruptionError:
    return CorruptionError(f"the plan has lost {store.uri(key)}; plan again.")
