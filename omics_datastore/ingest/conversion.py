"""Read one ``.h5ad`` file once, check it, and hand its cells on in shuffle order."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray

from omics_datastore.ingest.cell_order import CellsInOrder
from omics_datastore.ingest.cells import CellReader
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.counts import row_sums, to_counts, to_rows
from omics_datastore.ingest.features import read_features
from omics_datastore.ingest.frames import FrameReader
from omics_datastore.ingest.ingest_files import IngestFileWriter
from omics_datastore.ingest.manifest import Finding
from omics_datastore.ingest.matrix import EntryBlock, Matrix, RowBlock, find_matrix
from omics_datastore.ingest.refusal import RefusedSourceError
from omics_datastore.ingest.row_order import CountsInOrder
from omics_datastore.ingest.source_file import open_source
from omics_datastore.ingest.uns import read_uns, uns_text
from omics_datastore.shuffle import shuffle_keys
from omics_datastore.warehouse.parquet_layout import ParquetLayout

_FIRST_CELLS = 4096
"""How many cells' obs columns are read first, before it is known how large they are."""


@dataclass
class Conversion:
    """What one pass found out about a file."""

    counts_from: str
    cell_count: int
    feature_count: int
    nnz: int = 0
    total_mrna_umis: int = 0
    empty_cells: int = 0
    organism: str | None = None
    schema_version: str | None = None
    uns: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def convert(
    path: Path,
    dataset: str,
    sha256: str,
    config: DatasetConfig,
    writer: IngestFileWriter | None,
    memory_limit_bytes: int,
    scratch: Path,
    on_progress: Callable[[int, int], None] | None,
) -> Conversion:
    """Check a file and, with a writer, write its ingest files.

    :param path: The file.
    :param dataset: Dataset key.
    :param sha256: SHA-256 of the file.
    :param config: Configuration of the dataset.
    :param writer: Where rows go; ``None`` to check only.
    :param memory_limit_bytes: Bytes of cell data to hold at once.
    :param scratch: Where rows may be laid aside.
    :param on_progress: Called with the cells done and the cells in all.
    :return: What was found.
    :raise RefusedSourceError: When the file breaks a rule; it stands for all rules that could be checked.
    """
    layout = writer.layout if writer is not None else ParquetLayout()
    with open_source(path) as file:
        refusals: list[RefusedSourceError] = []
        for matrix in _candidates(file, path, config):
            run = _Pass(file, matrix, dataset, sha256, config, memory_limit_bytes, scratch, layout, on_progress)
            with closing(run):
                try:
                    run.read_counts()
                except RefusedSourceError as refusal:
                    if refusal.rule != "counts":
                        raise
                    refusals.append(refusal)
                    continue
                return run.finish(writer)
        raise _no_counts(refusals)


def _candidates(file: h5py.File, path: Path, config: DatasetConfig) -> list[Matrix]:
    names = ("raw.X", "X") if config.counts_from == "auto" else (config.counts_from,)
    found = [matrix for name in names if (matrix := find_matrix(file, path, name)) is not None]
    if not found:
        layers = file.get("layers")
        others = [f"layers/{name}" for name in layers] if isinstance(layers, h5py.Group) else []
        advice = f"name one of {', '.join(others)} with counts_from" if others else "write the counts into X"
        raise RefusedSourceError("not_empty", f"the file has no {' and no '.join(names)}; {advice}.")
    empty = [matrix for matrix in found if 0 in matrix.shape]
    if len(empty) == len(found):
        raise RefusedSourceError(
            "not_empty",
            f"{empty[0].name} is empty: {empty[0].shape[0]} cells x {empty[0].shape[1]} features; "
            "write the counts into it.",
        )
    return [matrix for matrix in found if 0 not in matrix.shape]


def _no_counts(refusals: list[RefusedSourceError]) -> RefusedSourceError:
    if len(refusals) == 1:
        return refusals[0]
    others = [other for refusal in refusals for other in refusal.others]
    parts = [str(refusal).split("; ")[0] for refusal in refusals]
    return RefusedSourceError(
        "counts", f"{', and '.join(parts)}; name the matrix that holds counts with counts_from.", others[:1]
    )


class _Pass:
    """One pass over one candidate matrix of an open file."""

    def __init__(
        self,
        file: h5py.File,
        matrix: Matrix,
        dataset: str,
        sha256: str,
        config: DatasetConfig,
        memory_limit_bytes: int,
        scratch: Path,
        layout: ParquetLayout,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self._file = file
        self._matrix = matrix
        self._config = config
        self._limit = memory_limit_bytes
        self._on_progress = on_progress or _no_progress
        self._problems: list[RefusedSourceError] = []
        self._var = FrameReader(file, self._var_path())
        self._features = self._try(lambda: read_features(self._var, config))
        self._obs = FrameReader(file, "obs")
        organism = uns_text(file, "organism_ontology_term_id")
        self._cells = self._try(lambda: CellReader(self._obs, config, organism))
        self._check_lengths()
        self._keys = shuffle_keys(dataset, sha256, 0, matrix.shape[0])
        self._order = np.argsort(self._keys, kind="stable")
        self._rank = np.empty(len(self._order), np.int64)
        self._rank[self._order] = np.arange(len(self._order))
        self._counts = CountsInOrder(
            self._rank,
            matrix.shape[1],
            matrix.stored_entries,
            memory_limit_bytes,
            layout.counts_row_group,
            scratch / "counts",
        )
        self._cells_in_order = CellsInOrder(
            len(self._rank), memory_limit_bytes, layout.cells_row_group, scratch / "cells"
        )
        self._found = Conversion(matrix.name, matrix.shape[0], self._feature_count())

    def read_counts(self) -> None:
        """Read the counts once and check them, and refuse the file for everything that was found wrong up to here."""
        names = self._features.names if self._features else self._var.index(0, self._var.length).to_list()
        done = 0
        entries = max(1, self._matrix.stored_entries)
        for block in self._matrix.blocks(self._limit):
            try:
                values = to_counts(block, self._matrix.name, names)
            except RefusedSourceError as refusal:
                raise RefusedSourceError(refusal.rule, str(refusal), self._problems) from refusal
            if not self._problems:
                self._add(block, values)
            done += len(values)
            cells = self._found.cell_count * done // entries
            if isinstance(block, RowBlock):
                cells = block.first_row + len(block.pointers) - 1
            self._on_progress(cells // 2, self._found.cell_count)
        if self._problems:
            raise RefusedSourceError(self._problems[0].rule, str(self._problems[0]), self._problems[1:])

    def finish(self, writer: IngestFileWriter | None) -> Conversion:
        """Read the rest, and write everything, if there is a writer."""
        umis, nonzeros = self._write_counts(writer)
        self._counts.close()
        self._read_cells(umis, nonzeros)
        if writer is not None:
            for frame in self._cells_in_order.ranges():
                writer.write_cells(frame)
            writer.write_features(self._features.table)
        self._describe()
        return self._found

    def close(self) -> None:
        """Remove what was laid aside."""
        self._counts.close()
        self._cells_in_order.close()

    def _add(self, block: RowBlock | EntryBlock, values: NDArray[np.int32]) -> None:
        columns = block.columns
        if self._features is not None and self._features.table.height < len(self._features.column):
            columns = self._features.column[columns]
        if isinstance(block, EntryBlock):
            self._counts.add_entries(block.rows, columns, values)
        else:
            merged = RowBlock(block.first_row, block.pointers, columns, block.values)
            self._counts.add_rows(block.first_row, to_rows(merged, values, self._matrix.shape[1]))

    def _write_counts(self, writer: IngestFileWriter | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        total = self._found.cell_count
        umis = np.zeros(total, np.int64)
        nonzeros = np.zeros(total, np.int64)
        for first, rows in self._counts.ranges():
            source = self._order[first : first + rows.shape[0]]
            umis[source], nonzeros[source] = row_sums(rows), np.diff(rows.indptr)
            if writer is not None:
                writer.write_counts(source, self._keys[source], rows)
            self._on_progress((total + first + rows.shape[0]) // 2, total)
        self._found.nnz = int(nonzeros.sum())
        self._found.total_mrna_umis = int(umis.sum())
        self._found.empty_cells = int((nonzeros == 0).sum())
        return umis, nonzeros

    def _read_cells(self, umis: NDArray[np.int64], nonzeros: NDArray[np.int64]) -> None:
        start, step = 0, max(1, min(_FIRST_CELLS, self._limit // 8 // max(1, self._obs.row_bytes)))
        while start < self._found.cell_count:
            stop = min(self._found.cell_count, start + step)
            frame = self._cells.read(start, stop)
            self._cells_in_order.add(
                frame.with_columns(
                    shuffle_key=pl.Series(self._keys[start:stop]),
                    total_mrna_umis=pl.Series(umis[start:stop]),
                    n_features=pl.Series(nonzeros[start:stop]),
                    rank=pl.Series(self._rank[start:stop]),
                )
            )
            # How much text a cell has is known once some were read; its columns are held about three times.
            bytes_per_cell = max(1, int(frame.estimated_size()) * 3 // (stop - start))
            start, step = stop, min(step * 4, max(1, self._limit // 8 // bytes_per_cell))
        self._found.organism = self._cells.organism
        self._found.findings += self._cells.findings() + self._features.findings

    def _describe(self) -> None:
        uns, findings = read_uns(self._file, self._config.uns_keep)
        self._found.uns = uns
        self._found.findings += findings
        self._found.schema_version = uns_text(self._file, "schema_version")
        if self._found.empty_cells:
            message = f"{self._found.empty_cells} of {self._found.cell_count} cells have no counts at all."
            self._found.findings.append(Finding(rule="cells_have_counts", severity="warning", message=message))

    def _var_path(self) -> str:
        if self._matrix.name != "raw.X":
            return "var"
        return "raw/var" if "raw/var" in self._file else "raw.var"

    def _feature_count(self) -> int:
        return self._features.table.height if self._features is not None else self._matrix.shape[1]

    def _check_lengths(self) -> None:
        for axis, (frame, name) in enumerate(((self._obs, "obs"), (self._var, "var"))):
            if frame.length != self._matrix.shape[axis]:
                what = ("cells", "features")[axis]
                raise RefusedSourceError(
                    "matrix_structure",
                    f"{self._matrix.name} has {self._matrix.shape[axis]} {what}, but {name} has {frame.length} rows; "
                    "write the file again, or name another matrix with counts_from.",
                )

    def _try(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except RefusedSourceError as refusal:
            self._problems.append(refusal)
            return None


def _no_progress(done: int, total: int) -> None:  # noqa: ARG001
    return
