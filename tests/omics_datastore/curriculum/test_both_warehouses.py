"""The same specification over the same files: a laptop and BigQuery give the same plan and the same bytes."""

from pathlib import Path
from typing import Any

from omics_datastore.warehouse.parquet_layout import BULK_LOAD
from tests.emulators.bigquery.process import BigQueryEmulator
from tests.omics_datastore.curriculum.curriculum_world import (
    World,
    build,
    gene,
    make_source,
    open_world,
    specification,
    tree,
)
from tests.omics_datastore.warehouse.bigquery_world import emulated_world


def fill(world: World) -> World:
    """Ingest files with different genes, columns and datasets, one of them twice, and supersede one."""
    obs: dict[str, Any] = {"batch": ["it's", "b\\", None, "0.10", "ключ"] * 120, "total": list(range(600))}
    world.add("a", make_source(gene(5, 3, 9, 1, 7), 600, 1, obs, citation="First et al."))
    world.add("b", make_source(gene(1, 2, 3, 4), 230, 2, {"batch": None, "only_here": "x"}))
    world.add("b", make_source(gene(1, 2, 3, 4, 8), 240, 4, {"donor_id": None}))
    world.add("c", make_source(gene(9, 8, 1, 6), 170, 3, citation="Second et al."), dataset="brain")
    return world


SPECIFICATIONS = (
    specification(name="all", bin_size=300),
    specification(
        name="filtered",
        bin_size=100,
        seed=11,
        features="intersection",
        obs_columns=["cell_type", "tissue", "total_mrna_umis", "dataset"],
        metadata_extra_columns=["batch", "total", "only_here"],
        filter=[
            {"column": "cell_type", "op": "in", "value": ["T cell", "neuron"]},
            {"column": "total_mrna_umis", "op": "gte", "value": 1},
            {"column": "metadata_extra.batch", "op": "not_in", "value": ["it's"]},
        ],
    ),
    specification(name="grouped", bin_size=90, group_by=["donor_id", "metadata_extra.batch"]),
    specification(
        name="exact",
        bin_size=60,
        order="exact",
        seed=5,
        split={"by": "metadata_extra.batch", "train": "rest", "validation": ["it's", None]},
        caps=[
            {"per": ["metadata_extra.batch", "dataset"], "cells": 90, "at_least": 50},
            {"per": "donor_id", "cells": "smallest"},
        ],
    ),
)


def test_plans_and_shards_are_the_same_bytes(bigquery_emulator: BigQueryEmulator, tmp_path: Path) -> None:
    local = fill(open_world(tmp_path))
    with emulated_world(bigquery_emulator) as made:
        google = fill(World(made.store, made.open(), {}, BULK_LOAD))  # type: ignore[arg-type]
        for spec in SPECIFICATIONS:
            here, _ = build(local, spec, workers=1)
            there, _ = build(google, spec, workers=2)
            assert here == there
            assert len(here.bins) > 2
            ours, theirs = tree(local, spec.name), tree(google, spec.name)
            assert list(ours) == list(theirs)
            assert sum(name.endswith(".h5ad") for name in ours) == len(here.bins)
            assert [name for name in ours if ours[name] != theirs[name]] == []
    # The layouts of the ingest files differ: what was compared was read, not copied.
    first, second = (next(world.root.glob("ingest/brain/*/raw_counts.parquet")) for world in (local, google))
    assert first.parent.name == second.parent.name
    assert first.read_bytes() != second.read_bytes()
