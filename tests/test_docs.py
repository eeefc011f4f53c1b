"""The documentation is a promise: generated pages are current, the site builds, and what pages show runs as written."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nexus_assets.reference.pages import reference_pages
from omics_datastore.schema.markdown import tables_markdown
from tests.shown_commands import blocks, run_block

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SAID = {
    "README.md": ["my-cells", "first-curriculum.v1", "AnnData object with n_obs"],
    "docs/tutorial.md": ["first-dataset", "blood.v1", "AnnData object with n_obs", "epoch 4: loss"],
    "docs/how-to/add-data.md": ["lung", "retired"],
    "docs/how-to/mend-a-refused-file.md": ["var_mapping", "symbols is in the warehouse"],
    "docs/how-to/build-a-curriculum.md": ["natural killer cell", "panel", "t-cells.v1", "Made by nexus demo."],
    "docs/how-to/operate.md": [],
}
"""The pages whose blocks are run, in the root that the demo leaves, and some of what they print."""


def test_the_pages_that_programs_write_are_current() -> None:
    pages = {f"reference/{name}": text for name, text in reference_pages().items()}
    for name, text in {**pages, "tables.md": tables_markdown()}.items():
        assert (ROOT / "docs" / name).read_text() == text, f"docs/{name}: run make docs"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    done = subprocess.run(
        [*program, ROOT / "docs", tmp_path / "site", "-d", tmp_path / "trees"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tutorial = (tmp_path / "site/tutorial.html").read_text()
    assert 'href="how-to/add-data.html"' in tutorial
    assert not re.search(r'(src|href)="https?://(?!127\.0\.0\.1)[^"]*\.(js|css|woff2?)"', tutorial)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", SAID)
@pytest.mark.usefixtures("no_settings")
def test_what_a_page_shows_runs_as_written(
    page: str, laptop_demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(laptop_demo / "nexus-data", tmp_path / "nexus-data")
    monkeypatch.chdir(tmp_path)
    shown = blocks(ROOT / page)
    assert shown
    printed = "\n".join(run_block(language, text) for language, text in shown)
    for words in SAID[page]:
        assert words in printed, printed


def test_what_the_demo_prints_loads_a_shard(laptop_demo: Path) -> None:
    demo = (laptop_demo / "said.txt").read_text()
    assert "400 cells" in demo
    run_block("python", demo.split("Load it:")[1].split("Look around")[0] + "\nassert shard.n_obs == 400")


def test_the_sidecar_of_the_readme_is_valid() -> None:
    from omics_datastore.ingest.configuration import DatasetConfig
    from omics_datastore.storage.documents import parse_yaml

    (sidecar,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    assert parse_yaml(DatasetConfig, sidecar, "README.md").tag == "pilot"


def test_links_between_pages_lead_somewhere() -> None:
    for page in (README, ROOT / "deploy/README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
