"""Nexus: the functions that the components call, in two processes, with every check, obs column, digest and commit."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.speed.arrow_decode import decode_rate
from benchmarks.speed.stages import Stages, run_contestant

PROCESSES = 2
BIN_SIZE = 10_000
BINS_PER_GROUP = 32
MEMORY_BYTES = 192 * 2**20
"""Cell data that one process holds at once."""
SHARDS = "extracts/{}/v1/extract_files/*.h5ad"


def ingest(asked: tuple[str, list[str]]) -> list[str]:
    """Make the ingest files of some source files, one after the other."""
    from omics_datastore.ingest.configuration import DatasetConfig
    from omics_datastore.ingest.create import create_ingest_files
    from omics_datastore.ingest.inbox import read_drop
    from omics_datastore.storage.open import open_store

    root, keys = asked
    store = open_store(root)
    made = []
    for source in read_drop(store, "bench").sources:
        if source.key in keys:
            report = create_ingest_files(source, "bench", DatasetConfig(), store, memory_limit_bytes=MEMORY_BYTES)
            if report.ingest_id is None or not report.valid:
                raise RuntimeError(report.errors)
            made.append(report.ingest_id)
    return made


def extract(asked: tuple[str, str, list[int], int]) -> None:
    """Write the shards of some groups of bins."""
    from omics_datastore.curriculum.extract import extract_groups
    from omics_datastore.curriculum.plan import read_plan
    from omics_datastore.storage.open import open_store
    from omics_datastore.warehouse.open import open_warehouse

    root, name, groups, workers = asked
    store = open_store(root)
    plan, warehouse = read_plan(store, name, 1), open_warehouse("folder", store)
    extract_groups(plan, groups, warehouse, store, workers=workers, memory_limit_bytes=MEMORY_BYTES)


def build(root: str, name: str, **specification: Any) -> None:
    """Plan, extract and release a curriculum."""
    from omics_datastore.curriculum.plan import plan_curriculum
    from omics_datastore.curriculum.release import release_curriculum
    from omics_datastore.curriculum.specification import CurriculumSpecification
    from omics_datastore.curriculum.versions import drop_specification, resolve_version
    from omics_datastore.storage.open import open_store
    from omics_datastore.warehouse.open import open_warehouse

    store = open_store(root)
    warehouse = open_warehouse("folder", store)
    asked = CurriculumSpecification(
        name=name, bin_size=BIN_SIZE, obs_columns=("cell_type", "tissue", "donor_id"), **specification
    )
    drop_specification(store, asked)
    version = resolve_version(asked, warehouse, store).version
    plan = plan_curriculum(asked, version, warehouse, store, bins_per_group=BINS_PER_GROUP)
    groups = [group.group for group in plan.groups]
    tasks = min(PROCESSES, len(groups))
    shares = [(root, name, groups[first::tasks], PROCESSES // tasks) for first in range(tasks)]
    with _pool() as pool:
        list(pool.map(extract, shares))
    release_curriculum(name, version, store, workers=PROCESSES)


def main(sources: list[Path], folder: Path) -> dict[str, float]:
    """Ingest, commit, and build curricula: everything in each order, and one cell in a hundred.

    :param sources: The source files.
    :param folder: An empty folder.
    :return: ``cells``, seconds of the stages and of their CPU, bytes of store and shards, how fast Arrow is decoded.
    """
    from nexus_resources.pipelines.requests import spread_by_size
    from omics_datastore.ingest.inbox import read_drop
    from omics_datastore.ingest.manifest import read_manifest
    from omics_datastore.storage.folder import FolderStore
    from omics_datastore.warehouse.open import open_warehouse

    inbox = folder / "inbox" / "bench"
    inbox.mkdir(parents=True)
    for source in sources:
        (inbox / source.name).hardlink_to(source)
    root = str(folder)
    store = FolderStore(folder)
    _warm()
    stages = Stages()
    with stages.measure("ingest"):
        shares = spread_by_size(read_drop(store, "bench").sources, PROCESSES)
        with _pool() as pool:
            made = pool.map(ingest, [(root, [source.key for source in share]) for share in shares])
            ids = [ingest_id for some in made for ingest_id in some]
        manifests = [read_manifest(store, "bench", ingest_id) for ingest_id in ids]
        open_warehouse("folder", store).load(manifests, datetime.now(UTC))
    cells = sum(manifest.cell_count for manifest in manifests)
    part = {"column": "metadata_extra.src_row", "op": "lt", "value": max(1, cells // len(manifests) // 100)}
    asked: dict[str, dict[str, Any]] = {
        "extract": {},
        "extract_exact": {"order": "exact"},
        "extract_grouped": {"group_by": ["cell_type"]},
        "extract_1_percent": {"filter": [part]},
    }
    for stage, specification in asked.items():
        with stages.measure(stage):
            build(root, stage.replace("_", "-"), **specification)
    counts = store.path(manifests[0].file("raw_counts").key)
    return {
        "cells": cells,
        **stages.seconds,
        "store_bytes": sum(file.size for manifest in manifests for file in manifest.files),
        "shard_bytes": sum(path.stat().st_size for path in folder.glob(SHARDS.format("extract"))),
        "arrow_cells_per_cpu_second": decode_rate(counts, None),
        "arrow_lz4_cells_per_cpu_second": decode_rate(counts, "lz4"),
    }


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("forkserver"))


def _warm() -> None:
    """Import what the processes need before the clock runs, as the floor has done when its clock starts."""
    import omics_datastore.curriculum.release  # noqa: F401

    multiprocessing.set_forkserver_preload(["benchmarks.speed.preloaded"])
    with _pool() as pool:
        list(pool.map(len, ["", ""]))


if __name__ == "__main__":
    run_contestant(main, sys.argv[1:])
