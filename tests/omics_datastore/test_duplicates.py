from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from omics_datastore.duplicates import cell_digests, find_shared_cells, gene_hashes
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.folder import FolderWarehouse
from tests.contracts.warehouse_contract import NOON
from tests.omics_datastore.ingest_factory import make_ingest, random_matrix

GENES = [f"ENSG{number:011d}" for number in range(6)]


def digests(dense: np.ndarray[tuple[int, int], np.dtype[np.int32]], genes: list[str]) -> list[tuple[int, int]]:
    matrix = sparse.csr_matrix(dense)
    found = cell_digests(gene_hashes(genes), matrix.indptr.astype(np.int64), matrix.indices, matrix.data)
    return [(int(one), int(two)) for one, two in found]


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=12), st.permutations(range(6))
)
def test_digests_are_equal_exactly_when_the_counts_of_the_genes_are(rows: list[list[int]], order: list[int]) -> None:
    dense = np.array(rows, np.int32)
    plain = digests(dense, GENES)
    assert digests(dense[:, order], [GENES[number] for number in order]) == plain
    for one, row in enumerate(rows):
        for other, another in enumerate(rows):
            assert (plain[one] == plain[other]) == (row == another)


def test_shared_cells_of_three_datasets(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    a, b = random_matrix(12, 8, 1, 0.9), random_matrix(9, 8, 2, 0.9)
    mixed = sparse.csr_matrix(sparse.vstack([b[2:4], a[:5], a[:1]]))
    made = [
        make_ingest(store, "a", matrix=a),
        make_ingest(store, "b", matrix=b),
        make_ingest(store, "mixed", "c.h5ad", matrix=mixed),
    ]
    warehouse = FolderWarehouse(store, threads=1)
    warehouse.load([item.manifest for item in made], NOON)
    seen: list[tuple[int, int]] = []
    with_a, with_b = find_shared_cells(warehouse, least_features=1, on_progress=lambda *step: seen.append(step))
    assert (with_a.dataset, with_a.other, with_a.shared, with_a.cells, with_a.other_cells) == ("a", "mixed", 5, 5, 6)
    assert with_a.examples[0] == (f"{made[0].ingest_id}:0", f"{made[2].ingest_id}:2")
    assert (with_b.dataset, with_b.other, with_b.shared) == ("b", "mixed", 2)
    assert seen[-1] == (29, 29)
    assert find_shared_cells(warehouse, least_features=9) == []
    warehouse.retire(["a"], NOON)
    assert [pair.dataset for pair in find_shared_cells(warehouse, least_features=1)] == ["b"]


def test_an_empty_warehouse_has_no_duplicates(tmp_path: Path) -> None:
    assert find_shared_cells(FolderWarehouse(FolderStore(tmp_path))) == []
