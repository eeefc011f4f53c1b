import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from omics_datastore.curriculum import bin_matrix
from omics_datastore.curriculum.bin_matrix import Buffers, CountsCollector
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.warehouse.warehouse import CountsBatch


def batch(dense: NDArray[np.int32], rows: NDArray[np.int64]) -> CountsBatch:
    matrix = sparse.csr_array(dense)
    return CountsBatch("a@0", rows, matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_matrix_is_the_mapped_counts_in_the_order_of_the_cells(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    cells = data.draw(st.integers(1, 30), label="cells")
    features = data.draw(st.integers(1, 12), label="features")
    order = random.permutation(cells).astype(np.int64)
    expected = np.zeros((cells, features), np.float32)
    batches: list[tuple[CountsBatch, NDArray[np.int32]]] = []
    for rows in np.array_split(order, data.draw(st.integers(1, 4), label="batches")):
        wanted = data.draw(st.integers(0, features), label="wanted")
        columns = np.full(wanted + data.draw(st.integers(0, 3), label="unwanted"), -1, np.int32)
        places = random.permutation(len(columns))[:wanted]
        columns[places] = random.permutation(features)[:wanted]
        dense = random.integers(1, 9, (len(rows), len(columns))) * (random.random((len(rows), len(columns))) < 0.5)
        expected[np.ix_(rows, columns[places])] = dense[:, places]
        batches.append((batch(dense.astype(np.int32), rows), columns))
    total = sum(len(item.feature_index) for item, _ in batches)
    buffers = Buffers()
    buffers.take("columns", total + 5, np.int32)[:] = 99  # what was there before must not show
    collector = CountsCollector(cells, total, features, buffers)
    for item, columns in batches:
        collector.add(item, columns)
    middle = data.draw(st.integers(0, cells), label="middle")
    for first, last in ((0, middle), (middle, cells)):
        found = collector.matrix(first, last)
        matrix = sparse.csr_array((found.data, found.indices, found.indptr), shape=(last - first, features))
        assert matrix.toarray().tolist() == expected[first:last].tolist()
        assert matrix.has_canonical_format
        assert [str(part.dtype) for part in (found.indptr, found.indices, found.data)] == ["int32", "int32", "float32"]


def test_many_blocks_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bin_matrix, "_BLOCK_COUNTS", 3)
    dense = np.arange(40, dtype=np.int32).reshape(10, 4)
    collector = CountsCollector(10, 40, 4)
    collector.add(batch(dense, np.arange(10)), np.array([3, 2, 1, 0], np.int32))
    found = collector.matrix(0, 10)
    matrix = sparse.csr_array((found.data, found.indices, found.indptr), shape=(10, 4))
    assert matrix.toarray().tolist() == dense[:, ::-1].tolist()


def test_what_the_warehouse_should_not_say_is_noticed() -> None:
    one = np.ones((1, 2), np.int32)
    everything = np.array([0, 1], np.int32)
    with pytest.raises(CorruptionError, match="feature that feature_info lacks"):
        CountsCollector(1, 2, 2).add(batch(one, np.array([0])), everything[:1])
    with pytest.raises(CorruptionError, match="more than cell_info says"):
        CountsCollector(1, 1, 2).add(batch(one, np.array([0])), everything)
    collector = CountsCollector(2, 4, 2)
    collector.add(batch(one, np.array([1])), everything)
    with pytest.raises(CorruptionError, match="lacks cells"):
        collector.matrix(0, 2)


def test_a_count_that_float32_cannot_hold_is_refused() -> None:
    largest = np.array([[2**24]], np.int32)
    column, row = np.array([0], np.int32), np.array([0])
    collector = CountsCollector(1, 1, 1)
    collector.add(batch(largest, row), column)
    assert collector.matrix(0, 1).data.tolist() == [2**24]
    with pytest.raises(InputError, match="count of 16777217, above 16777216"):
        CountsCollector(1, 1, 1).add(batch(largest + 1, row), column)
