"""Rows of ``cell_info`` put into shuffle order in bounded memory, as ``row_order`` does for counts."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl

_RANK = "rank"


class CellsInOrder:
    """Collect frames in any order and give their rows back by rank.

    :param cells: Number of rows in all.
    :param limit_bytes: Bytes to hold before rows go to files.
    :param group: Frames given back hold multiples of this many rows, but the last.
    :param folder: Where files may be written; removed by :meth:`close`.
    """

    def __init__(self, cells: int, limit_bytes: int, group: int, folder: Path) -> None:
        self._cells = cells
        self._limit = limit_bytes
        self._group = group
        self._folder = folder
        self._held: list[pl.DataFrame] = []
        self._held_bytes = 0
        self._bucket_rows = 0
        self._parts = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Add rows.

        :param frame: Rows with their place in shuffle order as int64 column ``rank``.
        """
        self._held.append(frame)
        self._held_bytes += int(frame.estimated_size())
        if self._held_bytes > self._limit // 2:
            self._spill()

    def ranges(self) -> Iterator[pl.DataFrame]:
        """Give back the rows by rank, without the column ``rank``.

        :return: Frames of a multiple of ``group`` rows, but the last.
        """
        if not self._bucket_rows:
            if self._held:
                yield from pl.concat(self._held).sort(_RANK).drop(_RANK).iter_slices(self._group)
            return
        self._spill()
        for bucket in range(-(-self._cells // self._bucket_rows)):
            parts = sorted(self._folder.glob(f"{bucket:06d}-*"))
            frame = pl.concat([pl.read_ipc(part) for part in parts])
            yield from frame.sort(_RANK).drop(_RANK).iter_slices(self._group)
            for part in parts:
                part.unlink()

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _spill(self) -> None:
        if not self._held:
            return
        frame = pl.concat(self._held)
        if not self._bucket_rows:
            self._folder.mkdir(parents=True, exist_ok=True)
            expected = int(frame.estimated_size()) / frame.height * self._cells
            rows = int(self._cells / max(1.0, expected / (self._limit / 4)))
            self._bucket_rows = max(1, rows // self._group) * self._group
        marked = frame.with_columns(bucket=pl.col(_RANK) // self._bucket_rows)
        for (bucket,), part in marked.partition_by("bucket", as_dict=True, include_key=False).items():
            part.write_ipc(self._folder / f"{int(bucket):06d}-{self._parts:06d}")
        self._parts += 1
        self._held.clear()
        self._held_bytes = 0
