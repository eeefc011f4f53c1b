"""``nexus schema``."""

from pathlib import Path

from tests.nexus_assets.cli.conftest import Nexus, Outcome

Done = tuple[Path, dict[str, Outcome]]


def test_schema_list_and_show(done: Done, finished: Nexus) -> None:
    assert done[1]["schema"].out == "Feature schema mine: 2 features.\n"
    (row,) = finished("schema", "list", "--json").json()
    assert (row["schema"], row["features"]) == ("mine", 2)
    assert finished("schema", "show", "mine", "--json").json() == {
        "features": [
            {"feature_id": "ENSG00000000005", "feature_name": "E"},
            {"feature_id": "ENSG00000000001", "feature_name": "A"},
        ],
        "measured": [
            {"dataset": "heart", "ingests": 1, "measured": 1, "measured_by_all": 1},
            {"dataset": "lung", "ingests": 2, "measured": 2, "measured_by_all": 0},
        ],
    }
    assert "ENSG00000000005" in finished("schema", "show", "mine").out


def test_schema_export_and_remove(used: Nexus, tmp_path: Path) -> None:
    text = "ensembl_id,symbol\nENSG00000000005,E\nENSG00000000001,A\n"
    assert used("schema", "export", "mine").out == text
    assert "2 features" in used("schema", "export", "mine", tmp_path / "out.csv").out
    assert (tmp_path / "out.csv").read_text() == text
    assert "cannot be written" in used("schema", "export", "mine", tmp_path / "no/out.csv").sentence()
    (used.root / "curricula/w.yaml").write_text("name: w\nfeatures: mine\nrefresh: weekly\n")
    assert "needed every week by w; take refresh out of curricula/w.yaml" in used("schema", "remove", "mine").sentence()
    (used.root / "curricula/w.yaml").write_text("name: w\nfeatures: mine\n")
    assert "New versions of w would need it" in used("schema", "remove", "mine").out
    assert used("schema", "list", "--json").json() == []
    assert "there is no feature schema mine" in used("schema", "remove", "mine").sentence()
