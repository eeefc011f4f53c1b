"""TileDB-SOMA (CZI, TileDB): one experiment for all files, then shuffled shards written with anndata's gzip.

Runs in an environment of its own, with ``tiledbsoma`` and ``anndata``.
"""

import sys
from pathlib import Path

from benchmarks.speed.stages import Stages, run_contestant

BIN_SIZE = 10_000


def main(sources: list[Path], folder: Path) -> dict[str, float]:
    """Register and ingest all files, then read random cells by join id.

    :param sources: The source files.
    :param folder: An empty folder.
    :return: ``cells``, seconds of ``ingest`` and ``extract``, bytes of store and shards.
    """
    import anndata
    import numpy as np
    import tiledbsoma
    import tiledbsoma.io as soma_io

    uri = str(folder / "soma")
    stages = Stages()
    names = [str(source) for source in sources]
    with stages.measure("ingest"):
        registration = soma_io.register_h5ads(
            None, names, measurement_name="RNA", obs_field_name="obs_id", var_field_name="var_id"
        )
        soma_io.from_h5ad(
            uri, names[0], measurement_name="RNA", registration_mapping=registration, ingest_mode="schema_only"
        )
        registration.prepare_experiment(uri)
        for name in names:
            soma_io.from_h5ad(uri, name, measurement_name="RNA", registration_mapping=registration)
    shard_bytes = 0
    with stages.measure("extract"), tiledbsoma.Experiment.open(uri) as experiment:
        ids = experiment.obs.read(column_names=["soma_joinid"]).concat().column(0).to_numpy()
        order = np.random.default_rng(0).permutation(ids)
        for number, first in enumerate(range(0, len(order), BIN_SIZE)):
            chosen = np.sort(order[first : first + BIN_SIZE])
            query = experiment.axis_query("RNA", obs_query=tiledbsoma.AxisQuery(coords=(chosen,)))
            shard = query.to_anndata(X_name="data")
            path = folder / f"extract_{number:06d}.h5ad"
            anndata.AnnData(X=shard.X, obs=shard.obs, var=shard.var).write_h5ad(path, compression="gzip")
            shard_bytes += path.stat().st_size
    return {
        "cells": len(ids),
        **stages.seconds,
        "store_bytes": sum(path.stat().st_size for path in (folder / "soma").rglob("*") if path.is_file()),
        "shard_bytes": shard_bytes,
    }


if __name__ == "__main__":
    run_contestant(main, sys.argv[1:])
