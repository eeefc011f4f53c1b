"""``output: {format: zarr}``: the cells and counts of ``.h5ad``, in a collection that appears whole."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import polars as pl
import pytest
import zarr
from scipy import sparse

from omics_datastore.curriculum import zarr_shard
from omics_datastore.curriculum.extract import extract_groups
from omics_datastore.curriculum.plan import plan_curriculum, read_plan
from omics_datastore.curriculum.plan_model import ObsColumn
from omics_datastore.curriculum.release import release_curriculum
from omics_datastore.curriculum.release_model import read_release
from omics_datastore.curriculum.round_trip import compare_with_sources
from omics_datastore.curriculum.shard import CountsMatrix, shard_writer
from omics_datastore.curriculum.specification import OutputConfig
from omics_datastore.curriculum.trace import trace_in_shard, trace_in_store
from omics_datastore.curriculum.verify import verify_curriculum
from omics_datastore.curriculum.versions import curriculum_status, is_complete
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.storage.cloud_storage import CloudStore
from tests.omics_datastore.curriculum.curriculum_world import (
    World,
    build,
    dense,
    open_world,
    read_shards,
    specification,
    tree,
)

SPECIFICATION = specification(name="zarrs", output={"format": "zarr"}, bin_size=30)


@pytest.fixture(scope="session")
def made_zarrs(made_world: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("zarrs") / "nexus"
    shutil.copytree(made_world.root, root, ignore=shutil.ignore_patterns(".scratch"))
    world = open_world(root)
    build(world, SPECIFICATION)
    assert not (collection(world) / "zarr.json").exists()
    release_curriculum("zarrs", 1, world.store)
    return world


@pytest.fixture
def zarrs(made_zarrs: World, tmp_path: Path) -> World:
    root = tmp_path / "nexus"
    shutil.copytree(made_zarrs.root, root, ignore=shutil.ignore_patterns(".scratch"))
    return open_world(root)


def collection(world: World) -> Path:
    return world.root / "extracts/zarrs/v1/extract_files/collection.zarr"


def groups(world: World) -> list[Path]:
    return sorted(collection(world).glob("dataset_*"))


def test_the_same_cells_and_counts_as_h5ad(zarrs: World) -> None:
    build(zarrs, specification(bin_size=30))
    shards = [ad.read_zarr(path) for path in groups(zarrs)]
    assert [shard.n_obs for shard in shards] == [30, 30, 11]
    for shard, other in zip(shards, read_shards(zarrs), strict=True):
        assert (dense(shard.X) == dense(other.X)).all()
        assert (shard.X.dtype, shard.X.indices.dtype, shard.X.indptr.dtype) == (np.float32, np.int32, np.int32)
        assert shard.obs.equals(other.obs)
        assert shard.obs.dtypes.equals(other.obs.dtypes)
        assert shard.var.equals(other.var)


def test_the_release_makes_a_collection_of_the_shards(zarrs: World) -> None:
    release = read_release(zarrs.store, "zarrs", 1)
    opened = zarr.open_group(collection(zarrs), mode="r")
    assert opened.attrs.asdict() == {"encoding-type": "annbatch-preshuffled", "encoding-version": "0.1.0"}
    names = [f"dataset_{number:06d}" for number in range(3)]
    assert sorted(opened.group_keys()) == names
    assert [shard.file for shard in release.shards] == [f"extract_files/collection.zarr/{name}" for name in names]
    assert sum(ad.io.read_elem(opened[f"{name}/X"]).nnz for name in names) == release.total_nnz
    assert set(release.loaders) == {"annbatch", "anndata", "nexus", "measured-genes"}
    assert is_complete(zarrs.store, release)
    assert curriculum_status(zarrs.store, "zarrs", 1).shards == 3


def test_the_digest_of_a_shard_is_one_that_tools_compute(zarrs: World) -> None:
    shard = read_release(zarrs.store, "zarrs", 1).shards[1]
    folder = zarrs.root / "extracts/zarrs/v1" / shard.file
    program = r"LC_ALL=C; find . -type f -printf '%P\n' | sort | xargs -d '\n' sha256sum"
    listing = subprocess.run(["bash", "-c", program], cwd=folder, capture_output=True, check=True).stdout
    assert hashlib.sha256(listing).hexdigest() == shard.sha256
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) == shard.size


def test_missing_and_damaged_shards_are_made_again_with_the_same_bytes(zarrs: World) -> None:
    before = tree(zarrs, "zarrs")
    first, second, third = groups(zarrs)
    shutil.rmtree(first)
    damaged = second / "X" / "data" / "c" / "0"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    (third / "X" / "left over").write_bytes(b"")
    assert not is_complete(zarrs.store, read_release(zarrs.store, "zarrs", 1))
    with pytest.raises(CorruptionError, match="lacks dataset_000000 as it was planned"):
        release_curriculum("zarrs", 1, zarrs.store)
    plan = read_plan(zarrs.store, "zarrs", 1)
    assert extract_groups(plan, [0, 1], zarrs.warehouse, zarrs.store).written == [0, 1, 2]
    release_curriculum("zarrs", 1, zarrs.store)
    assert tree(zarrs, "zarrs") == before


def test_a_foreign_group_is_no_shard_and_is_removed_by_planning_again(zarrs: World) -> None:
    shutil.copytree(groups(zarrs)[2], collection(zarrs) / "dataset_000003")
    with pytest.raises(CorruptionError, match="dataset_000003 is no shard"):
        release_curriculum("zarrs", 1, zarrs.store)
    (zarrs.root / "extracts/zarrs/v1/plan/measured_genes.parquet").unlink()
    plan_curriculum(SPECIFICATION, 1, zarrs.warehouse, zarrs.store, bins_per_group=2)
    assert len(groups(zarrs)) == 3
    release_curriculum("zarrs", 1, zarrs.store)


def test_checks_and_traces_read_groups(zarrs: World, made_world: World, tmp_path: Path) -> None:
    release = read_release(zarrs.store, "zarrs", 1)
    assert verify_curriculum("zarrs", 1, zarrs.store).problems == []
    for source in zarrs.root.glob("inbox/*/*.h5ad"):
        os.utime(source, ns=(1, 1))  # the generation that the manifests name
    compared = compare_with_sources(read_plan(zarrs.store, "zarrs", 1), zarrs.store, cells=12)
    assert (compared.cells, compared.differences, compared.notes) == (12, [], [])
    (origin,) = trace_in_store(release, ["35"], zarrs.store)
    copied = shutil.copytree(zarrs.root / "extracts/zarrs/v1", tmp_path / "copied")
    assert trace_in_shard(copied / origin.shard, ["35"]) == [origin]
    assert (origin.shard_row, origin.cell) == (5, "35")
    assert made_world.sources[origin.ingest_id].obs_names[origin.source_row] == origin.original_id
    shutil.rmtree(groups(zarrs)[1])
    with pytest.raises(InputError, match="cannot be read"):
        trace_in_store(release, ["35"], zarrs.store)
    assert "dataset_000001 cannot be opened" in "".join(verify_curriculum("zarrs", 1, zarrs.store).problems)


def test_a_bucket_holds_the_same_bytes(world: World, cloud_root: str) -> None:
    few = {"bin_size": 90, "obs_columns": (), "metadata_extra_columns": ()}
    spec = SPECIFICATION.model_copy(update=few)
    bucket = CloudStore(cloud_root)
    for store in (world.store, bucket):
        plan = plan_curriculum(spec, 1, world.warehouse, store, bins_per_group=2)
        assert extract_groups(plan, [0], world.warehouse, store).written == [0]
    bucket.write("extracts/zarrs/v1/extract_files/collection.zarr/dataset_000000/left over", b"more")
    assert extract_groups(plan, [0], world.warehouse, bucket).written == [0]
    assert extract_groups(plan, [0], world.warehouse, bucket).kept == [0]
    assert verify_curriculum("zarrs", 1, bucket).problems == []
    release = release_curriculum("zarrs", 1, bucket)
    assert release_curriculum("zarrs", 1, world.store) == release
    here = {f"extracts/zarrs/v1/{name}": content for name, content in tree(world, "zarrs").items()}
    there = [entry.key for entry in bucket.entries("extracts/zarrs/v1/")]
    assert {key: bucket.sha256(key) for key in there} == {
        key: hashlib.sha256(content).hexdigest() for key, content in here.items()
    }
    assert is_complete(bucket, release)
    assert curriculum_status(bucket, "zarrs", 1).shards == 1
    assert trace_in_store(release, ["7"], bucket) == trace_in_store(release, ["7"], world.store)


@pytest.mark.parametrize("compression", ["lz4", "zstd", "none"])
def test_chunks_objects_and_compressions(compression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zarr_shard, "CHUNK_ITEMS", 8)
    monkeypatch.setattr(zarr_shard, "SHARD_CHUNKS", 2)
    matrix: Any = sparse.random(20, 3, density=0.6, format="csr", dtype=np.float32, random_state=1)
    features = pl.DataFrame({"feature_id": ["a", "b", "c"], "feature_name": ["A", "B", "C"]})
    writer = shard_writer(features, [ObsColumn(name=".x%y z", kind="int64")], "zarr", compression)
    given = CountsMatrix(matrix.indptr, matrix.indices, matrix.data, 3)
    writer.write(tmp_path / "a.zarr", given, 5, pl.DataFrame({".x%y z": range(20)}))
    shard = ad.read_zarr(tmp_path / "a.zarr")
    assert (matrix != shard.X).nnz == 0
    assert shard.obs[".x%y z"].tolist() == list(range(20))
    assert shard.obs_names.tolist() == [str(place) for place in range(5, 25)]
    array: Any = zarr.open_group(tmp_path / "a.zarr", mode="r")["X/data"]
    assert (array.chunks, array.shards, array.metadata.zarr_format) == ((8,), (16,), 3)
    codecs = json.dumps(json.loads((tmp_path / "a.zarr/X/data/zarr.json").read_text())["codecs"])
    assert (f'"cname": "{compression}"' in codecs) == (compression != "none")
    with pytest.raises(ValueError, match="differ in length"):
        writer.write(tmp_path / "b.zarr", given, 5, pl.DataFrame({".x%y z": range(19)}))


def test_a_shard_without_counts(tmp_path: Path) -> None:
    features = pl.DataFrame({"feature_id": ["a"], "feature_name": ["A"]})
    empty = CountsMatrix(np.zeros(4, np.int32), np.empty(0, np.int32), np.empty(0, np.float32), 1)
    writer = shard_writer(features, [ObsColumn(name="x", kind="int64")], "zarr", "lz4")
    writer.write(tmp_path / "a.zarr", empty, 0, pl.DataFrame({"x": range(3)}))
    shard = ad.read_zarr(tmp_path / "a.zarr")
    assert (shard.shape, shard.X.nnz) == ((3, 1), 0)


def test_each_format_has_its_compressions() -> None:
    assert OutputConfig.model_validate({"format": "zarr"}).compression == "lz4"
    assert OutputConfig().model_dump() == {"format": "h5ad", "compression": "gzip", "dtype": "float32"}
    with pytest.raises(ValueError, match="zarr shards have no compression gzip; use lz4 or zstd or none"):
        OutputConfig.model_validate({"format": "zarr", "compression": "gzip"})
    with pytest.raises(ValueError, match="h5ad shards have no compression lz4; use gzip or none"):
        OutputConfig.model_validate({"compression": "lz4"})
