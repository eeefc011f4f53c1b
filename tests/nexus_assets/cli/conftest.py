"""The command line in this process, over a root of the test's own; and one root in which much is done already."""

import contextlib
import io
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nexus_assets.cli.main import main
from tests.conftest import shared_folder
from tests.nexus_assets.world import make_source

CANARY = "canary-7f3a"
"""Part of every secret that the used root was made with; it must be nowhere in it."""
SECRETS = {
    "NEXUS_WEBHOOK": f"http://127.0.0.1:9/services/{CANARY}-webhook",
    "DAGSTER_POSTGRES_PASSWORD": f"{CANARY}-postgres",
    "NEXUS_WEB_ADDRESS": f"https://somebody:{CANARY}-web@nexus.example",
    "NEXUS_SOURCE_URL": f"https://{CANARY}-code@git.example/nexus/blob/main",
}
CITATION = (
    f"Data at https://{CANARY}-user@host.example/a.h5ad?X-Goog-Signature={CANARY}-signature&v=1 <b>*of the lab*</b>"
)
SPECIFICATION = "name: all\nbin_size: 4\nobs_columns: [tissue, donor_id]\nfeatures: union\n"


class Outcome(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    def sentence(self) -> str:
        """Return what was said of an input error: one line, no traceback, exit code 2."""
        assert self.code == 2, self
        assert self.err.startswith("nexus: ")
        assert self.err.count("\n") == 1, self.err
        assert self.err.endswith((".\n", "?\n"))
        assert self.out == ""
        return self.err.removeprefix("nexus: ").rstrip("\n")


def run_command(arguments: Sequence[str]) -> Outcome:
    """Run ``nexus`` with arguments in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
            code = 0
        except SystemExit as done:
            code = int(done.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


class Nexus:
    """Run commands over one root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, *arguments: str | Path) -> Outcome:
        return run_command(["--root", str(self.root), *map(str, arguments)])


@pytest.fixture(autouse=True)
def environment(no_settings: None) -> None:
    """Give every test an environment without settings."""


@pytest.fixture
def nexus(tmp_path: Path) -> Nexus:
    return Nexus(tmp_path / "nexus")


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Outcome]]:
    """Ingest two datasets and build a curriculum; do not write to this root, but to the copy that ``used`` is.

    It is made once for all processes of a test run.
    """
    with shared_folder(tmp_path_factory, "used") as folder:
        said = folder / "outcomes.json"
        if not said.exists():
            said.write_text(json.dumps(_use(folder)))
    return folder / "nexus", {name: Outcome(*outcome) for name, outcome in json.loads(said.read_text()).items()}


def _use(folder: Path) -> dict[str, Outcome]:
    nexus = Nexus(folder / "nexus")
    (folder / "lung").mkdir()
    make_source(6, (1, 2, 3), 1).write_h5ad(folder / "lung/a.h5ad")
    make_source(5, (2, 3, 4, 5), 2).write_h5ad(folder / "lung/b.h5ad")
    heart = make_source(4, (1, 2), 3, tissue="heart")
    heart.uns["citation"] = CITATION
    heart.write_h5ad(folder / "heart.h5ad")
    (folder / "all.yaml").write_text(SPECIFICATION)
    (folder / "genes.csv").write_text("ensembl_id,symbol\nENSG00000000005,E\nENSG00000000001,A\n")
    before = dict(os.environ)
    os.environ.update(SECRETS)
    outcomes = {
        "ingest": nexus("ingest", folder / "lung", folder / "heart.h5ad", "--json"),
        "schema": nexus("schema", "add", "mine", folder / "genes.csv"),
        "build": nexus("curriculum", "build", folder / "all.yaml", "--json"),
    }
    os.environ.clear()
    os.environ.update(before)
    for name, outcome in outcomes.items():
        assert outcome.code == 0, (name, outcome)
    return outcomes


@pytest.fixture
def used(done: tuple[Path, dict[str, Outcome]], tmp_path: Path) -> Nexus:
    """A copy of the used root: what is in it names the paths of the original."""
    root = tmp_path / "nexus"
    shutil.copytree(done[0], root)
    return Nexus(root)


@pytest.fixture
def finished(done: tuple[Path, dict[str, Outcome]]) -> Nexus:
    """The used root itself, for commands that only read."""
    return Nexus(done[0])
