"""``measured_genes.parquet``: which genes each source measured, so that a trainer can tell zero from not measured."""

import hashlib
import shutil
from typing import Any

import anndata as ad
import polars as pl
import pytest

from omics_datastore.curriculum.feature_schema import add_feature_schema
from omics_datastore.curriculum.loaders import placed_loader
from omics_datastore.curriculum.plan import read_plan
from omics_datastore.curriculum.release import release_curriculum
from omics_datastore.errors import CorruptionError
from omics_datastore.storage.documents import write_document
from omics_datastore.storage.layout import plan_key
from tests.omics_datastore.curriculum.curriculum_world import World, build, read_shards, shard_paths, specification


def test_masks_are_the_genes_of_the_sources(world: World) -> None:
    build(world)
    release = release_curriculum("all", 1, world.store)
    path = world.root / "extracts/all/v1/measured_genes.parquet"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == release.measured_genes_sha256
    table = pl.read_parquet(path)
    assert table.columns == ["ingest_id", "dataset", "measured"]
    assert table.select("ingest_id", "dataset").rows() == [
        (ingest.ingest_id, ingest.dataset) for ingest in release.ingests
    ]
    genes = read_shards(world)[0].var_names.tolist()
    for row, ingest in zip(table.to_dicts(), release.ingests, strict=True):
        source = world.sources[row["ingest_id"]]
        assert row["measured"] == [name in source.var_names for name in genes]
        assert sum(row["measured"]) == ingest.features_measured


def test_the_released_program_gives_a_mask_of_cells_by_genes(world: World) -> None:
    add_feature_schema(world.store, "some", b"ensembl_id\nENSG00000000009\nENSG00000000777\nENSG00000000002\n")
    build(world, specification(features="some"))
    release = release_curriculum("all", 1, world.store)
    found: dict[str, Any] = {}
    programs = [placed_loader(release, name, world.store) for name in ("anndata", "measured-genes")]
    exec("\n".join(programs), found)  # noqa: S102 - what the release says is to be run
    shard = ad.read_h5ad(shard_paths(world)[0])
    expected = [
        [name in world.sources[ingest].var_names for name in shard.var_names] for ingest in shard.obs["ingest_id"]
    ]
    assert found["measured"].tolist() == expected
    assert not found["measured"].all()
    assert not found["shard"].X.toarray()[~found["measured"]].any()


def test_the_table_is_made_again_with_the_same_bytes(world: World) -> None:
    build(world)
    release = release_curriculum("all", 1, world.store)
    path = world.root / "extracts/all/v1/measured_genes.parquet"
    before = path.read_bytes()
    path.write_bytes(b"")
    (world.root / "extracts/all/v1/plan/measured_genes.parquet").write_bytes(b"damaged")
    with pytest.raises(CorruptionError, match=r"plan/measured_genes\.parquet is not what the plan says"):
        release_curriculum("all", 1, world.store)
    (world.root / "extracts/all/v1/plan/measured_genes.parquet").unlink()
    build(world)
    assert release_curriculum("all", 1, world.store) == release
    assert path.read_bytes() == before
    shutil.rmtree(world.root / "extracts")
    build(world)
    assert release_curriculum("all", 1, world.store) == release
    assert path.read_bytes() == before


def test_a_plan_of_an_earlier_version_has_no_table(world: World) -> None:
    build(world)
    plan = read_plan(world.store, "all", 1)
    write_document(world.store, plan_key("all", 1), plan.model_copy(update={"measured_sha256": None}))
    (world.root / "extracts/all/v1/plan/measured_genes.parquet").unlink()
    release = release_curriculum("all", 1, world.store)
    assert release.measured_genes_sha256 is None
    assert "measured-genes" not in release.loaders
    assert not (world.root / "extracts/all/v1/measured_genes.parquet").exists()
