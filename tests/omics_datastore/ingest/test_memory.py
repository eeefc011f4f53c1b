"""The memory of an ingest is bounded by its configuration, not by the size of the file."""

import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.omics_datastore.ingest.ingest_run import IngestRun
from tests.source_files import Kind, make_source

MIB = 2**20
LIMIT = 32 * MIB
BOUND = 90 * MIB
"""Peak over the baseline: a few times the limit, and about half of what the smaller file holds."""

_CHILD = """
import sys
from collections.abc import Callable
from pathlib import Path
from omics_datastore.warehouse.parquet_layout import ParquetLayout
from tests.omics_datastore.ingest.ingest_run import IngestRun

def peak():
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024

assert IngestRun(Path(sys.argv[1])).create().valid  # every library has been loaded and used
baseline = peak()
report = IngestRun(Path(sys.argv[2])).create(int(sys.argv[3]), ParquetLayout(counts_row_group=128))
assert report.valid, report.errors
print(report.nnz, peak() - baseline)
"""


def _deflated(values: NDArray[np.generic]) -> bytes:
    return zlib.compress(values.tobytes(), 1)


def _make_dense(path: Path, _: Kind) -> int:
    """Write 6000 x 10000 float32, 240 MB, of which every 200th value is a count; every chunk is the same."""
    tile = np.zeros((200, 1000), np.float32)
    tile.reshape(-1)[::200] = 3
    make_source(path, np.ones((6000, 1)), where="layers/other")
    _with_genes(path, 10000)
    with h5py.File(path, "a") as file:
        x = file.create_dataset("X", (6000, 10000), "f4", chunks=tile.shape, compression="gzip")
        content = _deflated(tile)
        for top in range(0, 6000, 200):
            for left in range(0, 10000, 1000):
                x.id.write_direct_chunk((top, left), content)
    return 6000 * 10000 // 200


def _make_sparse(path: Path, kind: Kind) -> int:
    """Write 4500 x 4500 counts, none of them zero: 162 MB of values and indices, whether rows or columns come first."""
    size = 4500
    make_source(path, np.ones((size, 1)), where="layers/other")
    _with_genes(path, size)
    with h5py.File(path, "a") as file:
        group = file.create_group("X")
        group.attrs.update({"encoding-type": f"{kind}_matrix", "encoding-version": "0.1.0", "shape": (size, size)})
        group["indptr"] = np.arange(size + 1, dtype=np.int64) * size
        for name, line in (("indices", np.arange(size, dtype=np.int32)), ("data", np.ones(size, np.float32))):
            part = group.create_dataset(name, (size * size,), line.dtype, chunks=(size * 10,), compression="gzip")
            content = _deflated(np.tile(line, 10))
            for place in range(0, size * size, size * 10):
                part.id.write_direct_chunk((place,), content)
    return size * size


def _with_genes(path: Path, number: int) -> None:
    import pandas as pd
    from anndata.io import write_elem

    with h5py.File(path, "a") as file:
        del file["var"], file["layers"]
        write_elem(file, "var", pd.DataFrame(index=[f"ENSG{place:011d}" for place in range(number)]))


@pytest.mark.parametrize(("kind", "make"), [("dense", _make_dense), ("csr", _make_sparse), ("csc", _make_sparse)])
def test_peak_stays_below_the_bound(tmp_path: Path, kind: Kind, make: Callable[[Path, Kind], int]) -> None:
    small, large = IngestRun(tmp_path / "small"), IngestRun(tmp_path / "large")
    make_source(small.source, np.eye(30, 40))
    expected = make(large.source, kind)
    command = [sys.executable, "-c", _CHILD, str(small.root), str(large.root), str(LIMIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    nonzeros, over = (int(word) for word in done.stdout.split())
    assert nonzeros == expected
    assert over < BOUND, f"{over / MIB:.0f} MiB over the baseline"
