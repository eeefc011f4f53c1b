"""The memory of an ingest is bounded by its configuration, not by the size of the file."""

import gzip
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
from tests.other_sources import make_matrix_market, make_tenx_v3, make_zarr, write_text
from tests.source_files import Kind, ensembl_ids, make_source

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

small, large, limit, *keys = sys.argv[1:]
for key in keys:
    assert IngestRun(Path(small), key).create().valid  # every library has been loaded and used
baseline, nonzeros = peak(), 0
for key in keys:
    report = IngestRun(Path(large), key).create(int(limit), ParquetLayout(counts_row_group=128))
    assert report.valid, report.errors
    nonzeros += report.nnz
print(nonzeros, peak() - baseline)
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


def _make_sparse(path: Path, kind: Kind, size: int = 4500) -> int:
    """Write 4500 x 4500 counts, none of them zero: 162 MB of values and indices, whether rows or columns come first."""
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
    _check_peak(small, large, [large.key], expected)


def test_peak_over_other_kinds_of_sources(tmp_path: Path) -> None:
    """A matrix-market, a 10x and a zarr source, each of 4 million counts; without a limit the peak is over 120 MiB."""
    size = 2000
    small, large = IngestRun(tmp_path / "small"), IngestRun(tmp_path / "large")
    keys = [f"inbox/{key}" for key in ("lung/matrix.mtx.gz", "lung.h5", "lung.zarr")]
    for run, cells in ((small, 10), (large, size)):
        make_tenx_v3(run.root / keys[1], np.ones((cells, cells), np.int32))
        make_matrix_market(run.root / "inbox/lung", np.ones((cells, 1)))
        _make_sparse(run.source, "csr", cells)
        make_zarr(run.root / keys[2], run.source, 2)
        body = "".join(f"{gene} CELL 1\n" for gene in range(1, cells + 1))
        with gzip.open(run.root / keys[0], "wt", compresslevel=1) as text:
            text.write(f"%%MatrixMarket matrix coordinate integer general\n{cells} {cells} {cells * cells}\n")
            text.writelines(body.replace("CELL", str(cell)) for cell in range(1, cells + 1))
        genes = "".join(f"{gene}\tg\tGene Expression\n" for gene in ensembl_ids(cells))
        write_text(run.root / "inbox/lung/features.tsv.gz", genes)
    _check_peak(small, large, keys, 3 * size * size)


def _check_peak(small: IngestRun, large: IngestRun, keys: list[str], expected: int) -> None:
    command = [sys.executable, "-c", _CHILD, str(small.root), str(large.root), str(LIMIT), *keys]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    nonzeros, over = (int(word) for word in done.stdout.split())
    assert nonzeros == expected
    assert over < BOUND, f"{over / MIB:.0f} MiB over the baseline"
