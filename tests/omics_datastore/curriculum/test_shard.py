import hashlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import polars as pl
import pytest
from scipy import sparse

from omics_datastore.curriculum import shard as shard_module
from omics_datastore.curriculum.plan_model import ObsColumn
from omics_datastore.curriculum.shard import CountsMatrix, H5adShardWriter, shard_writer

FEATURES = pl.DataFrame({"feature_id": ["g1", "g2", "g3"], "feature_name": ["A", "B", "Ä"]})
LAYOUT = [
    ObsColumn(name="kind", kind="category", categories=["x", "y", "z"]),
    ObsColumn(name="nothing", kind="category", categories=[]),
    ObsColumn(name="text", kind="string"),
    ObsColumn(name="whole", kind="int64"),
    ObsColumn(name="maybe", kind="float64"),
    ObsColumn(name="flag", kind="bool"),
    ObsColumn(name="maybe_flag", kind="boolean"),
]
OBS = pl.DataFrame(
    {
        "kind": ["z", None, "x"],
        "nothing": pl.Series([None, None, None], dtype=pl.String),
        "text": ["a", None, "ü"],
        "whole": [1, 2, 3],
        "maybe": [1, None, 3],
        "flag": [True, False, True],
        "maybe_flag": [True, None, False],
    }
)


def counts() -> CountsMatrix:
    matrix = sparse.csr_matrix(np.array([[0, 1, 2], [0, 0, 0], [3, 0, 70_000]], np.float32))
    return CountsMatrix(matrix.indptr, matrix.indices, matrix.data, 3)


def write(path: Path, compression: str = "gzip", first: int = 40) -> ad.AnnData:
    H5adShardWriter(FEATURES, LAYOUT, compression).write(path, counts(), first, OBS)
    return ad.read_h5ad(path)


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_shard_holds_what_it_was_given(tmp_path: Path, compression: str) -> None:
    shard = write(tmp_path / "a.h5ad", compression)
    assert shard.X.toarray().tolist() == [[0, 1, 2], [0, 0, 0], [3, 0, 70_000]]
    assert shard.X.format == "csr"
    assert (shard.X.dtype, shard.X.indices.dtype, shard.X.indptr.dtype) == (np.float32, np.int32, np.int32)
    assert shard.obs_names.tolist() == ["40", "41", "42"]
    assert shard.var_names.tolist() == shard.var["feature_id"].tolist() == ["g1", "g2", "g3"]
    assert shard.var["feature_name"].tolist() == ["A", "B", "Ä"]
    assert shard.raw is None


def test_obs_has_the_dtypes_of_the_layout(tmp_path: Path) -> None:
    obs = write(tmp_path / "a.h5ad").obs
    assert obs.columns.tolist() == [column.name for column in LAYOUT]
    assert obs["kind"].cat.categories.tolist() == ["x", "y", "z"]
    assert obs["kind"].cat.codes.tolist() == [2, -1, 0]
    assert obs["nothing"].cat.categories.tolist() == []
    assert obs["nothing"].cat.codes.tolist() == [-1, -1, -1]
    assert obs["text"].tolist() == ["a", "", "ü"]
    assert str(obs["whole"].dtype) == "int64"
    assert str(obs["maybe"].dtype) == "float64"
    assert np.isnan(obs["maybe"].iloc[1])
    assert str(obs["flag"].dtype) == "bool"
    assert str(obs["maybe_flag"].dtype) == "boolean"
    assert obs["maybe_flag"].isna().tolist() == [False, True, False]


def test_value_outside_the_categories_is_refused(tmp_path: Path) -> None:
    obs = OBS.with_columns(kind=pl.Series(["z", "other", "x"]))
    with pytest.raises(ValueError, match="kind holds a value"):
        H5adShardWriter(FEATURES, LAYOUT, "gzip").write(tmp_path / "a.h5ad", counts(), 0, obs)


def test_matrix_is_ordinary_gzip_with_shuffle(tmp_path: Path) -> None:
    write(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad") as file:
        for name in ("data", "indices", "indptr"):
            assert file["X"][name].compression == "gzip"
            assert file["X"][name].shuffle
        assert file["X/data"][:].tolist() == [1, 2, 3, 70_000]
        assert "raw" not in file
        assert file["var/feature_id"].attrs["encoding-type"] == "string-array"


def test_several_chunks_and_a_broken_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_module, "CHUNK_ITEMS", 7)
    matrix: Any = sparse.random(40, 3, density=0.6, format="csr", dtype=np.float32, random_state=1)
    layout = [ObsColumn(name="whole", kind="int64")]
    given = CountsMatrix(matrix.indptr, matrix.indices, matrix.data, 3)
    H5adShardWriter(FEATURES, layout, "gzip").write(tmp_path / "a.h5ad", given, 0, pl.DataFrame({"whole": range(40)}))
    assert (matrix != ad.read_h5ad(tmp_path / "a.h5ad").X).nnz == 0


def test_shard_without_counts(tmp_path: Path) -> None:
    empty = CountsMatrix(np.zeros(4, np.int32), np.empty(0, np.int32), np.empty(0, np.float32), 3)
    H5adShardWriter(FEATURES, LAYOUT, "gzip").write(tmp_path / "a.h5ad", empty, 0, OBS)
    assert ad.read_h5ad(tmp_path / "a.h5ad").X.nnz == 0


def test_same_input_gives_the_same_bytes_later_and_elsewhere(tmp_path: Path) -> None:
    write(tmp_path / "a.h5ad")
    time.sleep(1.1)  # HDF5 times have a resolution of a second
    write(tmp_path / "b.h5ad")
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import test_shard; from pathlib import Path; test_shard.write(Path({str(tmp_path / 'c.h5ad')!r}))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    digests = {hashlib.sha256((tmp_path / f"{name}.h5ad").read_bytes()).hexdigest() for name in "abc"}
    assert len(digests) == 1


def test_unknown_format() -> None:
    with pytest.raises(ValueError, match="parquet"):
        shard_writer(FEATURES, LAYOUT, "parquet", "gzip")


@pytest.mark.parametrize("largest", [1, 2**8, 2**16, 2**24, 2**31 - 1])
def test_byte_planes_are_those_of_the_filter_shuffle(largest: int) -> None:
    indices = np.array([0, largest, 3, largest - 1], np.int32)
    for values in (indices, indices.astype(np.float32)):
        planes = np.full((4, 4), 9, np.uint8)
        shard_module.fill_byte_planes(values, planes)
        assert planes.tobytes() == values.view(np.uint8).reshape(4, 4).T.tobytes()
