"""Every command on a bad day: one sentence on standard error, the right exit code, and nothing left behind."""

import json
import os
import shutil
from pathlib import Path

import pytest
from dagster import DagsterInstance

from tests.nexus_assets.cli.conftest import SPECIFICATION, Nexus
from tests.nexus_assets.world import make_source, tree


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ingst"], "there is no command 'ingst'; did you mean ingest?"),
        (["curriculum", "bild"], "there is no command 'bild'; did you mean build?"),
        (["xyzzy"], "there is no command 'xyzzy'; there are "),
        (["ingest"], "Missing argument 'FILE|FOLDER|URL…'. See nexus ingest --help."),
        (["ingest", "--nonsense", "x"], "No such option"),
        (["cells", "count", "--where"], "Option '--where' requires an argument"),
        (["ingest", "/nowhere/lung.h5ad"], "there is no file or folder /nowhere/lung.h5ad."),
        (["curriculum", "build", "/nowhere/spec.yaml"], "the specification /nowhere/spec.yaml cannot be read"),
        (["schema", "add", "mine", "/nowhere/genes.csv"], "/nowhere/genes.csv cannot be read"),
        (["cells", "count", "--where", "tissue like lung"], "'tissue like lung' is not a condition"),
        (["cells", "count", "--where", "tissue >="], "tissue >=: the value is missing."),
        (["cells", "count", "--where", "tisue == lung"], "'tisue' is not a column"),
        (["cells", "count", "--where", "total_mrna_umis >= many"], "many"),
        (["cells", "count", "--where", "cell_type descendant_of T"], "use cell_type_ontology_term_id."),
        (["cells", "count", "--where", "{any: []}"], "the list is empty; give at least one condition"),
        (["cells", "count", "--where", "{any: ["], "is not YAML"),
        (
            ["cells", "count", "--where", "cell_type_ontology_term_id descendant_of T cell"],
            "did you mean CL:0000084 (T cell)",
        ),
        (["cells", "count", "--filter", "/nowhere/filter.yaml"], "the filter /nowhere/filter.yaml cannot be read"),
        (["cells", "count", "--filter", __file__], "is not YAML"),
        (["cells", "count", "--by", "tisue"], "'tisue' is not a column"),
        (["cells", "values", "tisue"], "'tisue' is not a column"),
        (["sql", "SELECT tissue FROM cell_inf"], "line 1, column 20: there is no table 'cell_inf'"),
        (["sql", "SELECT feature_index FROM raw_counts", "--csv"], "feature_index holds lists"),
        (["sql", "SELECT 1", "--csv", "--json"], "exclude each other"),
        (["datasets", "show", "lng"], "there is no dataset 'lng' in the warehouse; there are heart, lung."),
        (
            ["curriculum", "show", "all", "--loader", "torch"],
            "all is not loaded with 'torch'; there are cellarium-ml, anndata, nexus, measured-genes.",
        ),
        (["curriculum", "show", "al"], "the curriculum 'al' does not exist; there are all."),
        (["schema", "show", "min"], "there is no feature schema min; use mine, union or intersection."),
    ],
)
def test_one_sentence(finished: Nexus, arguments: list[str], said: str) -> None:
    assert said in finished(*arguments).sentence()


def test_a_group_without_command_is_its_help(nexus: Nexus) -> None:
    outcome = nexus("curriculum")
    assert outcome.code == 2
    assert "Commands:" in outcome.err
    assert nexus().sentence() == "Missing command. See nexus --help."


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (["notes.txt"], [], "notes.txt is not an .h5ad file"),
        (["empty"], [], "empty holds no .h5ad file, nor another of .h5ad, .h5ad.gz"),
        (["My Lung.h5ad"], [], "'My Lung' is not a dataset name"),
        (["a.h5ad"], ["--dataset", "A B"], "'A B' is not a dataset name"),
        (["a.h5ad", "twin/a.h5ad"], ["--dataset", "lung"], "two files of the dataset 'lung' are called a.h5ad"),
        (["a.h5ad"], ["--config", "nowhere.yaml"], "the configuration nowhere.yaml cannot be read"),
        (["a.h5ad"], ["--config", "broken.yaml"], "broken.yaml is not YAML"),
        (["a.h5ad"], ["--config", "unknown.yaml"], "unknown.yaml: tagg is not a known key."),
        (["a.h5ad"], ["--config", "list.yaml"], "list.yaml must hold 'name: value' lines"),
    ],
)
def test_what_ingest_refuses_before_it_does_anything(
    nexus: Nexus, tmp_path: Path, names: list[str], options: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "twin"):
        Path(folder).mkdir()
    for name in ("notes.txt", "My Lung.h5ad", "a.h5ad", "twin/a.h5ad"):
        Path(name).write_bytes(b"")
    for name, content in (("broken", "a: ["), ("unknown", "tagg: x"), ("list", "- a")):
        Path(f"{name}.yaml").write_text(content)
    assert said in nexus("ingest", *names, *options).sentence()
    assert not (nexus.root / "inbox").exists()


def test_a_refused_file_is_named_as_it_was_given_and_does_not_stay(used: Nexus, tmp_path: Path) -> None:
    bad = tmp_path / "bad.h5ad"
    make_source(negative=True).write_h5ad(bad)
    before = tree(used.root / "warehouse"), tree(used.root / "inbox")
    sentence = used("ingest", bad, "--dataset", "lung").sentence()
    assert sentence.startswith(f"{bad}: ")
    assert "negative" in sentence
    assert (tree(used.root / "warehouse"), tree(used.root / "inbox")) == before
    with DagsterInstance.from_config(str(used.root / "dagster")) as instance:
        assert [run.status.value for run in instance.get_runs(limit=1)] == ["FAILURE"]


def test_a_replaced_file_is_put_back_when_the_new_one_is_refused(used: Nexus, tmp_path: Path) -> None:
    bad = tmp_path / "a.h5ad"
    make_source(negative=True).write_h5ad(bad)
    (tmp_path / "c.yaml").write_text("tag: other\n")
    before = tree(used.root / "inbox")
    outcome = used("ingest", bad, "--dataset", "lung", "--config", tmp_path / "c.yaml")
    assert outcome.sentence().startswith(f"{bad}: ")
    assert tree(used.root / "inbox") == before
    assert not list((used.root / "inbox").rglob(".*"))


def test_a_command_that_was_killed_is_mended_by_the_next(nexus: Nexus, tmp_path: Path) -> None:
    # It had put the new file in place of the old one, and the new one is refused.
    old = tmp_path / "a.h5ad"
    make_source().write_h5ad(old)
    bad = tmp_path / "new" / "a.h5ad"
    bad.parent.mkdir()
    make_source(negative=True).write_h5ad(bad)
    inbox = nexus.root / "inbox/lung"
    inbox.mkdir(parents=True)
    shutil.copy2(old, inbox / ".a.h5ad.previous")
    os.link(bad, inbox / "a.h5ad")
    assert nexus("ingest", bad, "--dataset", "lung").sentence().startswith(f"{bad}: ")
    assert tree(inbox) == {"a.h5ad": old.read_bytes()}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name: [", "is not YAML"),
        ("name: all\nbin_sizes: 4", "bin_sizes is not a known key"),
        ("bin_size: 4", "name: Field required"),
        ("name: A B", "'A B' is not a curriculum name"),
        ("name: x\norder: random", "order: Input should be 'store' or 'exact'"),
        ("name: x\nfilter: [{column: tissue, op: eq, value: brain}]", "holds for none of the 15 cells"),
        ("name: x\nfilter: [{column: tisue, op: eq, value: lung}]", "'tisue' is not a column"),
        ("name: x\nfilter: {tissue__is: lung}", "tissue__"),
        ("name: x\nfeatures: nowhere", "there is no feature schema nowhere"),
        ("name: x\nobs_columns: [tisue]", "tisue"),
    ],
)
def test_a_wrong_specification_claims_nothing(finished: Nexus, tmp_path: Path, content: str, said: str) -> None:
    specification = tmp_path / "spec.yaml"
    specification.write_text(content)
    assert said in finished("curriculum", "build", specification).sentence()
    assert sorted(path.name for path in (finished.root / "extracts").iterdir()) == ["all"]
    assert not (finished.root / "curricula/x.yaml").exists()


def test_an_empty_warehouse_is_said(nexus: Nexus, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPECIFICATION)
    sentence = nexus("curriculum", "build", tmp_path / "spec.yaml").sentence()
    assert sentence == "the warehouse holds no dataset yet; ingest one first."


@pytest.mark.parametrize(
    ("content", "said"),
    [("gene\nx\n", "no column ensembl_id"), ("", "is empty"), ("ensembl_id\nA\nA\n", "more than once")],
)
def test_a_wrong_feature_schema_is_not_kept(nexus: Nexus, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "genes.csv").write_text(content)
    assert said in nexus("schema", "add", "mine", tmp_path / "genes.csv").sentence()
    assert "'My Genes' is not a feature schema name" in nexus("schema", "add", "My Genes", tmp_path / "genes.csv").err
    assert not (nexus.root / "feature_schemas").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("TASKS", "zero"), ("TASKS", "0"), ("WORKERS", "-1"), ("DEPLOYMENT", "moon"), ("QUIET_SECONDS", "soon")],
)
@pytest.mark.parametrize("command", [["cells", "count"], ["doctor"], ["ingest", __file__]])
def test_a_setting_that_cannot_be_is_named(nexus: Nexus, name: str, value: str, command: list[str]) -> None:
    os.environ[f"NEXUS_{name}"] = value
    sentence = nexus(*command).sentence()
    assert sentence.startswith(f"NEXUS_{name}={value!r}: ")


@pytest.mark.parametrize("command", ["ingest", "build", "schema", "up", "demo"])
def test_a_root_that_cannot_be_written_is_said(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    nexus = Nexus(tmp_path / "file" / "nexus")
    make_source().write_h5ad(tmp_path / "lung.h5ad")
    (tmp_path / "spec.yaml").write_text(SPECIFICATION)
    (tmp_path / "genes.csv").write_text("ensembl_id\nENSG00000000001\n")
    arguments: dict[str, list[str | Path]] = {
        "ingest": ["ingest", tmp_path / "lung.h5ad"],
        "build": ["curriculum", "build", tmp_path / "spec.yaml"],
        "schema": ["schema", "add", "mine", tmp_path / "genes.csv"],
        "up": ["up"],
        "demo": ["demo"],
    }
    sentence = nexus(*arguments[command]).sentence()
    assert sentence == (
        f"the folder {nexus.root} cannot be written (Not a directory); choose another with --root or NEXUS_ROOT."
    )


def test_what_is_not_an_input_is_exit_code_1_with_the_run_to_look_at(used: Nexus, tmp_path: Path) -> None:
    # The release of the newest version is damaged: ours, not the user's.
    (used.root / "extracts/all/v1/release.json").write_text("{}")
    (tmp_path / "spec.yaml").write_text(SPECIFICATION)
    outcome = used("curriculum", "build", tmp_path / "spec.yaml")
    assert outcome.code == 1
    assert "all.v1" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_run_that_fails_names_itself_and_its_reason(nexus: Nexus, tmp_path: Path) -> None:
    make_source().write_h5ad(tmp_path / "lung.h5ad")
    (nexus.root / "reports").mkdir(parents=True)
    (nexus.root / "reports/lung").write_text("a file where a folder should be")
    outcome = nexus("ingest", tmp_path / "lung.h5ad")
    assert outcome.code == 1
    first, second = outcome.err.splitlines()
    assert first.startswith("nexus: run ")
    assert "failed in step ingest_datasets; see it with nexus up." in first
    assert str(nexus.root / "reports/lung") in second
    assert "Error" not in second.split(":")[1]


class TestDoctor:
    def test_a_sound_installation(self, nexus: Nexus) -> None:
        rows = nexus("doctor", "--json").json()
        assert {row["state"] for row in rows} == {"ok"}
        found = {row["check"]: row["found"] for row in rows}
        assert found["definitions"] == "13 assets"
        assert found["warehouse"] == "0 ingests, 0 current"
        assert found["pipeline tasks"].startswith("kfp 2.")
        assert "cellxgene-schema" in found

    def test_a_root_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a folder")
        outcome = Nexus(tmp_path / "file")("doctor", "--json")
        assert outcome.code == 2
        rows = {row["check"]: row for row in json.loads(outcome.out)}
        assert rows["root folder"]["state"] == "FAILED"
        assert "set NEXUS_ROOT" in rows["root folder"]["found"]
        assert rows["python"]["state"] == "ok"
        assert rows["dagster instance"]["state"] == "FAILED"

    def test_a_broken_instance_and_a_validator_that_is_asked_for(
        self, used: Nexus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NEXUS_CELLXGENE_PYTHON", "/nowhere/python")
        (used.root / "inbox/heart.yaml").write_text("validation: {cellxgene_schema: warn}\n")
        (used.root / "dagster/dagster.yaml").write_text("storage: nonsense\n")
        outcome = used("doctor", "--json")
        assert outcome.code == 2
        failed = [row for row in json.loads(outcome.out) if row["state"] == "FAILED"]
        assert [row["check"] for row in failed] == ["cellxgene-schema", "dagster instance"]
        assert failed[0]["found"].startswith(
            "heart: validation.cellxgene_schema needs cellxgene-schema in an environment"
        )
        assert "make it with 'make cellxgene'" in failed[0]["found"]
        assert "mend its dagster.yaml" in failed[1]["found"]
