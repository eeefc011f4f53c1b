"""What every warehouse must do. A kind of warehouse joins by subclassing and giving the ``world`` fixture."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal

import ibis
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omics_datastore.errors import CorruptionError
from omics_datastore.query.cells import count_cells, selected_cells
from omics_datastore.query.filters import CellFilter
from omics_datastore.schema.relations import relation
from omics_datastore.schema.tables import TABLES
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.parquet_layout import ParquetLayout
from omics_datastore.warehouse.warehouse import Warehouse
from tests.omics_datastore.ingest_factory import MadeIngest, make_ingest, random_matrix

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
_SOURCES = count()  # the examples of a property share a world, and an ingest id has one content
EVERY_CELL = selected_cells(CellFilter())


@dataclass(frozen=True)
class World:
    """A store, a way to open its warehouse as another process would, and what the ingest files are laid out for."""

    store: ObjectStore
    open: Callable[[], Warehouse]
    purpose: Literal["range_reads", "bulk_load"] = "range_reads"

    def make(self, *arguments: Any, layout: ParquetLayout | None = None, **options: Any) -> MadeIngest:
        """Write the ingest files of one source file; see :func:`make_ingest`."""
        layout = layout or ParquetLayout(counts_row_group=4, cells_row_group=5)
        layout = layout.model_copy(update={"purpose": self.purpose})
        return make_ingest(self.store, *arguments, layout=layout, **options)


def visible(warehouse: Warehouse) -> dict[str, dict[str, int]]:
    """Count the rows of each ingest that each table shows."""
    parts = []
    for table in TABLES:
        rows = relation(table)
        counts = rows.group_by("ingest_id").aggregate(n=rows.count())
        parts.append(counts.mutate(table_name=ibis.literal(table.name)))
    shown: dict[str, dict[str, int]] = {table.name: {} for table in TABLES}
    for ingest_id, rows, name in warehouse.query(ibis.union(*parts)).rows():
        shown[name][ingest_id] = rows
    return shown


def whole(*ingests: MadeIngest) -> dict[str, dict[str, int]]:
    """Return what :func:`visible` must return when exactly these ingests are committed."""
    cells = {item.ingest_id: item.manifest.cell_count for item in ingests}
    features = {item.ingest_id: item.manifest.feature_count for item in ingests}
    return {
        "ingest_info": dict.fromkeys(cells, 1),
        "cell_info": cells,
        "raw_counts": cells,
        "feature_info": features,
    }


def request(made: MadeIngest, cells: Sequence[int]) -> pl.DataFrame:
    """Return a request for the counts of some cells of an ingest."""
    wanted = np.array(cells, np.int64)
    return pl.DataFrame(
        {
            "ingest_id": pl.Series([made.ingest_id] * len(wanted), dtype=pl.String),
            "cell_index": pl.Series(wanted, dtype=pl.Int64),
            "shuffle_key": pl.Series(made.shuffle_key[wanted], dtype=pl.Int64),
        }
    )


def read_dense(warehouse: Warehouse, asked: pl.DataFrame, features: int) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Read counts and return them as a dense matrix in the order of the request, with the ingest of each row."""
    dense = np.zeros((asked.height, features), np.int64)
    ingests = [""] * asked.height
    for batch in warehouse.read_counts(asked):
        assert batch.indptr.dtype == np.int64
        assert batch.feature_index.dtype == batch.raw_count.dtype == np.int32
        assert (batch.indptr[0], len(batch.indptr)) == (0, len(batch.rows) + 1)
        assert batch.indptr[-1] == len(batch.feature_index) == len(batch.raw_count)
        for at, row in enumerate(batch.rows):
            assert not ingests[row], "a cell was given twice"
            ingests[row] = batch.ingest_id
            span = slice(batch.indptr[at], batch.indptr[at + 1])
            dense[row, batch.feature_index[span]] = batch.raw_count[span]
    return dense, ingests


def counts_equal_the_source(world: World, data: st.DataObject) -> None:
    """Draw ingests and cells, and compare what is read of them with the matrices they were made from."""
    made = []
    for _ in range(data.draw(st.integers(1, 2))):
        cells, seed = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 10**6))
        # Few different keys, so that many cells share one.
        keys = data.draw(st.one_of(st.none(), st.integers(1, 3)))
        shared = None if keys is None else np.random.default_rng(seed).integers(0, keys, cells) * (2**62 // keys)
        matrix = random_matrix(cells, 7, seed, data.draw(st.sampled_from([0.0, 0.3, 1.0])))
        made.append(world.make(source=f"{next(_SOURCES)}.h5ad", matrix=matrix, shuffle_key=shared))
    warehouse = world.open()
    warehouse.load([item.manifest for item in made], NOON)
    asked, rows = [], []
    for item in made:
        chosen = data.draw(st.lists(st.integers(0, item.matrix.shape[0] - 1), unique=True))
        asked.append(request(item, chosen))
        rows.append(item.matrix[chosen].toarray() if chosen else np.zeros((0, 7), np.int64))
    frame, want = pl.concat(asked), np.concatenate(rows)
    order = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(frame.height)
    frame, want = frame[order], want[order]
    dense, ingests = read_dense(warehouse, frame, 7)
    assert np.array_equal(dense, want)
    assert ingests == frame["ingest_id"].to_list()


class WarehouseContract:
    """Tests that every warehouse passes."""

    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError("give a world")

    def test_an_empty_warehouse_answers(self, world: World) -> None:
        warehouse = world.open()
        assert visible(warehouse) == whole()
        assert warehouse.ingests().height == 0
        assert "is_current" in warehouse.ingests().columns
        assert list(warehouse.read_counts(request(world.make(), []))) == []
        assert warehouse.load([], NOON).committed == ()

    def test_a_load_shows_all_its_ingests(self, world: World) -> None:
        made = [world.make(source=name) for name in ("a.h5ad", "b.h5ad")]
        result = world.open().load([item.manifest for item in made], NOON)
        assert set(result.committed) == {item.ingest_id for item in made}
        assert result.unchanged == ()
        assert result.rows == {"raw_counts": 46, "feature_info": 22, "cell_info": 46, "ingest_info": 2}
        assert visible(world.open()) == whole(*made)

    def test_ingest_rows_hold_what_the_manifest_says(self, world: World) -> None:
        made = world.make()
        world.open().load([made.manifest], NOON)
        (row,) = world.open().ingests().to_dicts()
        assert row["is_current"]
        assert row["committed_at"] == NOON
        assert json.loads(row["uns"]) == {"title": 'A "lung"'}
        assert "3 cells have no counts." in row["validation"]
        for name in ("dataset", "source_uri", "source_sha256", "cell_count", "feature_count", "nnz", "organism"):
            assert row[name] == getattr(made.manifest, name)

    def test_queries_see_the_rows_of_the_arrays(self, world: World) -> None:
        obs = {"tissue": [f"t{row % 3}" if row % 4 else None for row in range(23)]}
        made = world.make(obs=obs, extra=[{"batch": row} for row in range(23)])
        warehouse = world.open()
        warehouse.load([made.manifest], NOON)
        cells = warehouse.query(EVERY_CELL.order_by("cell_index"))
        assert cells["tissue"].to_list() == obs["tissue"]
        assert cells["shuffle_key"].to_list() == made.shuffle_key.tolist()
        assert cells["total_mrna_umis"].to_list() == made.matrix.sum(axis=1).ravel().tolist()[0]
        assert json.loads(cells["metadata_extra"].to_list()[5]) == {"batch": 5}
        assert cells["dataset"].unique().to_list() == ["lung"]

    def test_lists_can_be_unnested(self, world: World) -> None:
        made = world.make()
        warehouse = world.open()
        warehouse.load([made.manifest], NOON)
        (table,) = (table for table in TABLES if table.name == "raw_counts")
        counts = relation(table).select(count=relation(table)["raw_count"].unnest())
        total = warehouse.query(counts.aggregate(total=counts["count"].sum(), nnz=counts.count()))
        assert total.rows() == [(made.matrix.sum(), made.matrix.nnz)]

    def test_loading_again_changes_nothing(self, world: World) -> None:
        made = world.make()
        world.open().load([made.manifest], NOON)
        before = world.open().ingests()
        result = world.open().load([made.manifest, made.manifest], NOON + timedelta(hours=1))
        assert (result.committed, result.unchanged) == ((), (made.ingest_id,))
        assert world.open().ingests().equals(before)

    def test_an_ingest_named_twice_is_loaded_once(self, world: World) -> None:
        made = world.make()
        assert world.open().load([made.manifest, made.manifest], NOON).committed == (made.ingest_id,)
        assert visible(world.open()) == whole(made)

    def test_a_changed_source_supersedes_and_stays_readable(self, world: World) -> None:
        old, new = world.make(), world.make(version=2)
        other = world.make(source="b.h5ad")
        elsewhere = world.make(dataset="blood")
        warehouse = world.open()
        warehouse.load([old.manifest, other.manifest, elsewhere.manifest], NOON)
        warehouse.load([new.manifest], NOON + timedelta(hours=1))
        current = dict(warehouse.ingests().select("ingest_id", "is_current").rows())
        assert current == {
            old.ingest_id: False, new.ingest_id: True, other.ingest_id: True, elsewhere.ingest_id: True
        }  # fmt: skip
        assert visible(warehouse) == whole(old, new, other, elsewhere)
        dense, _ = read_dense(warehouse, request(old, range(23)), 11)
        assert np.array_equal(dense, old.matrix.toarray())

    def test_a_superseded_ingest_can_become_current_again(self, world: World) -> None:
        old, new = world.make(), world.make(version=2)
        warehouse = world.open()
        warehouse.load([old.manifest], NOON)
        warehouse.load([new.manifest], NOON + timedelta(hours=1))
        result = warehouse.load([old.manifest], NOON + timedelta(hours=2))
        assert (result.committed, result.unchanged) == ((old.ingest_id,), ())
        assert visible(warehouse) == whole(old, new)
        current = warehouse.ingests().filter("is_current")
        assert current["ingest_id"].to_list() == [old.ingest_id]
        assert current["committed_at"].to_list() == [NOON + timedelta(hours=2)]

    def test_a_commit_becomes_current_even_when_its_clock_is_behind(self, world: World) -> None:
        old, new = world.make(), world.make(version=2)
        world.open().load([old.manifest], NOON)
        world.open().load([new.manifest], NOON - timedelta(hours=1))
        assert world.open().ingests().filter("is_current")["ingest_id"].to_list() == [new.ingest_id]

    def test_ingests_are_ordered(self, world: World) -> None:
        made = [
            world.make(dataset, source, version=version)
            for dataset, source in (("b", "y"), ("b", "x"), ("a", "y"))
            for version in (2, 1)
        ]
        for at, item in enumerate(made):
            world.open().load([item.manifest], NOON + timedelta(seconds=at))
        ingests = world.open().ingests()
        assert ingests.equals(ingests.sort("dataset", "source_uri", "committed_at"))
        assert ingests["source_generation"].to_list() == ["2", "1"] * 3
        assert ingests["is_current"].to_list() == [False, True] * 3

    def test_a_time_without_a_zone_is_a_bug(self, world: World) -> None:
        made = world.make()
        with pytest.raises(ValueError, match="time zone"):
            world.open().load([made.manifest], NOON.replace(tzinfo=None))

    @pytest.mark.parametrize("table", ["raw_counts", "feature_info", "cell_info"])
    @pytest.mark.parametrize("damage", ["bit", "short", "gone", "rows"])
    def test_a_damaged_ingest_file_is_refused_and_nothing_is_visible(
        self, world: World, table: str, damage: str
    ) -> None:
        good, made = world.make(source="good"), world.make()
        manifest = made.manifest
        key = manifest.file(table).key
        content = bytearray(world.store.read(key))
        if damage == "gone":
            world.store.delete(key)
        elif damage == "rows":
            files = [file.model_copy(update={"rows": file.rows + (file.table == table)}) for file in manifest.files]
            manifest = manifest.model_copy(update={"files": files})
        else:
            content[len(content) // 2] ^= 4
            world.store.write(key, bytes(content if damage == "bit" else content[:-1]))
        with pytest.raises(CorruptionError, match=key):
            world.open().load([good.manifest, manifest], NOON)
        assert visible(world.open()) == whole()
        if damage != "gone":
            content = bytearray(content)
            content[len(content) // 2] ^= 4 * (damage != "rows")
        world.store.write(key, bytes(content))
        world.open().load([good.manifest, made.manifest], NOON)
        assert visible(world.open()) == whole(good, made)

    def test_stream_gives_the_rows_of_query_in_order(self, world: World) -> None:
        made = world.make(matrix=random_matrix(9000, 3), layout=ParquetLayout())
        warehouse = world.open()
        warehouse.load([made.manifest], NOON)
        ordered = EVERY_CELL.order_by("shuffle_key", "ingest_id", "cell_index")
        batches = list(warehouse.stream(ordered, 1000))
        assert len(batches) > 1
        assert max(batch.height for batch in batches) <= 4096
        assert pl.concat(batches).equals(warehouse.query(ordered))
        assert pl.concat(batches)["shuffle_key"].to_list() == sorted(made.shuffle_key.tolist())

    def test_a_stream_can_be_left_early(self, world: World) -> None:
        made = world.make(matrix=random_matrix(9000, 3), layout=ParquetLayout())
        warehouse = world.open()
        warehouse.load([made.manifest], NOON)
        stream = warehouse.stream(EVERY_CELL, 1000)
        assert next(stream).height
        stream.close()  # type: ignore[attr-defined]
        assert warehouse.query(count_cells(EVERY_CELL)).item() == 9000

    def test_a_query_over_other_tables_is_a_bug(self, world: World) -> None:
        with pytest.raises(ValueError, match="elsewhere"):
            world.open().query(ibis.table({"x": "int64"}, name="elsewhere"))

    def test_totals_count_what_is_there(self, world: World) -> None:
        a, b = world.make(), world.make("blood", matrix=random_matrix(8, 40, 3))
        warehouse = world.open()
        warehouse.load([a.manifest, b.manifest], NOON)
        totals = warehouse.count_totals([b.ingest_id, "x@000000000000", a.ingest_id])
        names = ["raw_counts_rows", "nnz", "cell_info_rows", "distinct_cells", "orphan_cells", "feature_info_rows"]
        assert totals.columns == ["ingest_id", *names]
        assert set(totals.dtypes[1:]) == {pl.Int64}
        assert totals.rows() == [
            (b.ingest_id, 8, b.matrix.nnz, 8, 8, 0, 40),
            ("x@000000000000", 0, 0, 0, 0, 0, 0),
            (a.ingest_id, 23, a.matrix.nnz, 23, 23, 0, 11),
        ]
        assert (np.diff(a.matrix.indptr) == 0).any()

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(data=st.data())
    def test_counts_equal_the_source(self, world: World, data: st.DataObject) -> None:
        counts_equal_the_source(world, data)

    def test_ranges_of_shuffle_keys_can_be_read(self, world: World) -> None:
        made = world.make(matrix=random_matrix(200, 7))
        warehouse = world.open()
        warehouse.load([made.manifest], NOON)
        order = np.argsort(made.shuffle_key)
        for start, stop in ((0, 200), (0, 50), (150, 200), (37, 38), (4, 8)):
            dense, _ = read_dense(warehouse, request(made, order[start:stop].tolist()), 7)
            assert np.array_equal(dense, made.matrix[order[start:stop]].toarray())

    def test_a_cell_that_is_not_there_is_named(self, world: World) -> None:
        made, hidden = world.make(), world.make(source="b.h5ad")
        warehouse = world.open()
        warehouse.load([made.manifest], NOON)
        asked = request(made, [3, 4])
        for frame, cell in (
            (asked.with_columns(cell_index=pl.Series([3, 77])), 77),
            (asked.with_columns(shuffle_key=pl.Series([asked["shuffle_key"][0], 5])), 4),
        ):
            with pytest.raises(CorruptionError, match=f"cell {cell} of ingest {made.ingest_id}"):
                list(warehouse.read_counts(frame))
        with pytest.raises(CorruptionError, match=f"cell 2 of ingest {hidden.ingest_id}"):
            list(warehouse.read_counts(request(hidden, [2])))

    def test_asking_twice_for_a_cell_is_a_bug(self, world: World) -> None:
        made = world.make()
        world.open().load([made.manifest], NOON)
        with pytest.raises(ValueError, match="twice"):
            list(world.open().read_counts(request(made, [3, 4, 3])))
