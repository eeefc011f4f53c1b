"""What must hold when all is quiet again: the warehouse is what was dropped last, and nothing is left of the dead."""

import time
from pathlib import Path

import dagster as dg

from nexus_assets.run_lookup import unfinished_runs
from omics_datastore.curriculum.verify import verify_curriculum
from omics_datastore.curriculum.versions import list_curricula
from omics_datastore.purge import find_leftovers, purge
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.lock import WAREHOUSE
from omics_datastore.storage.scratch import SCRATCH
from omics_datastore.warehouse.folder import FolderWarehouse
from tests.crash.places import left_aside
from tests.soak.load import Load

_ROUNDS = 4
_SECONDS = 400.0


def settle(root: Path, instance: dg.DagsterInstance, load: Load) -> list[str]:
    """Wait until nothing is done any more, and drop again what a kill kept from getting in.

    :param root: The root.
    :param instance: Its Dagster instance.
    :param load: What was dropped.
    :return: One sentence for each thing that is wrong.
    """
    for _ in range(_ROUNDS):
        if not _wait(instance):
            return ["runs do not end"]
        missing = _missing(root, load)
        if not missing:
            break
        for dataset in missing:
            load.drop(dataset)
        time.sleep(15)  # the sensor takes them
    problems = [f"{dataset} is not in the warehouse as it was dropped last" for dataset in _missing(root, load)]
    return problems + _broken(root) + _left(root)


def _wait(instance: dg.DagsterInstance) -> bool:
    deadline, quiet = time.monotonic() + _SECONDS, 0
    while time.monotonic() < deadline:
        quiet = 0 if unfinished_runs(instance) else quiet + 1
        if quiet > 8:
            return True
        time.sleep(2)
    return False


def _missing(root: Path, load: Load) -> list[str]:
    ingests = FolderWarehouse(FolderStore(root)).ingests()
    current = ingests.filter("is_current")
    there = set(current.select("dataset", "source_sha256").rows())
    wrong = [dataset for dataset, sha256 in load.dropped.items() if (dataset, sha256) not in there]
    return sorted(wrong)


def _broken(root: Path) -> list[str]:
    store = FolderStore(root)
    warehouse = FolderWarehouse(store)
    ingests = warehouse.ingests()
    expected = {row["ingest_id"]: (row["cell_count"], row["nnz"]) for row in ingests.to_dicts()}
    problems = [
        f"{row['ingest_id']} is visible and not whole"
        for row in warehouse.count_totals(list(expected)).to_dicts()
        if (row["cell_info_rows"], row["nnz"]) != expected[row["ingest_id"]] or row["orphan_cells"]
    ]
    for item in list_curricula(store):
        if item.state == "released":
            found = verify_curriculum(item.name, item.version, store).problems
            problems += [f"{item.name}.v{item.version}: {problem}" for problem in found]
    return problems


def _left(root: Path) -> list[str]:
    store = FolderStore(root)
    warehouse = FolderWarehouse(store)
    later = time.time() + 30 * 86_400
    purge(find_leftovers(store, warehouse, now=later), store, warehouse, now=later)
    problems = [f"a purge leaves {item.name}" for item in find_leftovers(store, warehouse, now=later)]
    store.scratch_path("sweep")
    # The lock that every load and purge takes; the next sweep takes its file away where nobody holds it.
    own = {f"{SCRATCH}/{WAREHOUSE}.lock", f"{SCRATCH}/{WAREHOUSE}.gate.lock"}
    return problems + [f"{name} is left" for name in left_aside(root).keys() - own]
