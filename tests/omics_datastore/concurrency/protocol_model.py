"""The commit protocol against a model in plain Python: the warehouse shows what the model says, whatever was done.

Hypothesis chooses the steps: ingest, load, a load or purge that is broken off at any step, replace (a load of another
version), retire, load again, purge, plan (which pins), delete a curriculum. A kind of warehouse joins by subclassing.
"""

import shutil
import tempfile
import weakref
from abc import abstractmethod
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from omics_datastore.errors import InputError
from omics_datastore.ingest.ingest_set import IngestSet
from omics_datastore.ingest.manifest import IngestManifest
from omics_datastore.storage.documents import write_document
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.layout import curriculum_folder, ingest_set_key
from omics_datastore.warehouse.folder import FolderWarehouse
from omics_datastore.warehouse.folder_tables import FolderTables
from omics_datastore.warehouse.warehouse import Warehouse
from tests.contracts.warehouse_contract import NOON
from tests.omics_datastore.ingest_factory import MadeIngest, make_ingest
from tests.omics_datastore.lifetime import Lifetime

STEPS_TAKEN = count()
"""Tells how many steps all machines of this process took."""

_DATASETS = st.sampled_from(["lung", "blood"])
_SOURCES = st.sampled_from(["a.h5ad", "b.h5ad"])


class BrokenOffError(BaseException):
    """As if the process had been killed: nothing catches it."""


class CommitProtocol(RuleBasedStateMachine):
    """A warehouse and what it must show."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = ExitStack()
        self.life = self.begin()
        self.made: dict[str, MadeIngest] = {}
        self.files: set[str] = set()
        self.waiting: dict[str, dict[str, str]] = {}
        self.commits: dict[str, tuple[int, bool]] = {}
        """When each ingest was committed last, and whether it was retired since."""
        self.plans: dict[int, set[str]] = {}
        self.now, self.versions = count(1), count(1)

    @abstractmethod
    def begin(self) -> Lifetime:
        """Make an empty store and warehouse."""

    @abstractmethod
    def breaking(self, step: int) -> Warehouse:
        """Open the warehouse again, so that it raises :class:`BrokenOffError` at a step."""

    def teardown(self) -> None:
        self.closing.close()

    @rule(dataset=_DATASETS, source=_SOURCES, version=st.integers(1, 3))
    def ingest(self, dataset: str, source: str, version: int) -> None:
        made = make_ingest(self.life.store, dataset, source, version=version, layout=self.life.layout)
        self.life.write_manifest(made.manifest)
        self.made[made.ingest_id] = made
        self.files.add(made.ingest_id)
        self.waiting.setdefault(dataset, {})[source] = made.ingest_id
        ids = IngestSet(dataset=dataset, drop_digest="x", ingest_ids=sorted(self.waiting[dataset].values()))
        write_document(self.life.store, ingest_set_key(dataset), ids)

    @precondition(lambda self: self.files)
    @rule(data=st.data(), hours=st.integers(-3, 3))
    def load(self, data: st.DataObject, hours: int) -> None:
        chosen = self._choose(data)
        result = self.life.warehouse.load(self._manifests(chosen), NOON + timedelta(hours=hours))
        expected = set(chosen) - self._current()
        assert set(result.committed) == expected
        self._commit(expected)

    @precondition(lambda self: self.files)
    @rule(data=st.data(), step=st.integers(0, 9))
    def load_broken_off(self, data: st.DataObject, step: int) -> None:
        expected = set(chosen := self._choose(data)) - self._current()
        try:
            self.breaking(step).load(self._manifests(chosen), NOON)
        except BrokenOffError:
            if self._shown() == self._expected():
                return
        self._commit(expected)  # all of them, as the invariants will see

    @rule(datasets=st.sets(_DATASETS, min_size=1))
    def retire(self, datasets: set[str]) -> None:
        expected = {item for item in self._current() if self.made[item].manifest.dataset in datasets}
        assert set(self.life.warehouse.retire(sorted(datasets), NOON)) == expected
        for item in expected:
            self.commits[item] = (self.commits[item][0], True)

    @rule()
    def purge(self) -> None:
        expected = self._unneeded()
        gone = {name for reason, name in self.life.purge() if reason in ("superseded", "retired")}
        assert gone == expected
        self._forget(expected)

    @rule(step=st.integers(0, 12))
    def purge_broken_off(self, step: int) -> None:
        expected = self._unneeded()
        broken = Lifetime(self.life.store, self.breaking(step), self.life.layout)
        try:
            broken.purge()
        except BrokenOffError:
            shown = set(self._shown())
            assert set(self._expected()) - expected <= shown <= set(self._expected())
            self._all_whole(sorted(shown))
            self.life.purge()
        self._forget(expected)

    @rule()
    def plan(self) -> None:
        version, current = next(self.versions), self._current()
        if not current:
            with pytest.raises(InputError):
                self.life.plan("all", version)
            return
        plan = self.life.plan("all", version)
        self.plans[version] = {ingest.ingest_id for ingest in plan.ingests}
        assert self.plans[version] == current

    @precondition(lambda self: self.plans)
    @rule(data=st.data())
    def delete_curriculum(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.plans)))
        shutil.rmtree(Path(self.life.store.root) / curriculum_folder("all", version))
        del self.plans[version]

    @invariant()
    def what_is_visible_is_what_the_model_says(self) -> None:
        next(STEPS_TAKEN)
        assert self._shown() == self._expected()
        self._all_whole(sorted(self.commits))

    @invariant()
    def what_is_pinned_is_there(self) -> None:
        for pinned in self.plans.values():
            assert pinned <= self.commits.keys()

    def _shown(self) -> dict[str, tuple[bool, bool]]:
        rows = self.life.warehouse.ingests().select("ingest_id", "is_current", pl.col("retired_at").is_not_null())
        assert rows["ingest_id"].is_unique().all()
        return {ingest_id: (current, retired) for ingest_id, current, retired in rows.rows()}

    def _expected(self) -> dict[str, tuple[bool, bool]]:
        current = self._current()
        return {item: (item in current, retired) for item, (_, retired) in self.commits.items()}

    def _all_whole(self, ingest_ids: Sequence[str]) -> None:
        for row in self.life.warehouse.count_totals(ingest_ids).to_dicts():
            manifest = self.made[row["ingest_id"]].manifest
            cells = manifest.cell_count
            found = (row["raw_counts_rows"], row["cell_info_rows"], row["distinct_cells"], row["nnz"])
            assert found == (cells, cells, cells, manifest.nnz)
            assert (row["feature_info_rows"], row["orphan_cells"]) == (manifest.feature_count, 0)

    def _choose(self, data: st.DataObject) -> list[str]:
        ids = sorted(self.files)
        return data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3, unique=True))

    def _manifests(self, ingest_ids: Sequence[str]) -> list[IngestManifest]:
        return [self.made[item].manifest for item in ingest_ids]

    def _commit(self, ingest_ids: set[str]) -> None:
        time = next(self.now)
        self.commits.update(dict.fromkeys(ingest_ids, (time, False)))

    def _current(self) -> set[str]:
        last: dict[tuple[str, str], str] = {}
        for item in sorted(self.commits, key=lambda item: (self.commits[item][0], item)):
            manifest = self.made[item].manifest
            last[manifest.dataset, manifest.source_uri] = item
        return {item for item in last.values() if not self.commits[item][1]}

    def _unneeded(self) -> set[str]:
        return self.commits.keys() - self._current() - set().union(*self.plans.values())

    def _forget(self, purged: set[str]) -> None:
        """Forget what a purge deleted: with it go the ingest files that nobody waits for."""
        waiting = {item for ids in self.waiting.values() for item in ids.values()}
        self.files -= purged | (self.files - self.commits.keys() - waiting)
        for dataset, ids in self.waiting.items():
            if purged & set(ids.values()):
                self.waiting[dataset] = {}
        for item in purged:
            del self.commits[item]


class _BreakingTables(FolderTables):
    """Tables whose n-th durable step is not taken, nor any after it."""

    def __init__(self, store: FolderStore, step: int) -> None:
        super().__init__(store)
        self._left = step

    def add(self, manifest: IngestManifest, table: str) -> int:
        self._take()
        return super().add(manifest, table)

    def append(self, rows: pa.Table, when: Any) -> None:
        self._take()
        super().append(rows, when)

    def withdraw(self, ingest_ids: Collection[str]) -> None:
        for ingest_id in ingest_ids:  # one by one ends the same
            self._take()
            super().withdraw([ingest_id])

    def remove(self, table: str, ingest_id: str) -> None:
        self._take()
        super().remove(table, ingest_id)

    def _take(self) -> None:
        if not self._left:
            raise BrokenOffError
        self._left -= 1


class FolderProtocol(CommitProtocol):
    """Over the warehouse of a folder."""

    def begin(self) -> Lifetime:
        folder = tempfile.mkdtemp(prefix="nexus-protocol-")
        self.closing.callback(shutil.rmtree, folder)
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        store = FolderStore(folder)
        return Lifetime(store, FolderWarehouse(store, threads=1))

    def breaking(self, step: int) -> Warehouse:
        assert isinstance(self.life.store, FolderStore)
        warehouse = FolderWarehouse(self.life.store, threads=1)
        warehouse._tables = _BreakingTables(self.life.store, step)
        return warehouse
