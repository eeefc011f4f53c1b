"""What people do to one root while ``nexus up`` serves it: drops, curricula, retirements, purges, and kills."""

import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import dagster as dg
import psutil

from nexus_assets.cli.runs import load_job, run_job
from nexus_assets.cli.session import open_session
from nexus_assets.run_lookup import unfinished_runs
from omics_datastore.curriculum.versions import versions_of
from omics_datastore.storage.file_digest import file_sha256
from omics_datastore.storage.folder import FolderStore
from tests.nexus_assets.cli.conftest import run_command
from tests.nexus_assets.world import make_source

DATASETS = ("blood", "heart", "lung", "skin")
CURRICULA = ("every-cell", "shuffled")
GRACE_HOURS = 0.02
_ACTIONS = {"drop": 40, "curriculum": 22, "kill a task": 8, "kill a run": 6, "retire": 6, "purge": 10, "retention": 8}
_MOST_RUNS = 3
"""Runs that may be unfinished when more is asked for."""
_KEPT_VERSIONS = 2


class Load:
    """Load a root; what was done is counted.

    :param root: The root, served by ``nexus up``.
    :param seed: Decides what happens when.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._chance = random.Random(seed)
        self._number = 0
        self.done: Counter[str] = Counter()
        self.dropped: dict[str, str] = {}
        """SHA-256 of the latest source file of each dataset; of retired ones there is none."""

    def act(self, instance: dg.DagsterInstance) -> None:
        """Do one thing, unless enough is being done."""
        if len(unfinished_runs(instance)) >= _MOST_RUNS:
            (action,) = self._chance.choices(("nothing", "kill a task", "kill a run"), (94, 3, 3))
        else:
            (action,) = self._chance.choices(list(_ACTIONS), list(_ACTIONS.values()))
        if action == "drop":
            self.drop(self._chance.choice(DATASETS))
        elif action == "curriculum":
            self._curriculum()
        elif action == "retire":
            self._retire(instance)
        elif action == "purge":
            self._command("purge", "--yes", "--grace-hours", str(GRACE_HOURS))
            self.done["purges"] += 1
        elif action == "retention":
            self.forget()
        elif action != "nothing":
            self._kill("executor_main" if action == "kill a task" else "spawn_main", action)

    def drop(self, dataset: str) -> None:
        """Drop a source file of new content."""
        self._number += 1
        path = self._root / f"{dataset}.h5ad"
        make_source(60, range(self._number % 7, self._number % 7 + 80), self._number).write_h5ad(path)
        self.dropped[dataset] = file_sha256(path)
        target = self._root / f"inbox/{dataset}.h5ad"
        self.done["replaces" if target.exists() else "drops"] += 1
        path.replace(target)

    def forget(self) -> None:
        """Run the job that keeps the history bounded."""
        os.environ["NEXUS_ROOT"] = str(self._root)
        session = open_session(writes=True)
        run_job(session, load_job(session, "retention"), None, {})
        self.done["retentions"] += 1

    def _curriculum(self) -> None:
        self._number += 1
        name = self._chance.choice(CURRICULA)
        order = "exact" if name == "shuffled" else "store"
        text = f"name: {name}\nbin_size: 50\nobs_columns: [tissue, donor_id]\norder: {order}\nseed: {self._number}\n"
        (self._root / f"{name}.yaml").write_text(text)
        (self._root / f"{name}.yaml").replace(self._root / f"curricula/{name}.yaml")
        self.done["curricula"] += 1
        for version in versions_of(FolderStore(self._root), name)[:-_KEPT_VERSIONS]:
            shutil.rmtree(self._root / f"extracts/{name}/v{version}", ignore_errors=True)

    def _retire(self, instance: dg.DagsterInstance) -> None:
        dataset = self._chance.choice(DATASETS)
        busy = {run.tags.get("dagster/partition") for run in unfinished_runs(instance)}
        if dataset in self.dropped and dataset not in busy and len(self.dropped) > 2:
            self._command("datasets", "retire", dataset, "--yes")
            del self.dropped[dataset]
            self.done["retirements"] += 1

    def _kill(self, what: str, action: str) -> None:
        """Kill a process of a run, if there is one at work."""
        found = [process for process in processes_of(self._root) if what in " ".join(command_of(process))]
        if found:
            time.sleep(self._chance.uniform(0, 2))
            try:
                self._chance.choice(found).send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                return
            self.done[f"{action}: killed"] += 1

    def _command(self, *arguments: str) -> None:
        outcome = run_command(["--root", str(self._root), *arguments])
        if outcome.code:
            self.done[f"refused: {arguments[0]}"] += 1
            self.done[outcome.err.strip()[:200]] += 1


def processes_of(root: Path) -> list[psutil.Process]:
    """Find the processes that serve or work for a root, by its path in their command or in NEXUS_ROOT.

    :param root: The root.
    :return: The processes, but for this one.
    """
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == psutil.Process().pid or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if str(root) in " ".join(process.cmdline()) or process.environ().get("NEXUS_ROOT") == str(root):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def command_of(process: psutil.Process) -> list[str]:
    """Return the command of a process; of one that is gone, nothing."""
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []
