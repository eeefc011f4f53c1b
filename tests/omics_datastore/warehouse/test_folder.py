import errno
import multiprocessing
import os
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.query.cells import count_by, count_cells
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.layout import warehouse_file_key
from omics_datastore.warehouse.folder import FolderWarehouse
from omics_datastore.warehouse.open import open_warehouse
from omics_datastore.warehouse.parquet_layout import ParquetLayout
from tests.contracts.warehouse_contract import EVERY_CELL, NOON, read_dense, request, visible, whole
from tests.omics_datastore.ingest_factory import MadeIngest, make_ingest, random_matrix


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def raw_counts(store: FolderStore, made: MadeIngest) -> Path:
    return store.path(warehouse_file_key("raw_counts", made.ingest_id))


def replace(path: Path, rows: pa.Table) -> None:
    path.unlink()  # it is a hard link of the ingest file
    pq.write_table(rows, path)


def forget_checksums(store: FolderStore) -> None:
    """Make the files of loads what an older Nexus wrote: rows alone, under a name without a digest."""
    for path in store.path("warehouse/ingest_info").glob("*.parquet"):
        rows = pq.read_table(path, partitioning=None).replace_schema_metadata(None)
        path.unlink()
        pq.write_table(rows, path.with_stem(path.stem.rpartition("-")[0]))


def _load_many(root: str, manifests: list[Any], barrier: Any) -> None:
    barrier.wait()
    for number in range(2):
        for manifest in manifests:
            FolderWarehouse(FolderStore(root), threads=1).load([manifest], NOON + timedelta(seconds=number))


def test_processes_load_and_read_at_once(store: FolderStore, tmp_path: Path) -> None:
    versions = [make_ingest(store, version=version) for version in (1, 2)]
    others = [make_ingest(store, "blood", f"{number}.h5ad") for number in range(4)]
    everything = whole(*versions, *others)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2, timeout=60)
    manifests = [item.manifest for item in (*versions, *others)]
    loaders = [
        context.Process(target=_load_many, args=(str(tmp_path), order, barrier))
        for order in (manifests, manifests[::-1])
    ]
    for loader in loaders:
        loader.start()
    warehouse = FolderWarehouse(store)
    sizes = {item.ingest_id: item.manifest.cell_count for item in (*versions, *others)}
    while any(loader.is_alive() for loader in loaders):
        counts = warehouse.query(count_by(EVERY_CELL, ["ingest_id"]))
        assert all(sizes[ingest_id] == cells for ingest_id, cells in counts.rows())
        time.sleep(0.02)
    for loader in loaders:
        loader.join()
        assert loader.exitcode == 0
    assert visible(warehouse) == everything
    current = warehouse.ingests().filter("is_current")
    assert current.height == 5


def test_a_stream_goes_on_while_its_ingest_is_superseded(store: FolderStore) -> None:
    old, new = make_ingest(store, matrix=random_matrix(300, 3)), make_ingest(store, version=2)
    warehouse = FolderWarehouse(store)
    warehouse.load([old.manifest], NOON)
    stream = warehouse.stream(EVERY_CELL, 10)
    first = next(stream)
    warehouse.load([new.manifest], NOON + timedelta(hours=1))
    warehouse.load([old.manifest], NOON + timedelta(hours=2))
    assert first.height + sum(batch.height for batch in stream) == 300


def test_threads_may_query_one_warehouse(store: FolderStore) -> None:
    warehouse = FolderWarehouse(store, threads=1)
    warehouse.load([make_ingest(store).manifest], NOON)
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(warehouse.query(count_cells(EVERY_CELL)).item()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [23] * 4


def test_loading_copies_nothing(store: FolderStore) -> None:
    made = make_ingest(store)
    FolderWarehouse(store).load([made.manifest], NOON)
    for file in made.manifest.files:
        placed = store.path(warehouse_file_key(file.table, made.ingest_id))
        assert placed.samefile(store.path(file.key))


def test_a_file_system_without_links_gets_copies(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_ingest(store)

    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", refuse)
        FolderWarehouse(store).load([made.manifest], NOON)
    assert not raw_counts(store, made).samefile(store.path(made.manifest.file("raw_counts").key))
    assert visible(FolderWarehouse(store)) == whole(made)


def test_other_tools_open_the_folder_as_it_is(store: FolderStore, tmp_path: Path) -> None:
    made = make_ingest(store)
    FolderWarehouse(store).load([made.manifest], NOON)
    pattern = f"{tmp_path}/warehouse/cell_info/**/*.parquet"
    frame = pl.scan_parquet(pattern, hive_partitioning=True).collect()
    assert frame["ingest_id"].to_list() == [made.ingest_id] * 23
    counted = duckdb.sql(f"SELECT ingest_id, count(*) FROM '{pattern}' GROUP BY 1").fetchall()  # noqa: S608
    assert counted == [(made.ingest_id, 23)]


def test_a_lost_file_is_named(store: FolderStore) -> None:
    made = make_ingest(store)
    warehouse = FolderWarehouse(store)
    warehouse.load([made.manifest], NOON)
    path = store.path(warehouse_file_key("cell_info", made.ingest_id))
    path.unlink()
    with pytest.raises(CorruptionError, match=str(path)):
        warehouse.query(count_cells(EVERY_CELL))


@pytest.mark.parametrize("table", ["raw_counts", "feature_info", "cell_info"])
def test_a_file_that_is_damaged_after_its_load_is_named_and_mended_by_the_next(store: FolderStore, table: str) -> None:
    made = make_ingest(store)
    FolderWarehouse(store).load([made.manifest], NOON)
    path = store.path(warehouse_file_key(table, made.ingest_id))
    content = path.read_bytes()
    for place in np.random.default_rng(5).integers(0, len(content), 25).tolist():
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.unlink()
        path.write_bytes(damaged)
        with pytest.raises(CorruptionError, match=f"{path} is damaged .*; run the ingest again, which mends it"):
            visible(FolderWarehouse(store))
        with pytest.raises(CorruptionError, match=str(path)):
            FolderWarehouse(store).count_totals([made.ingest_id])
        if table == "raw_counts":
            with pytest.raises(CorruptionError, match=str(path)):
                list(FolderWarehouse(store).read_counts(request(made, [place % 23])))
    path.unlink()
    path.write_bytes(content[:-1])
    with pytest.raises(CorruptionError, match=f"{path} has {len(content) - 1} bytes, not {len(content)}"):
        visible(FolderWarehouse(store))
    assert FolderWarehouse(store).load([made.manifest], NOON + timedelta(hours=1)).committed == (made.ingest_id,)
    assert visible(FolderWarehouse(store)) == whole(made)
    assert FolderWarehouse(store).load([made.manifest], NOON + timedelta(hours=2)).unchanged == (made.ingest_id,)


def test_damage_elsewhere_in_a_file_does_not_matter(store: FolderStore) -> None:
    matrix = random_matrix(4000, 900, density=0.5)
    made = make_ingest(store, matrix=matrix, layout=ParquetLayout(counts_row_group=500))
    FolderWarehouse(store).load([made.manifest], NOON)
    path = raw_counts(store, made)
    content = bytearray(path.read_bytes())
    assert len(content) > 2.5 * 2**20
    content[100] ^= 1
    path.unlink()
    path.write_bytes(content)
    order = np.argsort(made.shuffle_key).tolist()
    dense, _ = read_dense(FolderWarehouse(store), request(made, order[-100:]), 900)
    assert np.array_equal(dense, matrix[order[-100:]].toarray())
    with pytest.raises(CorruptionError, match=r"bytes 0 to 1048576 do not match"):
        list(FolderWarehouse(store).read_counts(request(made, order[:1])))


def test_a_damaged_file_of_a_load_is_named(store: FolderStore) -> None:
    made = make_ingest(store)
    FolderWarehouse(store).load([made.manifest], NOON)
    FolderWarehouse(store).retire(["lung"], NOON + timedelta(hours=1))
    for path in sorted(store.path("warehouse/ingest_info").glob("*.parquet")):
        content = path.read_bytes()
        for place in range(0, len(content), 97):
            path.write_bytes(content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :])
            with pytest.raises(CorruptionError, match=f"{path} is damaged"):
                FolderWarehouse(store).ingests()
        path.write_bytes(content)
    assert not FolderWarehouse(store).ingests()["is_current"].any()


def test_totals_show_what_is_wrong(store: FolderStore) -> None:
    made = make_ingest(store)
    warehouse = FolderWarehouse(store)
    warehouse.load([made.manifest], NOON)
    forget_checksums(store)
    path = raw_counts(store, made)
    rows = pq.read_table(path, partitioning=None)
    replace(path, pa.concat_tables([rows.slice(0, 20), rows.slice(0, 2)]))
    (total,) = warehouse.count_totals([made.ingest_id]).to_dicts()
    assert (total["raw_counts_rows"], total["cell_info_rows"]) == (22, 23)
    assert (total["distinct_cells"], total["orphan_cells"]) == (23, 3)


def test_counts_twice_or_torn_are_noticed(store: FolderStore) -> None:
    made = make_ingest(store, matrix=random_matrix(23, 11, density=1.0))
    warehouse = FolderWarehouse(store)
    warehouse.load([made.manifest], NOON)
    forget_checksums(store)
    path = raw_counts(store, made)
    rows = pq.read_table(path, partitioning=None)
    first = rows["cell_index"][0].as_py()
    replace(path, pa.concat_tables([rows, rows.slice(0, 1)]))
    with pytest.raises(CorruptionError, match=f"more than one row of cell {first}"):
        list(warehouse.read_counts(request(made, range(23))))
    lists = rows["raw_count"].to_pylist()
    shorter = pa.array([[1], *lists[1:]], rows.schema.field("raw_count").type)
    replace(path, rows.set_column(4, rows.schema.field("raw_count"), shorter))
    with pytest.raises(CorruptionError, match="different lengths"):
        list(warehouse.read_counts(request(made, [first])))


def test_only_row_groups_that_may_hold_a_cell_are_read(store: FolderStore) -> None:
    made = make_ingest(store, matrix=random_matrix(60, 200, density=1.0))
    warehouse = FolderWarehouse(store)
    warehouse.load([made.manifest], NOON)
    forget_checksums(store)
    path = raw_counts(store, made)
    content = bytearray(path.read_bytes())
    group = pq.read_metadata(path).row_group(0)
    for number in range(group.num_columns):
        column = group.column(number)
        start = column.dictionary_page_offset or column.data_page_offset
        content[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.unlink()
    path.write_bytes(content)
    order = np.argsort(made.shuffle_key).tolist()
    dense, _ = read_dense(warehouse, request(made, order[4:]), 200)
    assert np.array_equal(dense, made.matrix[order[4:]].toarray())
    with pytest.raises(OSError, match=r".+"):
        list(warehouse.read_counts(request(made, order[3:4])))


@pytest.mark.parametrize("limit", [1, 200, 10_000])
def test_batches_are_bounded(store: FolderStore, limit: int) -> None:
    made = make_ingest(store, matrix=random_matrix(50, 11))
    warehouse = FolderWarehouse(store, counts_batch_bytes=limit)
    warehouse.load([made.manifest], NOON)
    sizes = [8 * len(batch.raw_count) for batch in warehouse.read_counts(request(made, range(50)))]
    assert max(sizes) <= max(limit, 8 * 11)
    assert (len(sizes) == 1) == (limit == 10_000)
    dense, _ = read_dense(warehouse, request(made, range(0, 50, 2)), 11)
    assert np.array_equal(dense, made.matrix[::2].toarray())
    assert warehouse.count_totals([made.ingest_id])["nnz"].item() == made.matrix.nnz


def test_a_query_larger_than_its_memory_uses_the_temporary_folder(store: FolderStore, tmp_path: Path) -> None:
    obs = {"tissue": [f"tissue number {row} with a long name" * 8 for row in range(40_000)]}
    made = make_ingest(store, matrix=random_matrix(40_000, 1), obs=obs, layout=ParquetLayout())
    warehouse = FolderWarehouse(store, memory_limit_bytes=24 * 2**20, threads=1, temp_directory=tmp_path / "spill")
    warehouse.load([made.manifest], NOON)
    heights = []
    for batch in warehouse.stream(EVERY_CELL.order_by("tissue", "shuffle_key"), 2048):
        heights.append(batch.height)
        if len(heights) == 2:
            assert list((tmp_path / "spill").iterdir())
    assert sum(heights) == 40_000


def test_a_warehouse_is_opened_from_its_address(store: FolderStore) -> None:
    made = make_ingest(store)
    open_warehouse("folder", store).load([made.manifest], NOON)
    again = open_warehouse(open_warehouse("folder", store).uri, FolderStore(store.root))
    assert again.ingests()["ingest_id"].to_list() == [made.ingest_id]
    with pytest.raises(InputError, match="bq://elsewhere"):
        open_warehouse("bq://elsewhere", store)
