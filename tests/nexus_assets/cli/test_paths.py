"""No name that somebody types or launches leads out of the root: nothing there is read, written or removed."""

from pathlib import Path

import pytest

from omics_datastore.errors import InputError
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.layout import plots_folder, report_csv_key
from tests.nexus_assets.cli.conftest import Nexus
from tests.nexus_assets.world import tree

OUTSIDE = {
    "secret.yaml": "obs_mapping: {a: cell_type}\n",
    "secret.csv": "ensembl_id,symbol\nENSG00000000001,SECRET\n",
    "reports/validation_report.json": "{}",
    "v1/release.json": "{}",
}
COMMANDS = [
    "mapping show {}",
    "mapping remove {}",
    "mapping add {} secret.yaml",
    "schema show {}",
    "schema export {}",
    "schema remove {}",
    "schema add {} secret.csv",
    "reports show {}",
    "curriculum show {}",
    "curriculum diff {}",
    "datasets show {}",
    "datasets retire {} --yes",
    "trace {} 0",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_names_stay_in_the_root(command: str, nexus: Nexus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in OUTSIDE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    nexus.root.mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("../../secret", "../secret", str(tmp_path / "secret"), "..", "a/../../../secret"):
        outcome = nexus(*(word.replace("{}", name) for word in command.split(" ")))
        assert outcome.code == 2, (name, outcome)
        assert "SECRET" not in outcome.out + outcome.err
        assert outcome.sentence()
    outside = {name: text for name, text in tree(tmp_path).items() if not name.startswith("nexus/")}
    assert outside == {name: text.encode() for name, text in OUTSIDE.items()}
    assert [name for name in tree(nexus.root) if not name.startswith("dagster/")] == []


def test_partitions_stay_in_the_root(tmp_path: Path) -> None:
    """Dagster takes any text for a dynamic partition; where one becomes a path, the store refuses it."""
    store = FolderStore(tmp_path / "nexus")
    for partition in ("../../x", "..", "/etc"):
        for key in (f"{plots_folder(['curriculum', 'extract'], partition)}a.png", report_csv_key(partition)):
            with pytest.raises(InputError, match="is not an object key"):
                store.write(key, b"x")
    assert list(tmp_path.iterdir()) == []
