"""Many small datasets through the whole graph on one machine: dropped at once, green, and in one curriculum.

``python -m benchmarks.many_datasets --datasets 1000`` starts ``nexus up`` over a new root, on SQLite or with
``--postgres`` on a PostgreSQL of its own, drops the files, waits until every asset of every dataset is there, drops a
specification over all of them, and says what it took. It fails when a run did.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from nexus_assets.batches import RANGE_START
from nexus_assets.cli.session import INSTANCE_YAML
from omics_datastore.schema.tables import TABLES
from tests.deploy.postgres_server import DATABASE, USER, Postgres, running_postgres
from tests.running_nexus import nexus_up
from tests.source_files import make_source

CELLS, GENES = 20, 60
BIN_SIZE = 5_000
_STORAGE = """\
storage:
  postgres:
    postgres_url: postgresql+psycopg2://{user}:{password}@127.0.0.1:{port}/{database}
"""
_SPECIFICATION = f"name: all\nfeatures: union\nobs_columns: [dataset]\nbin_size: {BIN_SIZE}\n"
_PATIENCE = 4 * 3600.0


def main() -> None:
    """Run it once and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=1_000, help="datasets of one file each")
    parser.add_argument("--postgres", action="store_true", help="keep Dagster's storage in a PostgreSQL")
    parser.add_argument(
        "--root", type=Path, help="where everything goes, kept afterwards; a temporary folder if not given"
    )
    given = parser.parse_args()
    with (
        nullcontext(given.root) if given.root else tempfile.TemporaryDirectory(prefix="nexus-many-") as folder,
        running_postgres() if given.postgres else nullcontext() as postgres,
    ):
        figures = measure(Path(folder), given.datasets, postgres)
    figures = {"datasets": given.datasets, "storage": "PostgreSQL" if given.postgres else "SQLite", **figures}
    sys.stdout.write(f"{json.dumps(figures, indent=2)}\n")


def measure(root: Path, datasets: int, postgres: Postgres | None) -> dict[str, Any]:
    """Take datasets the whole way.

    :param root: A new root.
    :param datasets: How many.
    :param postgres: Where Dagster keeps its storage; SQLite when not given.
    :return: The figures.
    """
    home = root / "dagster"
    home.mkdir(parents=True)
    storage = ""
    if postgres is not None:
        storage = _STORAGE.format(user=USER, password=postgres.password, port=postgres.port, database=DATABASE)
    (home / "dagster.yaml").write_text(INSTANCE_YAML + storage)
    make_files(root / "made", datasets)
    with nexus_up(root, quiet_seconds="2"), dg.DagsterInstance.from_config(str(home)) as instance:
        started = time.monotonic()
        (root / "made").rename(root / "new")
        for file in (root / "new").iterdir():
            file.rename(root / "inbox" / file.name)
        dropped = time.monotonic()
        _wait(lambda: _ingested(instance) == datasets and _is_idle(instance), "the datasets are not in the warehouse")
        ingested = time.monotonic()
        (root / "curricula/all.yaml").write_text(_SPECIFICATION)
        _wait((root / "extracts/all/v1/release.json").exists, "the curriculum is not released")
        _wait(lambda: _is_idle(instance), "a run does not end")
        released = time.monotonic()
        runs = instance.get_runs()
        _check([run.run_id for run in runs if not run.is_success] == [], "a run failed")
        assets = [["ingest", "validation_report"], ["ingest", "ingest_files"], *(["warehouse", t.name] for t in TABLES)]
        green = {"/".join(key): len(instance.get_materialized_partitions(dg.AssetKey(key))) for key in assets}
        _check(set(green.values()) == {datasets}, f"not every asset of every dataset is there: {green}")
    cells = json.loads((root / "extracts/all/v1/release.json").read_text())["total_cells"]
    _check(cells == datasets * CELLS, f"the curriculum has {cells} cells")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cells": cells,
        "runs": len(runs),
        "runs_of_many_datasets": sum(RANGE_START in run.tags for run in runs),
        "seconds_to_drop": round(dropped - started, 1),
        "seconds_to_ingest": round(ingested - dropped, 1),
        "milliseconds_a_dataset": round(1000 * (ingested - dropped) / datasets),
        "seconds_to_curriculum": round(released - ingested, 1),
        "cpu_seconds_of_everything": round(used.ru_utime + used.ru_stime),
        "megabytes_of_storage": round(_stored(home, postgres) / 1e6, 1),
    }


def make_files(folder: Path, datasets: int) -> None:
    """Write a small source file for each dataset.

    :param folder: A new folder.
    :param datasets: How many.
    """
    random = np.random.default_rng(0)
    for number in range(datasets):
        make_source(folder / f"dataset-{number:05d}.h5ad", random.integers(0, 5, (CELLS, GENES)))


def _ingested(instance: dg.DagsterInstance) -> int:
    return len(instance.get_materialized_partitions(dg.AssetKey(["warehouse", "ingest_info"])))


def _is_idle(instance: dg.DagsterInstance) -> bool:
    return all(run.is_finished for run in instance.get_runs())


def _check(holds: bool, otherwise: str) -> None:  # noqa: FBT001
    if not holds:
        raise RuntimeError(otherwise)


def _wait(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not true():
        _check(time.monotonic() < deadline, what)
        time.sleep(1)


def _stored(home: Path, postgres: Postgres | None) -> int:
    if postgres is None:
        return sum(path.stat().st_size for path in home.rglob("*.db*"))
    import psycopg2

    connection = psycopg2.connect(
        host="127.0.0.1", port=postgres.port, user=USER, password=postgres.password, dbname=DATABASE
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


if __name__ == "__main__":
    main()
