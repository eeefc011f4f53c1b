"""annbatch (scverse): its block shuffle of all files into a sharded zarr collection. Needs Python 3.12.

It has no warehouse between files and shards, so there is nothing that could be called ingest; the whole is ``extract``.
"""

import sys
from pathlib import Path

from benchmarks.speed.stages import Stages, run_contestant


def main(sources: list[Path], folder: Path) -> dict[str, float]:
    """Shuffle the files into a collection.

    :param sources: The source files.
    :param folder: An empty folder.
    :return: ``cells``, seconds of ``extract``, bytes of shards.
    """
    import anndata
    from annbatch import DatasetCollection

    stages = Stages()
    with stages.measure("extract"):
        DatasetCollection(str(folder / "collection.zarr")).add_adatas([str(source) for source in sources], shuffle=True)
    cells = 0
    for source in sources:
        cells += anndata.read_h5ad(source, backed="r").n_obs
    return {
        "cells": cells,
        **stages.seconds,
        "shard_bytes": sum(path.stat().st_size for path in (folder / "collection.zarr").rglob("*") if path.is_file()),
    }


if __name__ == "__main__":
    run_contestant(main, sys.argv[1:])
