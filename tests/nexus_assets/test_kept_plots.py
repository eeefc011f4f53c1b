"""Small plots in the metadata, whole ones in the store."""

import base64
from pathlib import Path

from nexus_assets.kept_plots import bar_plot, keep_plots
from nexus_assets.plots import shares
from omics_datastore.storage.folder import FolderStore


def test_a_long_list_is_whole_in_the_store_and_short_on_the_page(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    plot = bar_plot("Cells by donor", [f"donor {n}" for n in range(40)], [float(40 - n) for n in range(40)])
    shown = keep_plots(store, ["warehouse", "snapshot"], {"donor": plot})
    assert set(shown) == {"plot_donor", "plots"}
    assert shown["plots"].value == str(tmp_path / "plots/warehouse/snapshot")
    whole = (tmp_path / "plots/warehouse/snapshot/donor.png").read_bytes()
    small = base64.b64decode(shown["plot_donor"].value.partition("base64,")[2].rstrip(")"))
    assert _height(whole) > 2 * _height(small)


def test_what_is_drawn_no_more_is_kept_no_more(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    keep_plots(store, ["a"], {"old": b"1", "new": b"1"}, "x.v1")
    keep_plots(store, ["a"], {"new": b"2"}, "x.v1")
    assert {path.name: path.read_bytes() for path in (tmp_path / "plots/a/x.v1").iterdir()} == {"new.png": b"2"}
    assert keep_plots(store, ["b"], {}) == {}


def test_every_row_of_shares_has_a_bar() -> None:
    few = shares("Shards", {"all": [3, 1], "shard 0": [2, 0]}, ["lung", "blood"])
    more = shares("Shards", {"all": [3, 1], **{f"shard {n}": [1, 1] for n in range(12)}}, ["lung", "blood"])
    assert _height(more) > 1.5 * _height(few)


def _height(png: bytes) -> int:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(png[20:24])
