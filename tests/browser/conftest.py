"""A Nexus that runs as ``nexus up`` starts it, and a headless Chromium that looks at it.

Chromium is Debian's own package; ``make test-browser`` says so when it is missing. Screenshots go to ``.screenshots/``.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

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
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("NEXUS_", "DAGSTER_"))}
    settings |= {"NEXUS_ROOT": str(root), "NEXUS_QUIET_SECONDS": "1"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("nexus")), "up", "--port", str(port)]
    with subprocess.Popen(command, env=settings, stderr=subprocess.PIPE, text=True) as up:
        try:
            assert up.stderr is not None
            assert f"http://127.0.0.1:{port}" in up.stderr.readline()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=list(_SWITCHES))
                page = browser.new_page(viewport={"width": 1600, "height": 950})
                page.set_default_timeout(_PATIENCE)
                expect.set_options(timeout=_PATIENCE)
                yield Site(root, f"http://127.0.0.1:{port}", page)
                browser.close()
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(60)
