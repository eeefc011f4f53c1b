"""``nexus mapping``."""

from pathlib import Path

from tests.nexus_assets.cli.conftest import Nexus


def test_from_the_first_to_the_last(nexus: Nexus, tmp_path: Path) -> None:
    assert "no column mappings yet" in nexus("mapping", "list").out
    file = tmp_path / "atlas.yaml"
    file.write_text("obs_mapping: {celltype: cell_type, donor: donor_id}\nvar_mapping: {index: symbol}\n")
    assert nexus("mapping", "add", "atlas", file).out == "Column mapping atlas: 2 columns of obs, 1 of var.\n"
    (nexus.root / "inbox").mkdir()
    (nexus.root / "inbox/lung.yaml").write_text("mapping: atlas\n")
    assert "1 of var, as it was." in nexus("mapping", "add", "atlas", file).out
    file.write_text("obs_mapping: {celltype: cell_type}\n")
    assert "Named by lung: ingest these datasets again" in nexus("mapping", "add", "atlas", file).out
    assert nexus("mapping", "list", "--json").json() == [
        {"mapping": "atlas", "obs columns": 1, "var columns": 0, "datasets": ["lung"]}
    ]
    assert nexus("mapping", "show", "atlas", "--json").json()["obs_mapping"] == {"celltype": "cell_type"}
    assert nexus("mapping", "show", "atlas").out.splitlines()[-1].split() == ["obs", "celltype", "cell_type"]
    assert "is named by the configuration of lung" in nexus("mapping", "remove", "atlas").sentence()
    (nexus.root / "inbox/lung.yaml").unlink()
    assert "is removed" in nexus("mapping", "remove", "atlas").out


def test_a_configuration_that_names_no_mapping_is_refused_before_anything_is_placed(
    nexus: Nexus, tmp_path: Path
) -> None:
    (tmp_path / "lung.h5ad").write_bytes(b"x")
    config = tmp_path / "c.yaml"
    config.write_text("mapping: atlas\n")
    said = nexus("ingest", tmp_path / "lung.h5ad", "--config", config).sentence()
    assert said.startswith("there is no column mapping 'atlas'; there are none yet;")
    assert not (nexus.root / "inbox").exists()
    assert "cannot be read" in nexus("mapping", "add", "atlas", tmp_path / "nowhere.yaml").sentence()
