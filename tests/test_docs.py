"""The documentation is a promise: the page of the tables is current, and what the README shows runs as written."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from omics_datastore.schema.markdown import tables_markdown

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    scripts = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
    environment["PATH"] = f"{scripts}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_page_of_the_tables_is_current() -> None:
    assert (ROOT / "docs" / "tables.md").read_text() == tables_markdown(), "run make docs"


@pytest.mark.timeout(400)
def test_the_readme_runs_as_written(laptop_demo: Path, tmp_path: Path) -> None:
    demo = (laptop_demo / "said.txt").read_text()
    assert "400 cells" in demo
    shutil.copytree(laptop_demo / "nexus-data", tmp_path / "nexus-data")
    printed = [run(["bash", "-euo", "pipefail", "-c", block], tmp_path) for block in blocks("sh")]
    assert "my-cells" in printed[0]
    assert "first-curriculum.v1" in printed[1]
    (shown,) = blocks("python")
    assert "AnnData object with n_obs" in run([sys.executable, "-W", "ignore", "-c", shown], tmp_path)
    snippet = demo.split("Load it:")[1].split("Look around")[0]
    run([sys.executable, "-W", "ignore", "-c", snippet], tmp_path)


def test_the_sidecar_of_the_readme_is_valid() -> None:
    from omics_datastore.ingest.configuration import DatasetConfig
    from omics_datastore.storage.documents import parse_yaml

    (sidecar,) = blocks("yaml")
    assert parse_yaml(DatasetConfig, sidecar, "README.md").tag == "pilot"


def test_links_between_pages_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "deploy/README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
