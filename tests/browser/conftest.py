"""A Nexus that runs as ``nexus up`` starts it, and a headless Chromium that looks at it.

Chromium is Debian's own package; ``make test-browser`` says so when it is missing. Screenshots go to ``.screenshots/``.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.running_nexus import nexus_up

SCREENSHOTS = Path(__file__).parents[2] / ".screenshots"
_SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE = 60_000


@dataclass
class Site:
    """The web UI over a root, in a page of a browser."""

    root: Path
    address: str
    page: Page

    def open(self, path: str) -> Page:
        """Go to a page of the UI."""
        self.page.goto(f"{self.address}{path}")
        return self.page

    def shoot(self, name: str) -> None:
        """Keep what is seen now."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.wait_for_timeout(1_500)  # what moves has come to rest
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium")
    assert found, "these tests need Debian's chromium: apt-get install --yes chromium"
    return found


@pytest.fixture(scope="module")
def site(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("browser") / "nexus-data"
    with nexus_up(root, quiet_seconds="1") as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_SWITCHES))
        page = browser.new_page(viewport={"width": 1600, "height": 950})
        page.set_default_timeout(_PATIENCE)
        expect.set_options(timeout=_PATIENCE)
        yield Site(root, address, page)
        browser.close()
