"""What an operator does in the web UI, step after step, in a real browser against the real servers."""

import re
import shutil

import yaml
from playwright.sync_api import expect

from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.folder import FolderWarehouse
from tests.browser.conftest import Site
from tests.nexus_assets.cli.processes import wait_until
from tests.nexus_assets.world import make_source

RELEASED = "extracts/blood/v1/release.json"


def test_a_dropped_file_becomes_a_green_run(site: Site) -> None:
    from nexus_assets.sample_data import make_sample

    page = site.open("/runs")
    make_sample(site.root / "sample", 300)
    shutil.copytree(site.root / "sample/pbmc", site.root / "inbox/pbmc")
    expect(page.get_by_text("partition: pbmc").first).to_be_visible()
    expect(page.get_by_text("Success").first).to_be_visible()
    expect(page.get_by_text("nexus/requested_by: landing_sensor").first).to_be_visible()
    site.shoot("runs")


def test_a_materialization_has_its_plots_and_links(site: Site) -> None:
    page = site.open("/assets/warehouse/snapshot")
    expect(page.get_by_text("by_dataset")).to_be_visible()
    cells = FolderWarehouse(FolderStore(site.root)).ingests()["cell_count"].sum()
    expect(page.get_by_role("cell", name=str(cells), exact=True).first).to_be_visible()
    site.shoot("snapshot")
    page.get_by_role("row").filter(has_text="plot_cell_type").get_by_text("Show Markdown").click()
    plot = page.locator("img[src^='data:image/png']").first
    expect(plot).to_be_visible()
    assert plot.evaluate("picture => picture.complete && picture.naturalWidth") > 300
    site.shoot("plot")
    page = site.open("/assets/ingest/ingest_files?partition=pbmc&view=partitions")
    expect(page.get_by_text(str(site.root / "ingest/pbmc")).first).to_be_visible()
    site.shoot("ingest_files")


def test_a_curriculum_from_the_launchpad(site: Site) -> None:
    page = site.open("/locations/nexus/jobs/request_curriculum/playground")
    editor = page.locator(".CodeMirror").first
    expect(editor).to_contain_text("my-curriculum")
    asked = {
        "name": "blood",
        "filter": [{"column": "tissue", "op": "eq", "value": "blood"}],
        "obs_columns": ["cell_type", "donor_id"],
        "bin_size": 50,
    }
    text = yaml.safe_dump({"ops": {"keep_specification": {"config": {"specification": asked}}}}, sort_keys=False)
    editor.evaluate("(element, text) => element.CodeMirror.setValue(text)", text)
    site.shoot("launchpad")
    page.get_by_role("button", name=re.compile("Launch run", re.IGNORECASE)).click()
    expect(page.get_by_text("Success").first).to_be_visible()
    wait_until((site.root / RELEASED).exists, 120, "the sensor did not build what was asked for")
    page = site.open("/assets/curriculum/release?partition=blood.v1&view=partitions")
    expect(page.get_by_text(str(site.root / RELEASED)).first).to_be_visible()
    site.shoot("release")


def test_the_graph_shows_every_asset(site: Site) -> None:
    page = site.open("/asset-groups/")
    for group in ("ingest", "warehouse", "curriculum", "ops"):
        expect(page.get_by_text(group, exact=True).last).to_be_visible()
    page.mouse.click(900, 700, button="right")
    page.get_by_role("menuitem", name=re.compile("Expand all groups")).click()
    for asset in ("source_files", "raw_counts", "snapshot", "feature_schema", "release"):
        expect(page.get_by_text(asset, exact=True).last).to_be_visible()
    page.wait_for_timeout(5_000)  # the states come later than the names
    site.shoot("asset_graph")


def test_a_refused_file_says_why(site: Site) -> None:
    make_source(negative=True).write_h5ad(site.root / "inbox/refused.h5ad")
    page = site.open("/runs")
    expect(page.get_by_text("partition: refused").first).to_be_visible()
    expect(page.get_by_text("Failure").first).to_be_visible()
    page = site.open("/assets/ingest/validation_report?partition=refused&view=partitions")
    expect(page.get_by_text(re.compile("X does not hold counts: -1.0 at cell 0")).first).to_be_visible()
    site.shoot("refused_report")
    page = site.open("/assets/ingest/validation_report?view=checks")
    expect(page.get_by_text("all_files_valid").first).to_be_visible()
    expect(page.get_by_text("Failed").first).to_be_visible()
    expect(page.get_by_text(re.compile("X does not hold counts")).first).to_be_visible()
    site.shoot("failed_check")


def test_a_wrong_request_fails_with_a_sentence(site: Site) -> None:
    page = site.open("/locations/nexus/jobs/request_curriculum/playground")
    editor = page.locator(".CodeMirror").first
    expect(editor).to_contain_text("keep_specification")  # what was launched last
    asked = {"name": "blood", "bin_sizes": 50}
    text = yaml.safe_dump({"ops": {"keep_specification": {"config": {"specification": asked}}}}, sort_keys=False)
    editor.evaluate("(element, text) => element.CodeMirror.setValue(text)", text)
    page.get_by_role("button", name=re.compile("Launch run", re.IGNORECASE)).click()
    expect(page.get_by_text("bin_sizes is not a known key").first).to_be_visible()
    site.shoot("wrong_request")
