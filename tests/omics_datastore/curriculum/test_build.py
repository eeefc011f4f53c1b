"""The whole way: plan, extract, release, verify, over real source files."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omics_datastore.curriculum.extract import extract_groups
from omics_datastore.curriculum.feature_schema import add_feature_schema
from omics_datastore.curriculum.plan import plan_curriculum, read_plan
from omics_datastore.curriculum.release import read_genes, release_curriculum
from omics_datastore.curriculum.verify import verify_curriculum
from omics_datastore.errors import CorruptionError
from omics_datastore.storage.folder import FolderStore
from tests.omics_datastore.curriculum.curriculum_world import (
    World,
    assert_equals_sources,
    build,
    filters_of,
    gene,
    make_source,
    open_world,
    read_shards,
    shard_bytes,
    shard_paths,
    specification,
    tree,
)

CELLS = 31 + 23 + 17
EVERY_GENE = gene(1, 2, 3, 4, 5, 6, 7, 8, 9)


def test_union_of_three_gene_sets_equals_the_sources(world: World) -> None:
    plan, result = build(world)
    shards = read_shards(world)
    assert [shard.n_obs for shard in shards] == [20, 20, 20, 11]
    assert result.written == [0, 1, 2, 3]
    assert shards[0].var_names.tolist() == EVERY_GENE
    assert assert_equals_sources(world, shards) == CELLS
    places = [int(name) for shard in shards for name in shard.obs_names]
    assert places == list(range(CELLS))
    cells = {(row.ingest_id, row.cell_index) for shard in shards for row in shard.obs.itertuples()}
    assert len(cells) == CELLS
    assert not verify_curriculum("all", 1, world.store).problems
    assert plan.total_cells == CELLS


def test_obs_columns_are_alike_in_every_shard(world: World) -> None:
    build(world)
    shards = read_shards(world)
    expected = ["ingest_id", "cell_index", "original_id", "total_mrna_umis"]
    expected += ["cell_type", "donor_id", "dataset", "is_primary_data", "batch"]
    for shard in shards:
        assert shard.obs.columns.tolist() == expected
        assert shard.obs.dtypes.equals(shards[0].obs.dtypes)
        assert shard.var.equals(shards[0].var)
    obs = shards[0].obs
    assert obs["cell_type"].cat.categories.tolist() == ["B cell", "T cell", "neuron"]
    assert obs["dataset"].cat.categories.tolist() == ["brain", "lung"]
    assert obs["batch"].cat.categories.tolist() == ["b0", "b1"]
    assert [str(obs[name].dtype) for name in ("cell_index", "total_mrna_umis", "is_primary_data")] == [
        "int64",
        "int64",
        "bool",
    ]


def test_total_is_of_all_features_of_the_source(world: World) -> None:
    add_feature_schema(world.store, "few", b"ensembl_id,symbol\nENSG00000000009,Nine\nENSG00000000777,\n")
    plan, _ = build(world, specification(features="few"))
    shards = read_shards(world)
    assert assert_equals_sources(world, shards) == CELLS
    assert shards[0].var["feature_name"].tolist() == ["Nine", "ENSG00000000777"]
    for row in shards[0].obs.itertuples():
        assert row.total_mrna_umis == world.sources[str(row.ingest_id)].X[row.cell_index].sum()
    assert plan.warnings == ["1 of 2 features were measured by no selected ingest"]


def test_intersection_and_schema_keep_their_order(world: World) -> None:
    build(world, specification(features="intersection"))
    assert read_shards(world)[0].var_names.tolist() == gene(1)
    content = "ensembl_id\n" + "\n".join(gene(9, 1, 4)) + "\n"
    add_feature_schema(world.store, "own", content.encode())
    build(world, specification(name="own", features="own"))
    shards = read_shards(world, "own")
    assert shards[0].var_names.tolist() == gene(9, 1, 4)
    assert shards[0].var["feature_name"].tolist() == [f"symbol of {name}" for name in gene(9, 1, 4)]
    assert_equals_sources(world, shards)


def test_filter_chooses_the_cells(world: World) -> None:
    build(world, specification(filter=[{"column": "cell_type", "op": "in", "value": ["neuron"]}], bin_size=7))
    shards = read_shards(world)
    expected = sum((source.obs["cell_type"] == "neuron").sum() for source in world.sources.values())
    assert assert_equals_sources(world, shards) == expected
    assert shards[0].obs["cell_type"].cat.categories.tolist() == ["neuron"]


def test_deleted_extract_is_rebuilt_byte_for_byte(world: World) -> None:
    build(world)
    release_curriculum("all", 1, world.store)
    before = tree(world)
    shutil.rmtree(world.root / "extracts")
    build(world)
    release_curriculum("all", 1, world.store)
    assert tree(world) == before


def test_groups_workers_and_memory_do_not_matter(world: World) -> None:
    spec = specification(bin_size=9)
    build(world, spec, 1, bins_per_group=2)
    build(world, spec, 2, bins_per_group=100, workers=1)
    build(world, spec, 3, bins_per_group=3, workers=3, memory_limit_bytes=1)
    assert shard_bytes(world, version=1) == shard_bytes(world, version=2) == shard_bytes(world, version=3)
    releases = [release_curriculum("all", version, world.store) for version in (1, 2, 3)]
    assert releases[0].shards == releases[1].shards == releases[2].shards


def test_shards_that_are_there_are_kept(world: World) -> None:
    plan, _ = build(world)
    before = [path.stat().st_mtime_ns for path in shard_paths(world)]
    _, again = build(world)
    assert again.kept == [0, 1, 2, 3]
    assert not again.written
    assert [path.stat().st_mtime_ns for path in shard_paths(world)] == before
    shard_paths(world)[2].unlink()
    seen: list[tuple[int, int]] = []
    groups = [group.group for group in plan.groups]
    third = extract_groups(plan, groups, world.warehouse, world.store, on_progress=lambda *cells: seen.append(cells))
    assert (third.written, third.kept) == ([2], [0, 1, 3])
    assert seen == [(51, 71), (71, 71)]


def test_corrupted_shard_is_made_again(world: World) -> None:
    plan, _ = build(world)
    before = shard_bytes(world)
    path = shard_paths(world)[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    with pytest.raises(CorruptionError, match=r"extract_000001\.h5ad"):
        release_curriculum("all", 1, world.store)
    result = extract_groups(plan, [0, 1], world.warehouse, world.store)
    assert result.written == [1]
    assert shard_bytes(world) == before


def test_only_the_asked_groups_are_extracted(world: World) -> None:
    plan = plan_curriculum(specification(), 1, world.warehouse, world.store, bins_per_group=3)
    assert extract_groups(plan, [1], world.warehouse, world.store).written == [3]
    assert [path.name for path in shard_paths(world)] == ["extract_000003.h5ad"]


class KilledError(Exception):
    pass


class FrailStore(FolderStore):
    """A store whose process is killed before the write after so many."""

    def __init__(self, root: str, writes: int) -> None:
        super().__init__(root)
        self.left = writes

    def write(self, key: str, content: bytes, *, new: bool = False) -> None:
        self._count()
        super().write(key, content, new=new)

    def put(self, local: Path, key: str) -> None:
        self._count()
        super().put(local, key)

    def _count(self) -> None:
        if not self.left:
            raise KilledError
        self.left -= 1


@pytest.mark.parametrize("planned", [False, True])
def test_killed_at_any_write_and_run_again_gives_the_same_tree(world: World, planned: bool) -> None:
    spec = specification(bin_size=40)
    folder = world.root / "extracts"

    def run(store: FolderStore) -> None:
        plan = plan_curriculum(spec, 1, world.warehouse, store, bins_per_group=1)
        if planned or store is world.store:
            extract_groups(plan, [0, 1], world.warehouse, store)
            release_curriculum("all", 1, store)

    if planned:
        plan_curriculum(spec, 1, world.warehouse, world.store, bins_per_group=1)
        shutil.copytree(folder, world.root / "saved")
    run(world.store)
    expected = tree(world)
    finished = False
    writes = 0
    while not finished:
        shutil.rmtree(folder)
        if planned:
            shutil.copytree(world.root / "saved", folder)
        try:
            run(FrailStore(world.store.root, writes))
            finished = True
        except KilledError:
            assert "release.json" not in tree(world)
            writes += 1
        run(world.store)
        assert tree(world) == expected
    assert writes == (2 + 2 + 4 if planned else 2 + 2 + 1)


def test_damaged_plan_is_noticed(world: World) -> None:
    plan, _ = build(world)
    path = world.root / plan.groups[0].key
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)
    shard_paths(world)[0].unlink()
    with pytest.raises(CorruptionError, match=r"cells_000000\.parquet"):
        extract_groups(plan, [0], world.warehouse, world.store)
    path.unlink()
    with pytest.raises(CorruptionError, match="lost"):
        extract_groups(plan, [0], world.warehouse, world.store)
    again, result = build(world)
    assert again == plan
    assert result.written == [0]


def test_release_names_what_a_trainer_needs(world: World) -> None:
    plan, _ = build(world, specification(filter={"total_mrna_umis__gte": 0, "cell_type__not_eq": "x"}))
    release = release_curriculum("all", 1, world.store, workers=2)
    folder = world.root / "extracts/all/v1"
    metadata = json.loads((folder / "extract_metadata.json").read_text())
    assert metadata["total_bins"] == 4
    assert metadata["last_bin_size"] == metadata["last_shard_size"] == 11
    assert metadata["total_cells"] == CELLS
    assert metadata["extract_bin_size"] == metadata["shard_size"] == 20
    assert metadata["limits"] == [20, 40, 60, 71]
    assert metadata["filters"] == {"total_mrna_umis__gte": 0, "cell_type__not_eq": "x"}
    assert metadata["category_metadata"]["batch"] == ["b0", "b1"]
    assert [(folder / name).is_file() for name in metadata["filenames"]] == [True] * 4
    assert release.citations == ["First et al.", "Second et al."]
    assert sum(ingest.cells for ingest in release.ingests) == CELLS
    assert sorted(ingest.features_measured for ingest in release.ingests) == [4, 4, 5]
    assert [shard.cells for shard in release.shards] == [20, 20, 20, 11]
    assert release.total_nnz == sum(shard.X.nnz for shard in read_shards(world))
    assert "{000000..000003}" in release.loaders["cellarium-ml"]
    for program in release.loaders.values():
        compile(program, "loader", "exec")
    genes = read_genes(world.store, "all", 1)
    measured = dict(zip(genes["feature_id"], genes.select("sources_measured", "cells_measured").rows(), strict=True))
    assert measured[gene(1)[0]] == (3, CELLS)
    assert measured[gene(2)[0]] == (1, 23)
    assert measured[gene(9)[0]] == (2, 31 + 17)
    assert plan.bins[0].min_key <= plan.bins[0].max_key


def test_anndata_loader_of_a_release_runs(world: World) -> None:
    build(world)
    program = release_curriculum("all", 1, world.store).loaders["anndata"]
    found: dict[str, Any] = {}
    here = Path.cwd()
    os.chdir(world.root)
    try:
        exec(program, found)  # noqa: S102
    finally:
        os.chdir(here)
    assert found["shard"].n_obs == 20


def test_last_bin_is_never_zero(world: World) -> None:
    build(world, specification(bin_size=71))
    release_curriculum("all", 1, world.store)
    metadata = json.loads((world.root / "extracts/all/v1/extract_metadata.json").read_text())
    assert (metadata["total_bins"], metadata["last_bin_size"], metadata["last_shard_size"]) == (1, 71, 71)


def test_strange_shard_is_refused(world: World) -> None:
    build(world)
    stray = world.root / "extracts/all/v1/extract_files/extract_000009.h5ad"
    stray.write_bytes(b"")
    with pytest.raises(CorruptionError, match=r"no shard of all\.v1"):
        release_curriculum("all", 1, world.store)


def test_verify_finds_a_shard_of_another_curriculum(world: World) -> None:
    build(world)
    build(world, specification(name="other", category_limit=2, metadata_extra_columns=[]))
    shutil.copy(shard_paths(world, "other")[3], shard_paths(world)[3])
    problems = verify_curriculum("all", 1, world.store).problems
    assert any("extract_000003.h5ad: obs columns" in problem for problem in problems)
    assert any("dtypes" in problem for problem in problems)
    shard_paths(world)[3].write_bytes(b"no hdf5")
    problems = verify_curriculum("all", 1, world.store).problems
    assert len(problems) == 1
    assert "cannot be opened" in problems[0]


def test_uncompressed_shards_hold_the_same(world: World) -> None:
    build(world)
    build(world, specification(name="plain", output={"compression": "none"}))
    assert filters_of(shard_paths(world)[0], "X/data")[:2] == ("gzip", True)
    assert filters_of(shard_paths(world, "plain")[0], "X/data") == (None, False, None)
    for one, other in zip(read_shards(world), read_shards(world, "plain"), strict=True):
        assert (one.X != other.X).nnz == 0
        assert one.obs.equals(other.obs)


def test_plan_reads_back(world: World) -> None:
    plan, _ = build(world)
    assert read_plan(world.store, "all", 1) == plan
    assert pl.Series([item.cells for item in plan.bins]).sum() == CELLS


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_sources_come_back(tmp_path: Path, data: st.DataObject) -> None:
    root = tmp_path / str(data.draw(st.uuids(), label="folder"))
    world = open_world(root)
    for number in range(data.draw(st.integers(1, 3), label="sources")):
        genes = data.draw(st.lists(st.sampled_from(EVERY_GENE), min_size=1, unique=True), label="genes")
        world.add(f"s{number}", make_source(genes, data.draw(st.integers(1, 12), label="cells"), number))
    spec = specification(
        bin_size=data.draw(st.integers(1, 9), label="bin_size"),
        seed=data.draw(st.integers(0, 2**63 - 1), label="seed"),
    )
    build(world, spec, bins_per_group=data.draw(st.integers(1, 4), label="bins_per_group"))
    shards = read_shards(world)
    total = sum(source.n_obs for source in world.sources.values())
    assert assert_equals_sources(world, shards) == total
    assert [shard.n_obs for shard in shards[:-1]] == [spec.bin_size] * (len(shards) - 1)
    for shard in shards:
        assert shard.X.has_canonical_format
        assert (shard.X.data > 0).all()
        assert np.issubdtype(shard.X.indices.dtype, np.int32)
    shutil.rmtree(root)
