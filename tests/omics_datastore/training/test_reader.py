"""The plain iterator over a release: the cells and counts of the shards, in batches, resumable, shared out."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import polars as pl
import pytest

from omics_datastore.curriculum.release_model import CurriculumRelease
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.storage.cloud_storage import CloudStore
from omics_datastore.storage.documents import read_document, write_document
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.layout import GENES, RELEASE
from omics_datastore.training.reader import Batch, CurriculumReader
from tests.omics_datastore.curriculum.curriculum_world import World
from tests.omics_datastore.training.conftest import CELLS


def cells_of(batches: list[Batch]) -> list[int]:
    return [int(cell) for batch in batches for cell in batch.cells]


def same(one: Batch, other: Batch) -> bool:
    counts: list[Any] = [one.counts, other.counts]
    return bool((one.cells == other.cells).all() and (counts[0] != counts[1]).nnz == 0)


@pytest.mark.parametrize("kind", ["plain", "zarrs"])
def test_batches_are_the_cells_of_the_shards(made_release: Path, kind: str) -> None:
    whole = ad.read_h5ad(made_release / f"{kind}.h5ad")
    columns = ["cell_type", "total_mrna_umis", "is_primary_data", "original_id"]
    reader = CurriculumReader(made_release / kind / "v1", batch_size=10, columns=columns, check=True)
    batches = list(reader)
    assert [len(batch.cells) for batch in batches] == [10] * 7 + [1]
    cells = cells_of(batches)
    assert sorted(cells) == list(range(CELLS))
    assert cells != sorted(cells)
    assert reader.genes == whole.var_names.tolist()
    for batch in batches:
        rows = whole[[str(cell) for cell in batch.cells]]
        counts: Any = batch.counts
        assert counts.dtype == np.float32
        assert counts.toarray().tolist() == rows.X.toarray().tolist()
        assert [reader.categories["cell_type"][code] for code in batch.obs["cell_type"]] == list(rows.obs["cell_type"])
        for name in columns[1:]:
            assert batch.obs[name].tolist() == rows.obs[name].tolist()
        assert batch.measured is None


def test_epochs_follow_each_other_and_loops_go_on(release: Path) -> None:
    reader = CurriculumReader(release, batch_size=8, seed=5)
    first, second = list(reader), list(reader)
    assert reader.epoch == 2
    assert sorted(cells_of(first)) == sorted(cells_of(second)) == list(range(CELLS))
    assert cells_of(first) != cells_of(second)
    again = CurriculumReader(release, batch_size=8, seed=5)
    begun = []
    for batch in again:
        begun.append(batch)
        if len(begun) == 3:
            break
    assert cells_of([*begun, *again]) == cells_of(first)
    assert cells_of(list(again)) == cells_of(second)
    assert cells_of(list(CurriculumReader(release, batch_size=8, seed=6))) != cells_of(first)
    unshuffled = CurriculumReader(release, batch_size=8, shuffle=False)
    assert cells_of(list(unshuffled)) == cells_of(list(unshuffled)) == list(range(CELLS))


@pytest.mark.parametrize("buffer_shards", [1, 3])
def test_a_state_leads_to_the_very_next_batch(release: Path, buffer_shards: int) -> None:
    options: dict[str, Any] = {"batch_size": 7, "buffer_shards": buffer_shards, "seed": 1}
    expected = [*CurriculumReader(release, **options)]
    for taken in (0, 1, 4, len(expected)):
        reader = CurriculumReader(release, **options)
        for _ in zip(range(taken), reader, strict=False):
            pass
        state = json.loads(json.dumps(reader.state_dict()))
        other = CurriculumReader(release, **options)
        other.load_state_dict(state)
        left = list(other)
        assert len(left) == len(expected) - taken
        assert all(same(one, its) for one, its in zip(left, expected[taken:], strict=True))
        assert other.epoch == 1


def test_a_state_of_another_order_is_refused(release: Path, made_release: Path) -> None:
    state = CurriculumReader(release, batch_size=7).state_dict()
    with pytest.raises(InputError, match="the state has batch_size 7, this reader 8"):
        CurriculumReader(release, batch_size=8).load_state_dict(state)
    with pytest.raises(InputError, match="the state has release"):
        CurriculumReader(made_release / "zarrs/v1", batch_size=7).load_state_dict(state)


def test_readers_share_out_the_shards(release: Path) -> None:
    readers = [
        CurriculumReader(release, batch_size=4, rank=rank, world=2, worker=worker, workers=3)
        for rank in range(2)
        for worker in range(3)
    ]
    for _ in range(2):
        seen = [cells_of(list(reader)) for reader in readers]
        assert sorted(cell for one in seen for cell in one) == list(range(CELLS))
        shards = [{cell // 9 for cell in one} for one in seen]
        assert sum(len(one) for one in shards) == 8
    ranks = [CurriculumReader(release, batch_size=4, rank=rank, world=3, equal_batches=True) for rank in range(3)]
    steps = [len(list(reader)) for reader in ranks]
    assert steps == [len(reader) for reader in ranks] == [steps[0]] * 3


def test_dense_batches_last_batches_and_masks(release: Path, whole: ad.AnnData, made_world: World) -> None:
    reader = CurriculumReader(release, batch_size=10, dense=True, drop_last=True, measured=True)
    batches = list(reader)
    assert [batch.counts.shape for batch in batches] == [(10, whole.n_vars)] * 7
    for batch in batches:
        assert isinstance(batch.counts, np.ndarray)
        ingests = whole[[str(cell) for cell in batch.cells]].obs["ingest_id"]
        expected = [[gene in made_world.sources[ingest].var_names for gene in reader.genes] for ingest in ingests]
        assert batch.measured is not None
        assert batch.measured.tolist() == expected
        assert not batch.counts[~batch.measured].any()
        assert batch.obs == {}


def test_a_split_is_read_alone(made_release: Path) -> None:
    whole = ad.read_h5ad(made_release / "parts.h5ad")
    for split in ("train", "validation"):
        reader = CurriculumReader(made_release / "parts/v1", batch_size=10, split=split, columns=["split"], check=True)
        batches = list(reader)
        places = np.flatnonzero(whole.obs["split"] == split)
        assert sorted(cells_of(batches)) == places.tolist()
        for batch in batches:
            rows = whole[[str(cell) for cell in batch.cells]]
            counts: Any = batch.counts
            assert counts.toarray().tolist() == rows.X.toarray().tolist()
            assert {reader.categories["split"][code] for code in batch.obs["split"]} == {split}
    with pytest.raises(InputError, match="no split 'test'; it has train, validation"):
        CurriculumReader(made_release / "parts/v1", batch_size=10, split="test")


def test_a_bucket_is_read(made_release: Path, cloud_root: str) -> None:
    store = CloudStore(cloud_root)
    for path in sorted(made_release.glob("plain/v1/**/*")):
        if path.is_file() and path.parent.name != "plan":
            store.write(path.relative_to(made_release).as_posix(), path.read_bytes())
    there = CurriculumReader(f"{cloud_root}/plain/v1", batch_size=20, check=True, measured=True)
    here = CurriculumReader(made_release / "plain/v1", batch_size=20)
    assert all(same(one, other) for one, other in zip(there, here, strict=True))


def test_genes_of_any_name_come_back(release: Path, tmp_path: Path) -> None:
    shutil.copytree(release, tmp_path / "v1")
    names = ['a "gene", of ours', "b,1", "c\nd", "ENSG00000000001"]
    genes = pl.DataFrame({"feature_id": names, "feature_name": names}).write_csv().encode()
    store = FolderStore(tmp_path / "v1")
    made = read_document(store, RELEASE, CurriculumRelease)
    store.write(GENES, genes)
    with pytest.raises(CorruptionError, match=r"genes\.csv does not match its checksum"):
        CurriculumReader(tmp_path / "v1", batch_size=4).genes  # noqa: B018
    write_document(store, RELEASE, made.model_copy(update={"genes_sha256": hashlib.sha256(genes).hexdigest()}))
    assert CurriculumReader(tmp_path / "v1", batch_size=4).genes == names


def test_what_is_wrong_is_said(release: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no released curriculum at"):
        CurriculumReader(tmp_path, batch_size=8)
    with pytest.raises(InputError, match="no split 'train'; it has none"):
        CurriculumReader(release, batch_size=8, split="train")
    with pytest.raises(InputError, match=r"no obs column 'celltype'; they have ingest_id, .*cell_type"):
        CurriculumReader(release, batch_size=8, columns=["celltype"])
    with pytest.raises(InputError, match="batch_size is 0"):
        CurriculumReader(release, batch_size=0)
    with pytest.raises(InputError, match="rank 2 of 2"):
        CurriculumReader(release, batch_size=8, rank=2, world=2)
    with pytest.raises(InputError, match="8 shards are too few for 9 ranks"):
        CurriculumReader(release, batch_size=8, rank=2, world=9)
    folder = Path(shutil.copytree(release, tmp_path / "copied"))
    shard = folder / "extract_files/extract_000003.h5ad"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + b"?")
    with pytest.raises(CorruptionError, match=r"does not match its checksum in release\.json; delete it"):
        list(CurriculumReader(folder, batch_size=8))
    shutil.copyfile(folder / "extract_files/extract_000007.h5ad", shard)
    with pytest.raises(CorruptionError, match="has 8 cells of 9 genes, not 9 of 9"):
        list(CurriculumReader(folder, batch_size=8, check=False))
    shard.unlink()
    with pytest.raises(CorruptionError, match="is gone"):
        list(CurriculumReader(folder, batch_size=8))
