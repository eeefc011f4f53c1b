"""What people do without a warehouse: ``concat_on_disk``, a random order, ``write_h5ad`` with gzip, one process."""

import sys
from pathlib import Path

from benchmarks.speed.stages import Stages, run_contestant

BIN_SIZE = 10_000


def main(sources: list[Path], folder: Path) -> dict[str, float]:
    """Join the files, then write shards of random rows.

    :param sources: The source files.
    :param folder: An empty folder.
    :return: ``cells``, seconds of ``ingest`` and ``extract``, bytes of store and shards.
    """
    import anndata
    import numpy as np
    from anndata.experimental import concat_on_disk

    stages = Stages()
    joined = folder / "joined.h5ad"
    with stages.measure("ingest"):
        concat_on_disk(sources, joined)
    with stages.measure("extract"):
        whole = anndata.read_h5ad(joined, backed="r")
        order = np.random.default_rng(0).permutation(whole.n_obs)
        shard_bytes = 0
        for number, first in enumerate(range(0, whole.n_obs, BIN_SIZE)):
            rows = np.sort(order[first : first + BIN_SIZE])
            shard = whole[rows].to_memory()
            path = folder / f"extract_{number:06d}.h5ad"
            shard[np.random.default_rng(number).permutation(shard.n_obs)].write_h5ad(path, compression="gzip")
            shard_bytes += path.stat().st_size
    return {
        "cells": whole.n_obs,
        **stages.seconds,
        "store_bytes": joined.stat().st_size,
        "shard_bytes": shard_bytes,
    }


if __name__ == "__main__":
    run_contestant(main, sys.argv[1:])
