"""Secrets that everything ran with are in nothing that is kept, shown or sent: of runs that succeed or fail."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info

from nexus_assets.defs.ops.failure_sensor import run_failure
from tests.nexus_assets.cli.conftest import CANARY, SECRETS, Nexus, Outcome, run_command
from tests.nexus_assets.world import World, failure, make_source


def kept(root: Path) -> Iterator[tuple[str, bytes]]:
    """Return the bytes of every file below a root; of Parquet the text of its columns too, which is compressed."""
    for path in sorted(root.rglob("*")):
        if path.is_file():
            yield path.relative_to(root).as_posix(), path.read_bytes()
            if path.suffix == ".parquet":
                table = pl.read_parquet(path, hive_partitioning=False)
                yield f"{path.relative_to(root)} (text)", str(table.select(pl.col(pl.String)).to_dicts()).encode()


def places(root: Path) -> list[str]:
    return [name for name, content in kept(root) if CANARY.encode() in content]


def test_of_runs_that_succeed(done: tuple[Path, dict[str, Outcome]]) -> None:
    root, said = done
    names = {name.split("/")[0] for name, _ in kept(root)}
    assert {"dagster", "extracts", "ingest", "pipelines", "reports", "tasks", "warehouse"} <= names
    assert places(root) == ["inbox/heart/heart.h5ad"]  # what somebody dropped stays as it is
    assert CANARY not in str(said)
    (release,) = root.glob("extracts/*/v*/release.json")
    shown = json.loads(release.read_text())["citations"]
    assert shown == ["Data at https://***@host.example/a.h5ad?X-Goog-Signature=***&v=1 <b>*of the lab*</b>"]
    with dg.DagsterInstance.from_config(str(root / "dagster")) as instance:
        (event,) = instance.fetch_materializations(dg.AssetKey(["curriculum", "release"]), limit=1).records
        assert event.asset_materialization is not None
        citations = event.asset_materialization.metadata["citations"].value
    assert "\\<b\\>\\*of the lab\\*" in str(citations)


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    """The test above can fail: text in a compressed column is found."""
    pl.DataFrame({"uns": [CANARY]}).write_parquet(tmp_path / "a.parquet", compression="zstd")
    assert CANARY in places(tmp_path)[-1] or places(tmp_path)[-1].endswith("(text)")


def test_of_a_run_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    world = World(tmp_path / "nexus", durable=True)
    world.drop("lung/a", make_source(negative=True))
    result = world.run("ingest_dataset", "lung")
    assert "negative" in failure(result)
    (event,) = [event for event in result.all_events if event.is_run_failure]
    context = dg.build_run_status_sensor_context("run_failure", event, world.instance, result.dagster_run)
    try:
        run_failure(context.for_run_failure())
    except dg.Failure:
        told = serializable_error_info_from_exc_info(sys.exc_info())  # what Dagster keeps of a tick that failed
    assert "did not answer" in told.message
    assert CANARY not in str(told)
    assert places(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("ingest", "https://user:{}@host.example/a.h5ad?X-Goog-Signature={}"),
        ("ingest", "s3://key:{}@bucket/a.h5ad"),
        ("--root", "https://user:{}@host.example/nexus", "datasets", "list"),
        ("schema", "add", "genes", "https://user:{}@host.example/genes.csv"),
        ("curriculum", "build", "https://host.example/spec.yaml?token={}"),
        ("reports", "show", "https://user:{}@host.example"),
        ("cells", "count", "--where", "tissues == https://user:{}@host.example"),
        ("nonsense", "https://user:{}@host.example"),
    ],
)
def test_of_what_somebody_typed(nexus: Nexus, arguments: tuple[str, ...]) -> None:
    given = [word.replace("{}", CANARY) for word in arguments]
    outcome = run_command(given if given[0] == "--root" else ["--root", str(nexus.root), *given])
    assert outcome.code == 2
    assert CANARY not in outcome.out + outcome.err
    assert places(nexus.root) == []


def test_of_settings_that_are_wrong(nexus: Nexus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUS_WEB_ADDRESS", f"ftp://user:{CANARY}@host.example")
    assert "ftp://***@host.example" in nexus("datasets", "list").sentence()


def test_a_terminal_is_not_steered(nexus: Nexus, tmp_path: Path) -> None:
    name = "a\x1b[2J\u202eb"
    outcome = nexus("ingest", tmp_path / f"{name}.h5ad")
    assert "\\x1b[2J\\u202e" in outcome.sentence()
