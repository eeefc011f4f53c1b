"""A store in which ingests come and go, for tests of what hides, deletes and pins them."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omics_datastore.curriculum.plan import plan_curriculum
from omics_datastore.curriculum.plan_model import CurriculumPlan
from omics_datastore.ingest.ingest_set import IngestSet
from omics_datastore.ingest.manifest import IngestManifest
from omics_datastore.purge import WAIT_SECONDS, find_leftovers, purge
from omics_datastore.storage.documents import write_document
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.layout import ingest_manifest_key, ingest_set_key
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.folder import FolderWarehouse
from omics_datastore.warehouse.parquet_layout import ParquetLayout
from omics_datastore.warehouse.warehouse import Warehouse
from tests.omics_datastore.curriculum.curriculum_world import specification
from tests.omics_datastore.ingest_factory import MadeIngest, make_ingest

LATER = time.time() + 7200
"""More than the grace period after everything that a test does."""


class Lifetime:
    """A store in which ingests come and go, with their manifests, as the ingest leaves them."""

    def __init__(self, store: ObjectStore, warehouse: Warehouse, layout: ParquetLayout | None = None) -> None:
        self.root = Path(store.root)
        self.store = store
        self.warehouse = warehouse
        self.layout = layout

    def load(self, dataset: str = "lung", source: str = "a.h5ad", version: int = 1) -> MadeIngest:
        made = self.make(dataset, source, version)
        self.warehouse.load([made.manifest], datetime.now(UTC))
        return made

    def make(self, dataset: str = "lung", source: str = "a.h5ad", version: int = 1) -> MadeIngest:
        """Write the files of an ingest, its manifest and the set of its dataset: it waits for its load."""
        made = make_ingest(self.store, dataset, source, version=version, layout=self.layout)
        self.write_manifest(made.manifest)
        ids = IngestSet(dataset=dataset, drop_digest="x", ingest_ids=[made.ingest_id])
        write_document(self.store, ingest_set_key(dataset), ids)
        return made

    def plan(self, name: str = "all", version: int = 1) -> CurriculumPlan:
        asked = specification(name=name, obs_columns=["dataset"], metadata_extra_columns=[])
        return plan_curriculum(asked, version, self.warehouse, self.store, bins_per_group=2)

    def write_manifest(self, manifest: IngestManifest) -> None:
        write_document(self.store, ingest_manifest_key(manifest.dataset, manifest.ingest_id), manifest)

    def leftovers(self, **options: Any) -> list[tuple[str, str]]:
        found = find_leftovers(self.store, self.warehouse, **{"now": LATER, **options})
        return [(item.reason, item.name) for item in found]

    def purge(self, wait_seconds: float = WAIT_SECONDS, **options: Any) -> list[tuple[str, str]]:
        looked = {"now": LATER, **options}
        found = find_leftovers(self.store, self.warehouse, **looked)
        gone = purge(found, self.store, self.warehouse, **looked, wait_seconds=wait_seconds)
        return [(item.reason, item.name) for item in gone]

    def files(self) -> set[str]:
        return {
            path.relative_to(self.root).as_posix()
            for path in self.root.rglob("*")
            if path.is_file() and ".scratch" not in path.parts
        }


def open_lifetime(root: Path) -> Lifetime:
    """Open a lifetime over a folder."""
    store = FolderStore(root)
    return Lifetime(store, FolderWarehouse(store, threads=1))
