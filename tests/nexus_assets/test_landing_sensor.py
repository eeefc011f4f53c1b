"""The landing sensor, called as the daemon calls it, over real folders and an instance with runs in it."""

import shutil

import dagster as dg
import pytest

from nexus_assets.landing_state import read_state
from nexus_assets.policy import DROP, REQUESTED_BY
from omics_datastore.ingest.inbox import read_drop
from tests.nexus_assets.landing_daemon import Daemon, asked, load, put, reason
from tests.nexus_assets.world import World, make_source

STARTED = dg.DagsterRunStatus.STARTED


@pytest.fixture(autouse=True)
def no_quiet_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUS_QUIET_SECONDS", "0")


@pytest.fixture
def daemon(world: World) -> Daemon:
    return Daemon(world)


def add_run(world: World, job: str, partition: str, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    run = dg.DagsterRun(job_name=job, status=status, tags={"dagster/partition": partition, **tags})
    world.instance.add_run(run)
    return run


def test_a_new_dataset_starts_one_run_and_shows_its_files(world: World, daemon: Daemon) -> None:
    put(world, "inbox/lung/a.h5ad", "four")
    put(world, "inbox/lung.yaml", "tag: x")
    result = daemon.evaluate()
    (run,) = result.run_requests or []
    drop = read_drop(world.store, "lung")
    assert asked([run]) == [("ingest_dataset", "lung")]
    assert run.tags == {DROP: drop.digest, REQUESTED_BY: "landing_sensor"}
    (event,) = result.asset_events
    assert isinstance(event, dg.AssetMaterialization)
    assert (event.asset_key.to_user_string(), event.partition) == ("ingest/source_files", "lung")
    assert (event.metadata["bytes"].value, event.metadata["configuration"].value) == (4, "inbox/lung.yaml")
    assert asked(daemon.tick()) == [("ingest_dataset", "lung")]
    assert world.instance.get_dynamic_partitions("datasets") == ["lung"]
    assert daemon.tick() == []


def test_the_run_that_is_asked_for_succeeds(world: World, daemon: Daemon) -> None:
    world.drop("lung/a", make_source())
    (request,) = daemon.tick()
    assert world.run("ingest_dataset", request.partition_key, request.tags).success
    assert world.warehouse.ingests().height == 1
    assert daemon.tick() == []


def test_a_changed_file_and_a_changed_sidecar_start_runs_with_other_keys(world: World, daemon: Daemon) -> None:
    keys = []
    for key, content in (("a.h5ad", "1"), ("a.h5ad", "22"), ("lung.yaml", "tag: x"), ("lung.yaml", "tag: xy")):
        put(world, f"inbox/lung/{key}", content)
        (run,) = daemon.tick()
        keys.append(run.run_key)
    assert len(set(keys)) == 4


def test_a_file_that_is_put_back_is_ingested_again(world: World, daemon: Daemon) -> None:
    first = put(world, "inbox/lung.h5ad", "first")
    for number in range(2):
        assert asked(daemon.tick()) == [("ingest_dataset", "lung")]
        load(world, "lung")
        if number == 0:
            shutil.move(first, world.root / "aside")
            put(world, "inbox/lung.h5ad", "second one")
    shutil.move(world.root / "aside", first)
    assert asked(daemon.tick()) == [("ingest_dataset", "lung")]


def test_a_deleted_dataset_starts_nothing_and_is_not_ingested_twice_when_it_returns(
    world: World, daemon: Daemon
) -> None:
    path = put(world, "inbox/lung.h5ad")
    assert asked(daemon.tick()) == [("ingest_dataset", "lung")]
    load(world, "lung")
    shutil.move(path, world.root / "aside")
    assert daemon.tick() == []
    assert read_state(world.instance, daemon.cursor).datasets == {}
    shutil.move(world.root / "aside", path)
    assert daemon.tick() == []


@pytest.mark.parametrize(
    ("status", "starts"),
    [("STARTED", False), ("SUCCESS", False), ("NOT_STARTED", False), ("FAILURE", True), ("CANCELED", True)],
)
def test_a_drop_that_the_command_line_ingests_starts_no_run_unless_that_was_lost(
    world: World, daemon: Daemon, status: str, starts: bool
) -> None:
    put(world, "inbox/lung.h5ad")
    world.instance.add_dynamic_partitions("datasets", ["lung"])
    add_run(world, "ingest_dataset", "lung", dg.DagsterRunStatus[status])
    if status == "SUCCESS":
        load(world, "lung")
    assert bool(daemon.tick()) is starts
    assert daemon.tick() == []


def test_a_drop_that_changes_while_it_is_ingested_is_ingested_again(world: World, daemon: Daemon) -> None:
    put(world, "inbox/lung.h5ad")
    daemon.tick()
    run = add_run(world, "ingest_dataset", "lung", STARTED)
    load(world, "lung")
    put(world, "inbox/lung.h5ad", "another")
    assert f"lung is being ingested by run {run.run_id}" in reason(daemon)
    assert daemon.tick() == []
    world.instance.delete_run(run.run_id)
    assert asked(daemon.tick()) == [("ingest_dataset", "lung")]


def test_a_drop_that_is_only_being_checked_is_looked_at_again(world: World, daemon: Daemon) -> None:
    put(world, "inbox/lung.h5ad")
    run = add_run(world, "validate_dataset", "lung", STARTED)
    assert "being checked" in (daemon.evaluate().skip_reason.skip_message or "")  # type: ignore[union-attr]
    assert daemon.tick() == []
    world.instance.handle_run_event(run.run_id, dg.DagsterEvent("PIPELINE_SUCCESS", "validate_dataset"))
    assert asked(daemon.tick()) == [("ingest_dataset", "lung")]


def test_names_and_configurations_that_are_wrong_are_said_and_block_nothing(world: World, daemon: Daemon) -> None:
    put(world, "inbox/My Lung.h5ad")
    for key in ("two.h5ad", "two.yaml", "two.yml"):
        put(world, f"inbox/{key}")
    (reason,) = [daemon.evaluate().skip_reason]
    assert reason is not None
    assert "'my-lung'" in str(reason.skip_message)
    assert "two configurations" in str(reason.skip_message)
    put(world, "inbox/lung.h5ad")
    assert asked(daemon.tick()) == [("ingest_dataset", "lung")]


def test_a_feature_schema_is_registered(world: World, daemon: Daemon) -> None:
    put(world, "feature_schemas/genes.csv", "ensembl_id\nENSG00000000001\n")
    assert asked(daemon.tick()) == [("register_feature_schema", "genes")]
    assert world.instance.get_dynamic_partitions("feature_schemas") == ["genes"]
    assert daemon.tick() == []


def test_a_tick_that_is_repeated_after_a_crash_asks_under_the_same_keys(world: World, daemon: Daemon) -> None:
    put(world, "inbox/lung.h5ad")
    assert [run.run_key for run in daemon.evaluate().run_requests or []] == [run.run_key for run in daemon.tick()]


def test_an_inbox_that_cannot_be_listed_fails_the_tick_and_loses_no_place(world: World, daemon: Daemon) -> None:
    path = put(world, "inbox/lung.h5ad")
    daemon.tick()
    place = daemon.cursor
    shutil.move(path.parent, world.root / "aside")
    put(world, "inbox", "a file where the folder should be")
    with pytest.raises(NotADirectoryError):
        daemon.tick()
    assert daemon.cursor == place
    (world.root / "inbox").unlink()
    shutil.move(world.root / "aside", path.parent)
    assert daemon.tick() == []


class TestCurricula:
    """Specifications: built when the data is in, once, whoever builds them."""

    SPECIFICATION = "name: all\nbin_size: 4\nobs_columns: [tissue]\n"

    @pytest.fixture
    def world(self, world: World) -> World:
        world.ingest("lung", a=make_source())
        load(world, "lung")
        shutil.rmtree(world.root / "inbox")
        for run in world.instance.get_runs():
            world.instance.delete_run(run.run_id)
        return world

    def test_it_is_built_and_complete_after_that(self, world: World, daemon: Daemon) -> None:
        put(world, "curricula/all.yaml", self.SPECIFICATION)
        (request,) = daemon.tick()
        assert asked([request]) == [("build_curriculum", "all.v1")]
        assert world.run("build_curriculum", request.partition_key, request.tags).success
        put(world, "curricula/all.yaml", f"{self.SPECIFICATION}\n\n")
        assert "all.v1 is complete" in reason(daemon)
        assert daemon.tick() == []
        assert daemon.tick() == []
        assert "nothing new" in reason(daemon)

    def test_it_waits_while_datasets_land(self, world: World, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
        put(world, "curricula/all.yaml", self.SPECIFICATION)
        put(world, "inbox/heart.h5ad")
        assert asked(daemon.tick()) == [("ingest_dataset", "heart")]
        assert asked(daemon.tick()) == [("build_curriculum", "all.v1")]
        put(world, "curricula/all.yaml", f"{self.SPECIFICATION}\n")
        put(world, "inbox/heart.h5ad", "still being written")
        monkeypatch.setenv("NEXUS_QUIET_SECONDS", "1000")
        assert "datasets are landing" in reason(daemon) or "still being written: heart" in reason(daemon)
        assert daemon.tick() == []

    @pytest.mark.parametrize("status", ["NOT_STARTED", "STARTED", "CANCELING"])
    def test_it_waits_while_an_ingest_runs(self, world: World, daemon: Daemon, status: str) -> None:
        run = add_run(world, "ingest_dataset", "heart", dg.DagsterRunStatus[status])
        put(world, "curricula/all.yaml", self.SPECIFICATION)
        assert reason(daemon) == "curricula wait: an ingest is running"
        assert daemon.tick() == []
        world.instance.delete_run(run.run_id)
        assert asked(daemon.tick()) == [("build_curriculum", "all.v1")]

    def test_it_is_not_built_twice_at_once(self, world: World, daemon: Daemon) -> None:
        run = add_run(world, "build_curriculum", "all.v1", STARTED)
        add_run(world, "build_curriculum", "other.v1", STARTED)
        put(world, "curricula/all.yaml", self.SPECIFICATION)
        assert reason(daemon) == f"all.v1 is being built by run {run.run_id}"
        assert daemon.tick() == []
        world.instance.delete_run(run.run_id)  # it failed, say: then it is the sensor's turn
        assert asked(daemon.tick()) == [("build_curriculum", "all.v1")]

    @pytest.mark.parametrize(
        ("broken", "said"),
        [
            ("name: [", "is not YAML"),
            ("bin_sizes: 3", "bin_sizes is not a known key"),
            ("filter: [{column: tissue, op: eq, value: brain}]", "selects no cell"),
            ("features: nowhere", "there is no feature schema nowhere"),
            ("name: other", "holds the specification of other"),
        ],
    )
    def test_one_that_is_wrong_blocks_no_other_and_is_tried_again(
        self, world: World, daemon: Daemon, broken: str, said: str
    ) -> None:
        put(world, "curricula/aaa.yaml", broken if "name" in broken else f"name: aaa\n{broken}")
        assert said in reason(daemon)
        put(world, "curricula/all.yaml", self.SPECIFICATION)
        assert asked(daemon.tick()) == [("build_curriculum", "all.v1")]
        assert said in reason(daemon)
        put(world, "curricula/aaa.yaml", "name: aaa")
        assert asked(daemon.tick()) == [("build_curriculum", "aaa.v1")]

    def test_a_release_that_is_damaged_blocks_no_other(self, world: World, daemon: Daemon) -> None:
        put(world, "curricula/all.yaml", self.SPECIFICATION)
        (request,) = daemon.tick()
        assert world.run("build_curriculum", request.partition_key).success
        put(world, "extracts/all/v1/release.json", "{}")
        put(world, "curricula/all.yaml", f"{self.SPECIFICATION}\n")
        put(world, "curricula/more.yaml", self.SPECIFICATION.replace("all", "more"))
        result = daemon.evaluate()
        assert asked(list(result.run_requests or [])) == [("build_curriculum", "more.v1")]
