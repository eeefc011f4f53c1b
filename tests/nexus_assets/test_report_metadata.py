import dagster as dg
import pytest

from nexus_assets.report_metadata import place

CONSOLE = "https://console.cloud.google.com"


@pytest.mark.parametrize(
    ("address", "folder", "link"),
    [
        ("gs://b/p/release.json", False, f"{CONSOLE}/storage/browser/_details/b/p/release.json"),
        ("gs://b/a b/#1?.csv", False, f"{CONSOLE}/storage/browser/_details/b/a%20b/%231%3F.csv"),
        ("gs://b/p/lung.v2", True, f"{CONSOLE}/storage/browser/b/p/lung.v2"),
        ("gs://b", True, f"{CONSOLE}/storage/browser/b"),
        ("bigquery://my-p/set?location=EU", False, f"{CONSOLE}/bigquery?project=my-p&ws=!1m4!1m3!3m2!1smy-p!2sset"),
        ("https://example.org/x?y", False, "https://example.org/x?y"),
    ],
)
def test_what_is_in_the_cloud_opens_in_the_console(address: str, folder: bool, link: str) -> None:
    assert place(address, folder=folder) == dg.MetadataValue.url(link)


def test_what_is_on_this_machine_is_a_path() -> None:
    assert place("/data/x") == dg.MetadataValue.path("/data/x")
