"""The real ``nexus ingest`` and ``nexus curriculum build``, each of several processes, killed at random moments.

Only the command is killed; what it started must notice. Then the command is given again.
"""

import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
from dagster import DagsterInstance, DagsterRunStatus

from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.folder import FolderWarehouse
from tests.crash.harness import Kill
from tests.crash.places import left_aside
from tests.nexus_assets.cli.processes import processes_of, start, wait_until
from tests.nexus_assets.world import make_source, tree

SPECIFICATION = "name: all\nbin_size: 10\nobs_columns: [tissue, donor_id]\nfeatures: union\n"
SETTINGS = {"bins_per_group": "1", "workers": "1"}
Command = tuple[str | Path, ...]


def write_inputs(folder: Path) -> tuple[Command, Command]:
    """Write source files and a specification.

    :param folder: Where to.
    :return: The command that ingests, and the one that builds.
    """
    sources = folder / "lung"
    sources.mkdir()
    for number, name in enumerate("abc"):
        make_source(40, range(number, number + 60), number).write_h5ad(sources / f"{name}.h5ad")
    specification = folder / "all.yaml"
    specification.write_text(SPECIFICATION)
    return ("ingest", sources), ("curriculum", "build", specification)


def kill_when(root: Path, command: Command, moment: Callable[[], object], pause: float) -> bool:
    """Start a command and kill it, and it alone, soon after a moment has come.

    :param root: The root.
    :param command: What follows ``nexus``.
    :param moment: Whether it has come.
    :param pause: Seconds to wait then.
    :return: Whether the command was still alive.
    """
    process = start(root, *command, **SETTINGS)
    while process.poll() is None and not moment():
        time.sleep(0.002)
    time.sleep(pause)
    process.kill()
    process.communicate()
    wait_until(lambda: not processes_of(root), 20, f"a process outlived nexus {command[0]}")
    return process.returncode == -signal.SIGKILL


def command_differences(root: Path, undisturbed: Path) -> list[str]:
    """Say what is not as if no command had been killed.

    :param root: The root in which some were.
    :param undisturbed: A copy of it in which none was.
    :return: One sentence each.
    """
    folders = ["ingest", "inbox", "extracts", "reports", "curricula"]
    folders += [f"warehouse/{table}" for table in ("cell_info", "feature_info", "raw_counts")]
    problems = [f"{folder} differs" for folder in folders if tree(root / folder) != tree(undisturbed / folder)]
    rows, expected = (
        FolderWarehouse(FolderStore(where)).ingests().with_columns(pl.lit(0).alias("committed_at")).sort("ingest_id")
        for where in (root, undisturbed)
    )
    problems += [] if rows.equals(expected) else ["ingest_info differs"]
    problems += [f"{name} is of a process that is gone" for name in left_aside(root)]
    with DagsterInstance.from_config(str(root / "dagster")) as instance:
        states = {run.status for run in instance.get_runs()} - {DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE}
    return problems + [f"a run is {state.value}" for state in sorted(states, key=str)]


def kill_commands(folder: Path, moments: int) -> Iterator[Kill]:
    """Kill each command at random moments, and give it again.

    :param folder: An empty folder.
    :param moments: How many of each command.
    :return: The kills, as they are made.
    """
    chance = random.Random(7)
    root = folder / "nexus"
    root.mkdir()
    for command in write_inputs(folder):
        before, after = folder / f"before {command[0]}", folder / f"after {command[0]}"
        shutil.copytree(root, before)
        started = time.monotonic()
        _finish(root, command)
        seconds = time.monotonic() - started
        shutil.copytree(root, after)
        for _ in range(moments):
            shutil.rmtree(root)
            shutil.copytree(before, root)
            pause = chance.uniform(0, seconds)
            kill_when(root, command, lambda: True, pause)
            _finish(root, command)
            yield Kill("folder", f"nexus {command[0]}", f"{pause:.1f} s", "again", command_differences(root, after))


def _finish(root: Path, command: Command) -> None:
    process = start(root, *command, **SETTINGS)
    _, said = process.communicate(timeout=300)
    if process.returncode:
        raise RuntimeError(f"nexus {command[0]} ended with {process.returncode}: {said}")
