"""Every command on a good day: what it prints, for people and for machines, and what it leaves behind."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import anndata
import pytest
from dagster import DagsterInstance, DagsterRunStatus

from nexus_assets.batches import partitions_of
from nexus_assets.policy import os_user
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.folder import FolderWarehouse
from tests.nexus_assets.cli.conftest import SPECIFICATION, Nexus, Outcome
from tests.nexus_assets.world import make_source, tree

Done = tuple[Path, dict[str, Outcome]]


def test_ingest_reports_every_dataset(done: Done) -> None:
    lung, heart = done[1]["ingest"].json()
    assert (lung["dataset"], heart["dataset"]) == ("lung", "heart")
    assert [(Path(file["source"]["key"]).name, file["cell_count"]) for file in lung["files"]] == [
        ("a.h5ad", 6),
        ("b.h5ad", 5),
    ]
    assert heart["files"][0]["source"]["key"] == "inbox/heart/heart.h5ad"


def test_build_says_where_the_release_is(done: Done) -> None:
    made = done[1]["build"].json()
    assert made == {
        "curriculum": "all.v1",
        "state": "built",
        "release": f"{done[0]}/extracts/all/v1/release.json",
        "left_out_not_primary": 0,
        "left_out_by_caps": [],
    }
    assert json.loads(Path(made["release"]).read_text())["total_cells"] == 15
    assert (done[0] / "curricula/all.yaml").read_text() == SPECIFICATION


def test_every_run_is_recorded_with_who_asked_for_it(done: Done) -> None:
    with DagsterInstance.from_config(str(done[0] / "dagster")) as instance:
        runs = instance.get_runs()
        partitions = instance.get_dynamic_partitions("datasets")
    assert sorted((run.job_name, *partitions_of(run, lambda: partitions)) for run in runs) == [
        ("build_curriculum", "all.v1"),
        ("ingest_dataset", "heart", "lung"),
        ("register_feature_schema", "mine"),
    ]
    assert {run.status for run in runs} == {DagsterRunStatus.SUCCESS}
    assert {run.tags["nexus/requested_by"] for run in runs} == {os_user()}
    assert sorted(partitions) == ["heart", "lung"]


def test_datasets_list_and_show(finished: Nexus) -> None:
    rows = finished("datasets", "list", "--json").json()
    assert [(row["dataset"], row["ingests"], row["cells"]) for row in rows] == [("heart", 1, 4), ("lung", 2, 11)]
    shown = finished("datasets", "show", "lung", "--json").json()
    assert [Path(row["source_uri"]).name for row in shown] == ["a.h5ad", "b.h5ad"]
    assert "lung" in finished("datasets", "list").out
    assert {row["description"] for row in rows} == {None}
    text = finished("datasets", "show", "lung").out
    assert text.splitlines()[1].split() == ["cells", "11"]


def test_cells_count_describe_values(finished: Nexus) -> None:
    assert finished("cells", "count").out == "15\n"
    assert finished("cells", "count", "--json").json() == {"cells": 15}
    assert finished("cells", "count", "--where", "tissue == heart").out == "4\n"
    assert finished("cells", "count", "--where", "tissue in lung, heart", "--where", "donor_id == donor0").out == "8\n"
    assert finished("cells", "count", "--by", "tissue", "--by", "dataset", "--json").json() == [
        {"tissue": "lung", "dataset": "lung", "cells": 11},
        {"tissue": "heart", "dataset": "heart", "cells": 4},
    ]
    assert "eq not_eq" in finished("cells", "columns").out
    nested = "{any: [{tissue__eq: heart}, {not: {donor_id__eq: donor0}}]}"
    assert finished("cells", "count", "--where", nested).out == "9\n"
    assert finished("cells", "values", "tissue", "--json").json() == [
        {"value": "lung", "cells": 11},
        {"value": "heart", "cells": 4},
    ]
    assert finished("cells", "describe", "--json").json()["ingests"] == 3
    assert finished("cells", "describe").out.splitlines()[0].split() == ["cells", "15"]
    assert finished("cells", "count", "--where", "tissue == nowhere", "--by", "tissue").out == "no cells\n"


def test_cells_of_a_filter_in_a_file(finished: Nexus, tmp_path: Path) -> None:
    alone, specification = tmp_path / "filter.yaml", tmp_path / "spec.yaml"
    alone.write_text("any:\n  - {tissue__eq: heart}\n  - {column: donor_id, op: eq, value: donor1}\n")
    specification.write_text(f"{SPECIFICATION}filter: [{{column: tissue, op: eq, value: heart}}]\n")
    assert finished("cells", "count", "--filter", alone).out == "9\n"
    assert finished("cells", "count", "--filter", alone, "--where", "tissue == lung").out == "5\n"
    assert finished("cells", "values", "tissue", "--filter", specification, "--json").json() == [
        {"value": "heart", "cells": 4}
    ]
    assert finished("cells", "describe", "--filter", specification, "--json").json()["cells"] == 4


def test_sql(finished: Nexus) -> None:
    statement = "SELECT tissue, COUNT(*) AS cells FROM cell_info GROUP BY tissue ORDER BY cells DESC"
    assert finished("sql", statement, "--json").json() == [
        {"tissue": "lung", "cells": 11},
        {"tissue": "heart", "cells": 4},
    ]
    assert finished("sql", statement, "--csv").out == "tissue,cells\nlung,11\nheart,4\n"
    outcome = finished("sql", statement, "--limit", "1")
    assert [line.split() for line in outcome.out.splitlines()[::2]] == [["tissue", "cells"], ["lung", "11"]]
    assert outcome.err == "nexus: only the first 1 rows; there are more (--limit).\n"
    assert finished("sql", "SELECT 1 AS one FROM cell_info WHERE FALSE").out == "no rows\n"


def test_curriculum_list_and_show(finished: Nexus) -> None:
    assert finished("curriculum", "list", "--json").json() == [
        {"curriculum": "all.v1", "state": "released", "cells": 15, "shards": "4 of 4", "asked_by": os_user()}
    ]
    release = finished("curriculum", "show", "all", "--json").json()
    assert [shard["cells"] for shard in release["shards"]] == [4, 4, 4, 3]
    assert finished("curriculum", "show", "all.v1", "--json").json() == release
    program = finished("curriculum", "show", "all", "--loader", "nexus").out
    assert program.startswith("from omics_datastore.training.reader import CurriculumReader")
    text = finished("curriculum", "show", "all").out
    assert "import anndata" in text
    assert "all.v1" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["datasets", "list"], "no datasets yet"),
        (["curriculum", "list"], "no curricula yet"),
        (["schema", "list"], "no feature schemas yet"),
    ],
)
def test_an_empty_root_is_no_error_and_stays_empty(nexus: Nexus, arguments: list[str], said: str) -> None:
    outcome = nexus(*arguments)
    assert outcome.code == 0
    assert outcome.out.startswith(said)
    assert nexus(*arguments, "--json").code == 0
    assert not nexus.root.exists()


def test_the_same_curriculum_again_is_complete(used: Nexus, tmp_path: Path) -> None:
    specification = tmp_path / "again.yaml"
    specification.write_text(SPECIFICATION)
    before = tree(used.root / "extracts")
    assert used("curriculum", "build", specification, "--json").json()["state"] == "complete"
    outcome = used("curriculum", "build", specification)
    assert outcome.out == f"{used.root}/extracts/all/v1/release.json\n"
    assert outcome.err == "all.v1 is this specification on this data already; nothing was made again.\n"
    assert tree(used.root / "extracts") == before


def test_validate_only_leaves_nothing_but_the_report(nexus: Nexus, tmp_path: Path) -> None:
    make_source().write_h5ad(tmp_path / "lung.h5ad")
    outcome = nexus("ingest", tmp_path / "lung.h5ad", "--validate-only")
    assert outcome.out.endswith("Dataset lung is valid: 6 cells from 1 files.\n")
    assert tree(nexus.root / "inbox") == {}
    assert (nexus.root / "reports/lung/validation_report.json").exists()
    assert FolderWarehouse(FolderStore(nexus.root)).ingests().is_empty()


def test_a_configuration_is_put_beside_the_files_and_used(nexus: Nexus, tmp_path: Path) -> None:
    make_source().write_h5ad(tmp_path / "x.h5ad")
    (tmp_path / "any.yaml").write_text("tag: pilot\n")
    assert nexus("ingest", tmp_path / "x.h5ad", "--dataset", "lung", "--config", tmp_path / "any.yaml").code == 0
    assert set(tree(nexus.root / "inbox")) == {"lung.yaml", "lung/x.h5ad"}
    assert nexus("cells", "values", "tag", "--json").json() == [{"value": "pilot", "cells": 6}]


def test_the_same_file_again_is_a_no_op_in_the_warehouse(nexus: Nexus, tmp_path: Path) -> None:
    make_source().write_h5ad(tmp_path / "lung.h5ad")
    assert nexus("ingest", tmp_path / "lung.h5ad").code == 0
    before = tree(nexus.root / "warehouse"), tree(nexus.root / "ingest"), tree(nexus.root / "inbox")
    outcome = nexus("ingest", tmp_path / "lung.h5ad")
    assert outcome.out.endswith("Dataset lung is in the warehouse: 6 cells from 1 files.\n")
    assert (tree(nexus.root / "warehouse"), tree(nexus.root / "ingest"), tree(nexus.root / "inbox")) == before


def test_no_cells_are_counted_as_none(nexus: Nexus) -> None:
    assert nexus("cells", "count").out == "0\n"
    assert nexus("cells", "describe", "--json").json()["cells"] == 0


def test_a_retired_dataset_is_hidden_until_it_is_ingested_again(used: Nexus, tmp_path: Path) -> None:
    assert "say --yes" in used("datasets", "retire", "lung").sentence()
    assert "there are heart, lung" in used("datasets", "retire", "lungs", "--yes").sentence()
    outcome = used("datasets", "retire", "lung", "--yes", "--json").json()
    assert (len(outcome["retired"]), outcome["still_pinned_by"]) == (2, ["all.v1"])
    assert used("cells", "count").out == "4\n"
    assert [row["dataset"] for row in used("datasets", "list", "--json").json()] == ["heart"]
    assert used("datasets", "show", "lung").out.count("retired") == 2
    assert used("datasets", "retire", "lung", "--yes").out == "lung is retired already.\n"
    make_source(6, (1, 2, 3), 1).write_h5ad(tmp_path / "a.h5ad")
    assert used("ingest", tmp_path / "a.h5ad", "--dataset", "lung").code == 0
    assert used("cells", "count").out == "15\n"


def test_trace_leads_from_a_shard_to_the_source(done: Done, finished: Nexus) -> None:
    shards = sorted((done[0] / "extracts/all/v1/extract_files").glob("*.h5ad"))
    sources = {path: anndata.read_h5ad(path) for path in (done[0] / "inbox").rglob("*.h5ad")}
    traced = finished("trace", "all", *map(str, range(15)), "--json").json()
    assert [row["cell"] for row in traced] == [str(cell) for cell in range(15)]
    assert {row["shard"] for row in traced} == {f"extract_files/{shard.name}" for shard in shards}
    for row in traced:
        source = Path(row["source_uri"])
        cell = anndata.read_h5ad(done[0] / "extracts/all/v1" / row["shard"])[row["shard_row"]]
        original = sources[source][row["source_row"]]
        assert (cell.obs_names[0], original.obs_names[0]) == (row["cell"], row["original_id"])
        assert float(cell.X.sum()) == float(original.X.sum())
        assert hashlib.sha256(source.read_bytes()).hexdigest() == row["source_sha256"]
        assert row["ingest_id"].partition("@")[0] == row["dataset"]
        assert len({row["ingest_run"], row["release_run"]} - {None}) == 2
    name = anndata.read_h5ad(shards[1]).obs_names[2]
    assert finished("trace", shards[1], name, "--json").json() == [traced[int(name)]]
    assert "source sha256" in finished("trace", "all.v1", "3").out
    assert "has no cell '15': its cells are called 0 to 14" in finished("trace", "all", "15").sentence()
    assert f"has no cell '0': its cells are called {4} to 7" in finished("trace", shards[1], "0").sentence()


def test_a_copy_of_the_curriculum_can_be_traced_elsewhere(done: Done, nexus: Nexus, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(done[0] / "extracts/all/v1", tmp_path / "copied"))
    shard = copied / "extract_files/extract_000000.h5ad"
    (row,) = nexus("trace", shard, "0", "--json").json()
    assert (row["curriculum"], row["ingest_run"]) == ("all.v1", None)
    (copied / "release.json").unlink()
    assert "has no release" in nexus("trace", shard, "0").sentence()


def test_diff_says_what_a_new_version_would_be(used: Nexus, tmp_path: Path) -> None:
    before = {name: content for name, content in tree(used.root).items() if not name.startswith(".scratch/")}
    same = used("curriculum", "diff", "all", "--json").json()
    assert (same["changed"], same["against"], same["total_cells"], same["bins"]) == (False, "all.v1", [15, 15], [4, 4])
    assert used("curriculum", "diff", "all").out == "A new version would be all.v1 again.\n"
    other = tmp_path / "other.yaml"
    other.write_text(
        "name: all\nbin_size: 3\nobs_columns: [tissue, assay]\nfeatures: mine\n"
        "filter: [{column: tissue, op: eq, value: lung}, {column: donor_id, op: eq, value: donor0}]\n"
    )
    found = used("curriculum", "diff", "all", other, "--json").json()
    kept = int(used("cells", "count", "--where", "tissue == lung", "--where", "donor_id == donor0").out)
    assert found["cells"] == [
        {"dataset": "heart", "added": 0, "removed": 4, "unchanged": 0},
        {"dataset": "lung", "added": 0, "removed": 11 - kept, "unchanged": kept},
    ]
    assert (found["total_cells"], found["bins"]) == ([15, kept], [4, -(-kept // 3)])
    assert (found["obs_columns"]["added"], found["obs_columns"]["removed"]) == (["assay"], ["donor_id"])
    assert found["categories"] == {"tissue": {"added": [], "removed": ["heart"], "unchanged": 1}}
    assert len(found["ingests"]["removed"]) == 1
    assert "ENSG00000000002" in found["features"]["removed"]
    assert found["specification_changed"] == ["filter", "features", "obs_columns", "bin_size"]
    after = {name: content for name, content in tree(used.root).items() if not name.startswith(".scratch/")}
    assert after == before
    assert "cells of heart" in used("curriculum", "diff", "all", other).out
    (tmp_path / "new.yaml").write_text("name: new\n")
    new = used("curriculum", "diff", "new", tmp_path / "new.yaml", "--json").json()
    assert (new["against"], sum(change["added"] for change in new["cells"])) == (None, 15)


def test_purge_lists_first_and_deletes_only_what_is_not_pinned(used: Nexus) -> None:
    used("datasets", "retire", "heart", "--yes")
    pinned = used("purge", "--grace-hours", "0", "--dry-run", "--json").json()
    assert pinned["items"] == []
    assert used("purge", "--yes").out == "nothing to purge\n"
    shutil.rmtree(used.root / "extracts")
    before = tree(used.root / "warehouse")
    listed = used("purge", "--grace-hours", "0", "--dry-run", "--json").json()
    retired = [row for row in listed["items"] if row["reason"] == "retired"]
    assert {row["reason"] for row in listed["items"]} == {"retired", "plots of what is gone"}
    assert {"reason": "retired", "items": 1, "bytes": retired[0]["bytes"]} in listed["by_reason"]
    assert tree(used.root / "warehouse") == before
    refused = used("purge", "--grace-hours", "0")
    assert (refused.code, "say --yes" in refused.err) == (2, True)
    outcome = used("purge", "--grace-hours", "0", "--yes")
    assert outcome.code == 0, outcome
    assert "heart@" in outcome.out
    assert not [name for name in tree(used.root / "warehouse") if "heart@" in name]
    assert [row["dataset"] for row in used("datasets", "list", "--json").json()] == ["lung"]
    assert used("cells", "count").out == "11\n"
    assert (used.root / "inbox/heart/heart.h5ad").exists()
    with DagsterInstance.from_config(str(used.root / "dagster")) as instance:
        (run,) = [run for run in instance.get_runs() if run.job_name == "purge"]
    assert run.status is DagsterRunStatus.SUCCESS
    assert "is negative" in used("purge", "--grace-hours", "-1").sentence()


def test_reports_are_listed_shown_and_exported(nexus: Nexus, tmp_path: Path) -> None:
    assert nexus("reports", "list").out.startswith("no reports yet")
    source = make_source()
    source.obs.index = ["=cmd()", *source.obs.index[1:]]
    source.X[1] = 0
    source.write_h5ad(tmp_path / "lung.h5ad")
    make_source(negative=True).write_h5ad(tmp_path / "bad.h5ad")
    outcome = nexus("ingest", tmp_path / "bad.h5ad", tmp_path / "lung.h5ad", "--validate-only")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith(f"nexus: {tmp_path}/bad.h5ad: ")
    assert outcome.out.endswith("Dataset lung is valid: 6 cells from 1 files.\n")  # for all that
    bad, row = nexus("reports", "list", "--json").json()
    assert (bad["dataset"], bad["status"], bad["files"], bad["refused"]) == ("bad", "refused", 1, 1)
    assert (row["dataset"], row["status"], row["files"], row["refused"]) == ("lung", "valid", 1, 0)
    shown = nexus("reports", "show", "lung", "--json").json()
    assert {item["status"] for item in shown} == {"valid"}
    exported = nexus("reports", "show", "lung", "--csv").out
    assert exported == (nexus.root / "reports/lung/validation_report.csv").read_bytes().decode()
    rows = list(csv.DictReader(exported.splitlines()))
    assert [item["message"] for item in rows] == [item["message"] or "" for item in shown]
    assert "lung.h5ad" in nexus("reports", "show", "lung").out
    assert "there are bad, lung" in nexus("reports", "show", "heart").sentence()
    assert "give one" in nexus("reports", "show", "lung", "--csv", "--json").sentence()


def test_duplicates_are_found_across_datasets(used: Nexus, tmp_path: Path) -> None:
    assert used("cells", "duplicates").out == "no two datasets share a cell\n"
    make_source(6, (1, 2, 3), 1)[2:5, ::-1].copy().write_h5ad(tmp_path / "copy.h5ad")
    assert used("ingest", tmp_path / "copy.h5ad").code == 0
    found = used("cells", "duplicates", "--min-genes", "2", "--json").json()
    (pair,) = [pair for pair in found if (pair["dataset"], pair["other"]) == ("copy", "lung")]
    assert (pair["shared"], pair["cells"], pair["other_cells"]) == (3, 3, 3)
    rows = [(int(one.rpartition(":")[2]), int(other.rpartition(":")[2])) for one, other in pair["examples"]]
    assert rows == [(0, 2), (1, 3), (2, 4)]
    assert "copy" in used("cells", "duplicates", "--min-genes", "2").out


def test_help_and_version(nexus: Nexus) -> None:
    assert "ingest" in nexus("--help").out
    assert nexus("--version").out.startswith("nexus, version ")
    assert nexus("ingest", "-h").code == 0
