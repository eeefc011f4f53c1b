"""Shards are compared with their sources, of whatever kind these are."""

from pathlib import Path

import numpy as np

from omics_datastore.curriculum.round_trip import compare_with_sources
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.create import create_ingest_files
from omics_datastore.ingest.inbox import read_drop
from omics_datastore.ingest.manifest import read_manifest
from tests.omics_datastore.curriculum.curriculum_world import COMMITTED, SMALL_GROUPS, build, open_world, specification
from tests.other_sources import make_every_kind


def test_sources_of_every_kind(tmp_path: Path) -> None:
    world = open_world(tmp_path / "nexus")
    counts = np.random.default_rng(3).integers(0, 3, (7, 5))
    make_every_kind(world.root / "inbox/mixed", counts)
    for source in read_drop(world.store, "mixed").sources:
        report = create_ingest_files(source, "mixed", DatasetConfig(), world.store, layout=SMALL_GROUPS)
        assert report.ingest_id is not None
        world.warehouse.load([read_manifest(world.store, "mixed", report.ingest_id)], COMMITTED)
    plan, _ = build(world, specification(bin_size=50, obs_columns=[], metadata_extra_columns=[], primary_only=False))
    compared = compare_with_sources(plan, world.store, cells=42)
    assert (compared.cells, compared.differences, compared.notes) == (42, [], [])
    changed = world.root / "inbox/mixed/one/barcodes.tsv.gz"
    changed.write_bytes(changed.read_bytes() + b" ")
    compared = compare_with_sources(plan, world.store, cells=42)
    assert (compared.cells, compared.differences) == (35, [])
    assert compared.notes[0].endswith("one/matrix.mtx.gz is gone or has changed since it was ingested; not compared")
