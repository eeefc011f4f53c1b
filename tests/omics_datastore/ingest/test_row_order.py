"""Rows come back in shuffle order whatever memory there is, how large their counts are, and how many features."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from omics_datastore.ingest.row_order import CountsInOrder

CELLS = 400
SMALL, LARGE = 65_535, 65_536


@pytest.mark.parametrize("features", [1_000, 65_536, 65_537])
@pytest.mark.parametrize("large_at", [None, 0, -1])
@pytest.mark.parametrize("limit_bytes", [2**30, 2**17, 2**14])
def test_rows_come_back_in_order(tmp_path: Path, features: int, large_at: int | None, limit_bytes: int) -> None:
    random = np.random.default_rng(7)
    each = [np.unique(random.integers(0, features, length)) for length in random.integers(0, 40, CELLS)]
    pointers = np.concatenate([[0], np.cumsum([len(row) for row in each])]).astype(np.int32)
    columns = np.concatenate(each)
    values = random.integers(1, 9, len(columns)).astype(np.int32)
    values[7] = SMALL
    if large_at is not None:
        values[large_at] = LARGE
    rows = sparse.csr_matrix((values, columns.astype(np.int32), pointers), shape=(CELLS, features))
    rank = random.permutation(CELLS)
    counts = CountsInOrder(rank, features, rows.nnz, limit_bytes, 16, tmp_path / "aside")
    for first in range(0, CELLS, 10):
        counts.add_rows(first, rows[first : first + 10])
    found = [(first, part.copy()) for first, part in counts.ranges()]
    counts.close()
    assert [first for first, _ in found] == list(np.cumsum([0, *(part.shape[0] for _, part in found)])[:-1])
    expected, joined = rows[np.argsort(rank)], sparse.vstack([part for _, part in found], "csr")
    for name in ("indptr", "indices", "data"):
        assert np.array_equal(getattr(joined, name), getattr(expected, name))
    assert all(part.has_canonical_format and part.dtype == np.int32 for _, part in found)
    assert not (tmp_path / "aside").exists()
