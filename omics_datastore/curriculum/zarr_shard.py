"""The zarr writer of shards: one zarr v3 group a shard, as annbatch's ``DatasetCollection`` and anndata read it.

The layout of a group is anndata's (on-disk format 0.1.0); the arrays of the matrix are sharded (zarr v3 codec
``sharding_indexed``): a chunk is what a reader of few cells fetches, a zarr shard is one object. Nothing is
consolidated: metadata lies beside what it describes and cannot go stale. A collection is a group whose attributes say
so, with the shards as its members.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl
from numpy.typing import NDArray

from omics_datastore.curriculum.plan_model import ObsColumn
from omics_datastore.curriculum.shard import CountsMatrix, ShardWriter, check_lengths, obs_frame, var_frame

if TYPE_CHECKING:
    import zarr

CHUNK_ITEMS = 1 << 16
"""Items of a chunk of ``data`` and ``indices``: 256 KiB, some tens of cells."""

SHARD_CHUNKS = 256
"""Chunks of one object at most: 64 MiB before compression."""

_COLLECTION_ATTRIBUTES = {"encoding-type": "annbatch-preshuffled", "encoding-version": "0.1.0"}
"""What annbatch 0.3 asks of a collection (annbatch/io.py, ``V1_ENCODING``)."""


def collection_metadata() -> bytes:
    """Return the ``zarr.json`` of a collection (zarr v3 core specification, group metadata).

    :return: JSON.
    """
    content = {"attributes": _COLLECTION_ATTRIBUTES, "zarr_format": 3, "node_type": "group"}
    return json.dumps(content, indent=1).encode() + b"\n"


class ZarrShardWriter(ShardWriter):
    """Write shards as folders, each a zarr v3 group.

    :param features: Columns ``feature_id``, ``feature_name``: one row a column of the matrix.
    :param layout: The obs columns in order.
    :param compression: ``lz4`` or ``zstd`` (Blosc with byte shuffle), or ``none``.
    """

    def __init__(self, features: pl.DataFrame, layout: list[ObsColumn], compression: str) -> None:
        self._features = features
        self._layout = layout
        self._compression = compression

    def write(self, path: Path, counts: CountsMatrix, first_position: int, obs: pl.DataFrame) -> None:
        import zarr
        from anndata.io import write_elem
        from numcodecs import blosc

        check_lengths(counts, obs, self._features)
        # Several threads would put the blocks of a chunk in the order in which they are done.
        blosc.use_threads = False
        root = zarr.open_group(str(path), mode="w-", zarr_format=3)
        root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        group = root.create_group("X")
        shape = [counts.cells, counts.features]
        group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape})
        for name, values in (("data", counts.data), ("indices", counts.indices), ("indptr", counts.int32_indptr())):
            self._write_vector(group, name, values)
        # Columns are small: each is left in chunks of its own, none of which is sharded.
        whole = {"shards": None}
        write_elem(root, "obs", obs_frame(obs, self._layout, first_position), dataset_kwargs=whole)
        write_elem(root, "var", var_frame(self._features), dataset_kwargs=whole)

    def _write_vector(self, group: "zarr.Group", name: str, values: NDArray[Any]) -> None:
        from zarr.codecs import BloscCodec

        codecs = None
        if self._compression != "none":
            codecs = (BloscCodec(cname=cast("Any", self._compression), clevel=3, shuffle="shuffle"),)
        chunk = max(1, min(CHUNK_ITEMS, len(values)))
        chunks = max(1, -(-len(values) // chunk))
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=(chunk,),
            shards=(chunk * min(SHARD_CHUNKS, chunks),),
            compressors=codecs,
        )
        if len(values):
            array[:] = values
