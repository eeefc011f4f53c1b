"""Many processes work on one root at once, and a reader looks all the time: what must hold is checked while it runs.

Loaders ingest and load two versions of each dataset, two loaders a dataset, and retire it now and then; builders plan,
extract and release two specifications, two builders each; purgers purge without any time of grace; schema writers all
add one feature schema with genes of their own. A process may be killed at any moment and is started again. All are
forked from this one. At the end every release is built again by itself, and compared.
"""

import gc
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from omics_datastore.curriculum.extract import extract_groups
from omics_datastore.curriculum.feature_schema import add_feature_schema, load_feature_schema
from omics_datastore.curriculum.plan import plan_curriculum
from omics_datastore.curriculum.release import release_curriculum
from omics_datastore.curriculum.release_model import CurriculumRelease, read_release
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.versions import resolve_version, versions_of
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.create import create_ingest_files
from omics_datastore.ingest.manifest import SourceFile, read_manifest
from omics_datastore.purge import find_leftovers, purge
from omics_datastore.query.cells import count_by
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.folder import FolderWarehouse
from omics_datastore.warehouse.warehouse import Warehouse
from tests.contracts.warehouse_contract import EVERY_CELL
from tests.omics_datastore.curriculum.curriculum_world import SMALL_GROUPS, gene, make_source, specification

CELLS = {1: 23, 2: 29}
"""Cells of the versions of each source file."""
SPECIFICATIONS = (
    specification(name="stored", bin_size=25),
    specification(name="exact", bin_size=17, order="exact", group_by=["donor_id"]),
)


@dataclass(frozen=True)
class Plan:
    """How many processes of each kind do how much, and how many of them are killed."""

    loaders: int = 8
    builders: int = 4
    purgers: int = 2
    rounds: int = 10
    kills: int = 0
    seed: int = 0


@dataclass
class Outcome:
    """What was done, what was told to people, and what must not be."""

    done: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        """Add what another process says."""
        self.done.update(other.done)
        self.told.update(other.told)
        self.wrong.extend(other.wrong)


Work = Callable[[FolderStore, Outcome, random.Random], None]


def run(root: Path, plan: Plan) -> Outcome:
    """Run a campaign in an empty folder.

    :param root: The folder.
    :param plan: How much.
    :return: What came of it; ``wrong`` is empty when all held.
    """
    sources, nexus, notes = root / "sources", root / "nexus", root / "notes"
    notes.mkdir()
    # In a child too: libraries start threads when they are used, and no thread survives a fork.
    os.waitpid(_fork("first", partial(_begin, sources, max(1, plan.loaders // 2)), nexus, notes, plan.seed), 0)
    work: dict[str, Work] = {}
    for number in range(plan.loaders):
        work[f"loader-{number}"] = partial(_load, sources, f"d{number // 2}", plan.rounds)
        work[f"schema-{number}"] = partial(_add_schema, number)
    for number in range(plan.builders):
        work[f"builder-{number}"] = partial(_build, SPECIFICATIONS[number % 2], plan.rounds)
    for number in range(plan.purgers):
        work[f"purger-{number}"] = partial(_purge, plan.rounds)
    outcome = Outcome()
    gc.freeze()  # children copy fewer pages
    _run_all(nexus, notes, work, plan, outcome)
    _check_end(nexus, root / "again", sources, outcome)
    return outcome


def _run_all(nexus: Path, notes: Path, work: dict[str, Work], plan: Plan, outcome: Outcome) -> None:
    chance = random.Random(plan.seed)
    running = {_fork(name, each, nexus, notes, plan.seed): name for name, each in work.items()}
    reader = _fork("reader", _read, nexus, notes, plan.seed)
    kills = plan.kills
    while running:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if not ended:
            time.sleep(0.05)
            if kills and chance.random() < 0.03:
                os.kill(chance.choice(sorted(running)), signal.SIGKILL)
                kills -= 1
            continue
        if ended == reader:
            outcome.wrong.append("the reader ended early")
            reader = 0
            continue
        name = running.pop(ended)
        if os.waitstatus_to_exitcode(status) == -signal.SIGKILL:
            outcome.done["killed and started again"] += 1
            running[_fork(name, work[name], nexus, notes, plan.seed + kills + 1)] = name
    if reader:
        (nexus / "ended").write_bytes(b"")
        os.waitpid(reader, 0)
    for note in sorted(notes.glob("*.json")):
        said = json.loads(note.read_text())
        outcome.add(Outcome(Counter(said["done"]), Counter(said["told"]), said["wrong"]))


def _fork(name: str, work: Work, nexus: Path, notes: Path, seed: int) -> int:
    child = os.fork()
    if child:
        return child
    outcome = Outcome()
    try:
        work(FolderStore(nexus), outcome, random.Random(f"{name} {seed}"))
    except BaseException:  # noqa: BLE001
        outcome.wrong.append(f"{name}: {traceback.format_exc()}")
    finally:
        note = notes / f"{name}-{os.getpid()}.json"
        note.write_text(json.dumps({"done": outcome.done, "told": outcome.told, "wrong": outcome.wrong}))
        os._exit(0)


def _open(store: FolderStore) -> Warehouse:
    return FolderWarehouse(store, threads=1)


def _begin(sources: Path, datasets: int, store: FolderStore, outcome: Outcome, chance: random.Random) -> None:
    """Make the source files, and load one before anybody plans."""
    sources.mkdir(parents=True)
    for number in range(datasets):
        for version, cells in CELLS.items():
            source = make_source(gene(*range(1 + number, 7 + number)), cells, 10 * number + version)
            source.write_h5ad(sources / f"d{number}-{version}.h5ad")
    _load(sources, "d0", 1, store, outcome, chance)


def _source(sources: Path, store: FolderStore, dataset: str, version: int) -> SourceFile:
    """Drop a version of a dataset's one source file; both go by one address, so that they replace one another."""
    key = f"inbox/{dataset}/{version}.h5ad"
    if store.stat(key) is None:
        store.send(sources / f"{dataset}-{version}.h5ad", key)
    size = store.path(key).stat().st_size
    return SourceFile(key=key, uri=f"inbox://{dataset}.h5ad", size=size, generation="1")


def _load(
    sources: Path, dataset: str, rounds: int, store: FolderStore, outcome: Outcome, chance: random.Random
) -> None:
    config = DatasetConfig()
    for number in range(rounds):
        if number and chance.random() < 0.15:
            retired = _open(store).retire([dataset], datetime.now(UTC))
            outcome.done["retired" if retired else "nothing to retire"] += 1
        source = _source(sources, store, dataset, chance.choice([1, 2]))
        while True:
            report = create_ingest_files(source, dataset, config, store, layout=SMALL_GROUPS)
            assert report.ingest_id is not None, report.errors
            try:
                manifest = read_manifest(store, dataset, report.ingest_id)
                loaded = _open(store).load([manifest], datetime.now(UTC))
            except FileNotFoundError:  # purged since it was made: there is no time of grace here
                outcome.told["ingest files purged before their load"] += 1
                continue
            except CorruptionError as error:
                assert "is gone; run the ingest again" in str(error)  # noqa: PT017
                outcome.told["ingest files purged before their load"] += 1
                continue
            break
        outcome.done["loaded" if loaded.committed else "was loaded"] += 1


def _add_schema(number: int, store: FolderStore, outcome: Outcome, chance: random.Random) -> None:
    content = "ensembl_id\n" + "".join(f"{each}\n" for each in gene(number + 1, number + 2))
    try:
        add_feature_schema(store, "genes", content.encode())
        outcome.done["schema added"] += 1
        assert load_feature_schema(store, "genes").features["feature_id"].to_list() == gene(number + 1, number + 2)
    except InputError:
        outcome.told["another schema of that name"] += 1


def _build(
    asked: CurriculumSpecification, rounds: int, store: FolderStore, outcome: Outcome, chance: random.Random
) -> None:
    for _ in range(rounds):
        warehouse = _open(store)
        try:
            resolved = resolve_version(asked, warehouse, store)
            version = resolved.version
            if resolved.state == "complete":
                outcome.done["curriculum was complete"] += 1
                continue
            plan = plan_curriculum(asked, version, warehouse, store, bins_per_group=2)
        except InputError as error:
            assert "retired" in str(error) or "no dataset yet" in str(error)  # noqa: PT017
            outcome.told["nothing to plan"] += 1
            continue
        groups = [group.group for group in plan.groups]
        extract_groups(plan, groups, warehouse, store)
        release_curriculum(plan.name, version, store)
        outcome.done["released"] += 1


def _purge(rounds: int, store: FolderStore, outcome: Outcome, chance: random.Random) -> None:
    for _ in range(2 * rounds):
        warehouse, later = _open(store), time.time() + 7200
        found = find_leftovers(store, warehouse, now=later)
        time.sleep(chance.random() * 0.05)
        gone = purge(found, store, warehouse, now=later)
        outcome.done.update(Counter(item.reason for item in gone))
        time.sleep(chance.random() * 0.3)


def _read(store: FolderStore, outcome: Outcome, chance: random.Random) -> None:
    warehouse = _open(store)
    while not (Path(store.root) / "ended").exists():
        before = {row["ingest_id"]: row for row in warehouse.ingests().to_dicts()}
        totals = warehouse.count_totals(sorted(before)).to_dicts()
        after = {row["ingest_id"]: row for row in warehouse.ingests().to_dicts()}
        for total in totals:
            row = before[total["ingest_id"]]
            if after.get(total["ingest_id"], {}).get("committed_at") != row["committed_at"]:
                continue  # purged meanwhile, or loaded again since
            found = [total[name] for name in ("raw_counts_rows", "cell_info_rows", "distinct_cells")]
            if found != [row["cell_count"]] * 3 or total["nnz"] != row["nnz"] or total["orphan_cells"]:
                outcome.wrong.append(f"half visible: {total} of {row}")
            if total["feature_info_rows"] != row["feature_count"]:
                outcome.wrong.append(f"half visible: {total} of {row}")
        for ingest_id, cells in warehouse.query(count_by(EVERY_CELL, ["ingest_id"])).rows():
            if cells not in CELLS.values():
                outcome.wrong.append(f"a query saw {cells} cells of {ingest_id}")
        current = warehouse.ingests().filter("is_current")
        if not current["dataset"].is_unique().all():
            outcome.wrong.append(f"two versions are current: {current['ingest_id'].to_list()}")
        outcome.done["looks of the reader"] += 1
        time.sleep(0.02)


def _check_end(nexus: Path, again: Path, sources: Path, outcome: Outcome) -> None:
    store = FolderStore(nexus)
    warehouse = _open(store)
    later = time.time() + 7200
    purge(find_leftovers(store, warehouse, now=later), store, warehouse, now=later)
    shown = set(warehouse.ingests()["ingest_id"])
    held = {item.ingest_id for item in warehouse.held_ingests()}
    if shown != held:
        outcome.wrong.append(f"orphans that a purge does not find: {sorted(shown ^ held)}")
    scratch = [path for path in nexus.glob(".scratch/*/*") if path.is_file()]
    FolderStore(nexus).scratch_path("sweeps what the killed left")
    scratch = [path for path in scratch if path.exists()]
    if scratch:
        outcome.wrong.append(f"scratch files are left: {scratch}")
    undisturbed: dict[str, dict[str, str]] = {}
    for asked in SPECIFICATIONS:
        for version in versions_of(store, asked.name):
            release = _release_or_none(store, asked.name, version)
            if release is None:
                outcome.done["versions claimed and left"] += 1
                continue
            pinned = sorted(ingest.ingest_id for ingest in release.ingests)
            mark = hashlib.sha256(json.dumps([asked.name, pinned]).encode()).hexdigest()[:12]
            if mark not in undisturbed:
                undisturbed[mark] = _undisturbed(again / mark, asked, release, sources, store)
            found = {shard.file: shard.sha256 for shard in release.shards}
            if found != undisturbed[mark]:
                outcome.wrong.append(f"{asked.name}.v{version} differs from an undisturbed build of {pinned}")
            if missing := set(pinned) - shown:
                outcome.wrong.append(f"{asked.name}.v{version} pins {sorted(missing)}, which are gone")
            outcome.done["releases compared"] += 1


def _release_or_none(store: FolderStore, name: str, version: int) -> CurriculumRelease | None:
    try:
        return read_release(store, name, version)
    except FileNotFoundError:
        return None


def _undisturbed(
    root: Path, asked: CurriculumSpecification, release: CurriculumRelease, sources: Path, store: FolderStore
) -> dict[str, str]:
    """Ingest what a release pins into a root of its own, and build there."""
    alone = FolderStore(root)
    warehouse = _open(alone)
    for ingest in release.ingests:
        for version in CELLS:
            content = sources / f"{ingest.dataset}-{version}.h5ad"
            if hashlib.sha256(content.read_bytes()).hexdigest() != ingest.source_sha256:
                continue
            source = _source(sources, alone, ingest.dataset, version)
            report = create_ingest_files(source, ingest.dataset, DatasetConfig(), alone, layout=SMALL_GROUPS)
            assert report.ingest_id == ingest.ingest_id
            warehouse.load([read_manifest(alone, ingest.dataset, ingest.ingest_id)], datetime.now(UTC))
    plan = plan_curriculum(asked, 1, warehouse, alone, bins_per_group=2)
    extract_groups(plan, [group.group for group in plan.groups], warehouse, alone)
    made = {shard.file: shard.sha256 for shard in release_curriculum(asked.name, 1, alone).shards}
    shutil.rmtree(root)
    return made


def main(arguments: list[str]) -> int:
    """Run a campaign in a folder and print what came of it as JSON; the second argument is a :class:`Plan` as JSON."""
    options: dict[str, Any] = json.loads(arguments[1])
    outcome = run(Path(arguments[0]), Plan(**options))
    print(json.dumps({"done": outcome.done, "told": outcome.told, "wrong": outcome.wrong}, indent=1))  # noqa: T201
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
