"""What commands say of the cells of a specification: which it selects, which it leaves out."""

from pathlib import Path

import pytest

from omics_datastore.curriculum.release import release_curriculum
from omics_datastore.curriculum.versions import parse_specification
from tests.nexus_assets.cli.conftest import Nexus
from tests.omics_datastore.curriculum.curriculum_world import build, gene, make_source, open_world

SPECIFICATION = "name: asked\nbin_size: 5\nobs_columns: [cell_type]\nfilter: {cell_type__not_eq: neuron}\n"
CAPS = "caps: [{per: cell_type, cells: 4}, {per: dataset, cells: 7}]\n"
SPLIT = "split: {by: donor_id, test: [donor0], train: rest}\n"


@pytest.fixture
def lung(nexus: Nexus) -> Nexus:
    """Give 30 cells, 20 of them no neurons and of these 10 primary, loaded without a run."""
    open_world(nexus.root).add("a", make_source(gene(1, 2), 30, 1))
    return nexus


def test_cells_of_a_specification_are_those_it_would_select(lung: Nexus, tmp_path: Path) -> None:
    asked = tmp_path / "asked.yaml"
    asked.write_text(SPECIFICATION)
    assert lung("cells", "count", "--filter", asked).out == "10\n"
    asked.write_text(f"{SPECIFICATION}primary_only: false\n")
    assert lung("cells", "count", "--filter", asked).out == "20\n"
    asked.write_text(SPECIFICATION + CAPS)
    counted = lung("cells", "count", "--filter", asked, "--where", "cell_type == B cell")
    assert counted.out == "5\n"
    assert (
        f"The caps and the split of asked are not applied; nexus curriculum diff asked {asked} does that."
        in counted.err
    )
    asked.write_text("name: asked\nfilter: {nonsense: 1}\n")
    assert "nonsense" in lung("cells", "count", "--filter", asked).sentence()


def test_a_release_says_what_its_caps_left_out_and_what_its_splits_hold(lung: Nexus) -> None:
    world = open_world(lung.root)
    build(world, parse_specification(SPECIFICATION + CAPS + SPLIT, "asked.yaml"))
    release_curriculum("asked", 1, world.store)
    shown = lung("curriculum", "show", "asked").out
    lines = shown.splitlines()
    assert "left out, cap 1        2 (at most 4 cells of each cell_type)" in lines
    assert "left out, cap 2        1 (at most 7 cells of each dataset)" in lines
    found = [line.split() for line in lines if "extract_metadata.json" in line]
    assert [(line[0], line[-1]) for line in found] == [
        ("test", "splits/test/extract_metadata.json"),
        ("train", "splits/train/extract_metadata.json"),
    ]
    assert sum(int(line[1]) for line in found) == 7
    assert "extract_000000.h5ad" in shown
    assert "extract_000001.h5ad" in lung("curriculum", "show", "asked", "--split", "train").out
    assert (
        "no split 'other'; there are test, train" in lung("curriculum", "show", "asked", "--split", "other").sentence()
    )
