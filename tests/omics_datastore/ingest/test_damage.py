"""Files that are damaged, contradict themselves or change: refused with a sentence, and nothing is left behind."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.create import create_ingest_files
from tests.omics_datastore.ingest.ingest_run import DATASET, IngestRun
from tests.source_files import KINDS, Kind, Layout, make_source

COUNTS = np.arange(12).reshape(4, 3)


def _sparse(path: Path, **parts: Any) -> None:
    with h5py.File(path, "a") as file:
        for name, values in parts.items():
            del file["X"][name]
            file["X"][name] = np.asarray(values)


def _no_indices(file: h5py.File) -> None:
    del file["X/indices"]


def _attribute(name: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file["X"].attrs[name] = value

    return change


def _replace(name: str, values: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = np.asarray(values)

    return change


def test_sum_of_split_entries_is_too_large(run: IngestRun) -> None:
    make_source(run.source, COUNTS)
    _sparse(run.source, data=np.array([2**31 - 1, 1], np.int32), indices=[1, 1], indptr=[0, 0, 2, 2, 2])
    assert "add up to 2**31 or more" in run.refusal("counts")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_replace("X/indices", [0, 1, 2, 3, 1, 2, 0, 1, 2, 0, 1]), "X has index 3 at position 3, outside of 0 to 2"),
        (_replace("X/indices", [0, 1, 2, -1, 1, 2, 0, 1, 2, 0, 1]), "X has index -1 at position 3, outside of 0 to 2"),
        (_replace("X/indices", [0.0] * 11), "/X/indices must be a vector of integers, not float64 (11,)"),
        (_replace("X/indices", [0, 1]), "X has 11 values, 2 indices and an indptr that ends at 11"),
        (_replace("X/indptr", [0, 5, 3, 8, 11]), "X has an indptr that descends"),
        (_replace("X/indptr", [1, 2, 5, 8, 11]), "X has an indptr that descends"),
        (_replace("X/indptr", [0, 11]), "X has an indptr of 2 values for 4 rows or columns"),
        (_replace("X/data", [[1, 2]]), "/X/data must be a vector of numbers, not int64 (1, 2)"),
        (_attribute("shape", (4, 4)), "X has 4 features, but var has 3 rows"),
        (_attribute("shape", (3, 3)), "X has 3 cells, but obs has 4 rows"),
        (_attribute("shape", 4), "X is stored as csr_matrix, not as dense, CSR or CSC"),
        (_attribute("encoding-type", "coo_matrix"), "X is stored as coo_matrix, not as dense, CSR or CSC"),
        (_no_indices, "X is stored as csr_matrix, not as dense, CSR or CSC"),
    ],
)
def test_matrix_that_contradicts_itself(run: IngestRun, change: Callable[[h5py.File], None], message: str) -> None:
    make_source(run.source, COUNTS)
    with h5py.File(run.source, "a") as file:
        change(file)
    said = run.refusal("matrix_structure")
    assert said.startswith(message)
    assert said.endswith((".",))


@pytest.mark.parametrize("values", [np.arange(3), np.zeros((2, 2, 2)), np.array([[b"a"]])])
def test_matrix_of_another_kind(run: IngestRun, values: Any) -> None:
    make_source(run.source, COUNTS)
    with h5py.File(run.source, "a") as file:
        _replace("X", values)(file)
    assert run.refusal("matrix_structure").startswith("X must be a matrix of numbers, not ")


def test_not_hdf5(run: IngestRun) -> None:
    run.source.write_bytes(b"PK\x03\x04 a zip")
    message = run.refusal("readable")
    assert message.startswith("the file is not an HDF5 file that can be opened")
    assert message.endswith("write it with anndata's write_h5ad.")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated(run: IngestRun, share: float) -> None:
    make_source(run.source, np.random.default_rng(0).poisson(1, (300, 50)))
    content = run.source.read_bytes()
    run.source.write_bytes(content[: int(len(content) * share)])
    run.refusal("readable")


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_flipped_bit_in_a_chunk(run: IngestRun, kind: Kind, shuffle: bool) -> None:
    counts = np.random.default_rng(0).poisson(1, (200, 40))
    make_source(run.source, counts, Layout(kind, shuffle=shuffle))
    with h5py.File(run.source) as file:
        data = file["X"] if kind == "dense" else file["X/data"]
        chunk = data.id.get_chunk_info(0)
    content = bytearray(run.source.read_bytes())
    for place in np.random.default_rng(1).integers(chunk.byte_offset + 2, chunk.byte_offset + chunk.size, 10).tolist():
        content[place] ^= 16
        run.source.write_bytes(content)
        report = run.create()
        content[place] ^= 16
        assert not report.valid
        assert "is damaged" in report.errors[0], report.errors
        assert "copy the file again" in report.errors[0]
    assert not (run.root / "ingest").exists()


def test_flipped_bit_in_the_place_of_a_chunk(run: IngestRun) -> None:
    make_source(run.source, np.random.default_rng(0).poisson(1, (200, 40)), Layout("csr"))
    with h5py.File(run.source) as file:
        place = file["X/indptr"].id.get_chunk_info(0).byte_offset.to_bytes(8, "little")
    content = run.source.read_bytes()
    assert content.count(place) == 1
    run.source.write_bytes(content.replace(place, (2**64 - 256).to_bytes(8, "little")))
    assert run.refusal("readable").startswith("the list of chunks of /X/indptr is damaged (")


def test_flipped_bit_in_a_column_of_obs(run: IngestRun) -> None:
    obs = pd.DataFrame({"depth": np.random.default_rng(0).random(4000)}, index=[str(n) for n in range(4000)])
    make_source(run.source, np.ones((4000, 2)), obs=obs)
    with h5py.File(run.source, "a") as file:
        del file["obs/depth"]
        stored = file["obs"].create_dataset("depth", data=obs["depth"].to_numpy(), compression="gzip", chunks=(4000,))
        chunk = stored.id.get_chunk_info(0)
    content = bytearray(run.source.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 16
    run.source.write_bytes(content)
    assert run.refusal("readable").startswith("obs['depth'] in rows 0 to 3999 is damaged (")


@pytest.mark.parametrize("name", ["X", "raw"])
def test_null_matrix(run: IngestRun, name: str) -> None:
    make_source(run.source, COUNTS, where="layers/counts")
    with h5py.File(run.source, "a") as file:
        file.create_dataset(name, data=h5py.Empty("f4")).attrs["encoding-type"] = "null"
    assert run.refusal("not_empty").startswith("the file has no raw.X and no X")


def test_file_that_changes_while_it_is_read(run: IngestRun) -> None:
    make_source(run.source, np.ones((100, 10)))

    def touch(done: int, total: int) -> None:
        os.utime(run.source, ns=(1, done + 1))

    report = create_ingest_files(run.observed(), DATASET, DatasetConfig(), run.store, on_progress=touch)
    assert report.errors == ["the file changed while it was read; run again when it is complete."]
    assert not (run.root / "ingest").exists()


def test_file_that_is_gone(run: IngestRun) -> None:
    make_source(run.source, COUNTS)
    observed = run.observed()
    run.source.unlink()
    with pytest.raises(FileNotFoundError):
        create_ingest_files(observed, DATASET, DatasetConfig(), run.store)


def test_link_into_another_file(run: IngestRun) -> None:
    make_source(run.source, COUNTS)
    other = make_source(run.root / "other.h5ad", COUNTS)
    with h5py.File(run.source, "a") as file:
        del file["X"]
        file["X"] = h5py.ExternalLink(str(other), "X")
    message = run.refusal("readable")
    assert re.match(r"X is a link into .*other\.h5ad; write everything into one file", message)


def test_values_outside_of_the_file(run: IngestRun) -> None:
    make_source(run.source, COUNTS)
    with h5py.File(run.source, "a") as file:
        del file["X"]
        outside = [(str(run.root / "values"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("X", (4, 3), "f4", external=outside)
    assert run.refusal("readable").startswith("X keeps its values in other files; ")


def test_link_within_the_file_is_followed(run: IngestRun) -> None:
    make_source(run.source, COUNTS, where="layers/counts")
    with h5py.File(run.source, "a") as file:
        file["X"] = h5py.SoftLink("/layers/counts")
        file["uns/nowhere"] = h5py.SoftLink("/missing")
        file["uns/round"] = h5py.SoftLink("/uns")
    written = run.written(uns_keep=["nowhere", "round"])
    np.testing.assert_array_equal(written.counts, COUNTS)


def test_chunk_larger_than_the_memory_limit(run: IngestRun) -> None:
    make_source(run.source, COUNTS)
    with h5py.File(run.source, "a") as file:
        del file["X"]
        file.create_dataset("X", (4, 3), "i4", chunks=(2**12, 2**12), maxshape=(None, None), compression="gzip")
    message = run.refusal("matrix_structure", limit=2**20)
    assert message.startswith("X has chunks of 4096 x 4096 values, more than the 16777216 bytes")


@pytest.mark.parametrize(("frame", "name"), [("obs", "obs"), ("var", "var")])
def test_frame_that_is_not_there(run: IngestRun, frame: str, name: str) -> None:
    make_source(run.source, COUNTS)
    with h5py.File(run.source, "a") as file:
        del file[frame]
    assert run.create().errors[0] == f"the file has no {name}; write it with anndata."


def test_columns_of_a_frame_that_contradict_it(run: IngestRun) -> None:
    obs = pd.DataFrame({"a": pd.Categorical(list("xyxx")), "b": [1, 2, 3, 4]}, index=list("abcd"))

    def changed(change: Callable[[h5py.File], None]) -> str:
        make_source(run.source, COUNTS, obs=obs)
        with h5py.File(run.source, "a") as file:
            change(file)
        return run.refusal("readable")

    assert changed(_replace("obs/b", [1, 2, 3])) == "obs['b'] has 3 values for 4 rows; write the file again."
    assert changed(_replace("obs/a/codes", [0, 1, 2, 0])) == (
        "obs['a'] has the code 2 for 2 categories; write the file again."
    )
    assert changed(lambda file: file["obs"].__delitem__("b")) == "obs lacks its column 'b'; write the file again."
    assert changed(lambda file: file["obs"].attrs.__delitem__("_index")).startswith("obs has no index; ")
