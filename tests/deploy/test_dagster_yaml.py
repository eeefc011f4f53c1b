"""``deploy/dagster.yaml``: loaded by Dagster, over a real PostgreSQL, with runs executed and read back through it."""

import time
from collections.abc import Callable, Iterator

import dagster as dg
import psycopg2
import pytest
from dagster._check import CheckError
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.launcher.base import WorkerStatus
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._core.storage.compute_log_manager import ComputeIOType
from dagster._core.workspace.context import BaseWorkspaceRequestContext

from nexus_resources.cloud_run_launcher import EXECUTION, CloudRunError, CloudRunLauncher
from nexus_resources.run_coordinator import RequestedByRunCoordinator
from omics_datastore.errors import InputError
from tests.deploy import sample_location
from tests.deploy.conftest import JOB, Production
from tests.deploy.postgres_server import DATABASE, USER

WITHOUT_WORKSPACE: BaseWorkspaceRequestContext = None  # type: ignore[assignment]
"""The launcher needs none: the command of a run names its code."""


@pytest.fixture
def instance(production: Production) -> Iterator[dg.DagsterInstance]:
    with production.open_instance() as opened:
        yield opened


def _create(instance: dg.DagsterInstance, name: str) -> dg.DagsterRun:
    job = dg.reconstructable(getattr(sample_location, name))
    return instance.create_run_for_job(job.get_definition(), job_code_origin=job.get_python_origin())


def _wait(instance: dg.DagsterInstance, run_id: str, until: Callable[[dg.DagsterRun], bool]) -> dg.DagsterRun:
    end = time.monotonic() + 90
    while True:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        if until(run):
            return run
        assert time.monotonic() < end, f"{run.status}: {_messages(instance, run_id)}"
        time.sleep(0.1)


def _messages(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [entry.user_message for entry in instance.all_logs(run_id)]


def test_what_the_file_says(instance: dg.DagsterInstance) -> None:
    for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
        assert type(storage).__name__.startswith("Postgres")
        assert storage.postgres_url.startswith(f"postgresql+psycopg2://{USER}:")  # type: ignore[union-attr]
    assert isinstance(instance.run_launcher, CloudRunLauncher)
    assert instance.run_launcher.job == JOB
    assert isinstance(instance.run_coordinator, RequestedByRunCoordinator)
    assert type(instance.compute_log_manager).__name__ == "GCSComputeLogManager"
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] == 180
    assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 3)
    assert not instance.run_retries_retry_on_asset_or_op_failure
    assert not instance.nux_enabled
    assert not instance.telemetry_enabled
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_concurrent_runs == 25
    assert queue.tag_concurrency_limits is not None


def test_a_run_in_a_cloud_run_execution(instance: dg.DagsterInstance, production: Production) -> None:
    run = _create(instance, "ends")
    production.cloud_run.refuse_next = [429]
    instance.launch_run(run.run_id, WITHOUT_WORKSPACE)
    words = production.cloud_run.arguments[-1]
    assert words[:2] == ["api", "execute_run"]
    assert production.postgres.password not in " ".join(words)

    with production.open_instance() as other:
        done = _wait(other, run.run_id, lambda seen: seen.is_finished)
        assert done.status == dg.DagsterRunStatus.SUCCESS
        assert done.tags[EXECUTION].startswith(f"{JOB}/executions/")
        assert "computing" in _messages(other, run.run_id)
        outputs = other.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.LOGS_CAPTURED).records
        captured = outputs[0].event_log_entry.get_dagster_event().logs_captured_data
        key = [run.run_id, "compute_logs", captured.file_key]
        written = other.compute_log_manager.get_log_data_for_type(key, ComputeIOType.STDOUT, 0, None)
        assert "printed by the op" in str(written)
        production.cloud_run.processes[done.tags[EXECUTION]].wait(30)
        assert _health(other, done) == WorkerStatus.SUCCESS


def test_a_terminated_run_ends_by_its_own_hand(instance: dg.DagsterInstance) -> None:
    run = _create(instance, "waits")
    assert not instance.run_launcher.terminate(run.run_id)
    instance.launch_run(run.run_id, WITHOUT_WORKSPACE)
    started = _wait(instance, run.run_id, lambda _: sample_location.WAITING in _messages(instance, run.run_id))
    assert _health(instance, started) == WorkerStatus.RUNNING
    assert instance.run_launcher.terminate(run.run_id)
    done = _wait(instance, run.run_id, lambda seen: seen.is_finished)
    assert done.status == dg.DagsterRunStatus.CANCELED
    # It was CANCELING before it was told to end: that is how a step knows to cancel its pipeline job.
    events = [entry.dagster_event.event_type_value for entry in instance.all_logs(run.run_id) if entry.dagster_event]
    assert [name for name in events if "CANCEL" in name] == ["PIPELINE_CANCELING", "PIPELINE_CANCELED"]
    assert not instance.run_launcher.terminate(run.run_id)


def test_a_lost_worker_is_seen(instance: dg.DagsterInstance, production: Production) -> None:
    run = _create(instance, "waits")
    assert _health(instance, run) == WorkerStatus.UNKNOWN
    instance.launch_run(run.run_id, WITHOUT_WORKSPACE)
    started = _wait(instance, run.run_id, lambda seen: EXECUTION in seen.tags)
    production.cloud_run.processes[started.tags[EXECUTION]].kill()
    production.cloud_run.processes[started.tags[EXECUTION]].wait()
    assert _health(instance, started) == WorkerStatus.FAILED
    production.cloud_run.refuse_next = [500]
    assert _health(instance, started) == WorkerStatus.UNKNOWN
    instance.add_run_tags(run.run_id, {EXECUTION: f"{JOB}/executions/run-that-is-not"})
    assert _health(instance, _wait(instance, run.run_id, lambda _: True)) == WorkerStatus.NOT_FOUND


def test_a_refused_launch_fails_the_run_with_the_reason(instance: dg.DagsterInstance, production: Production) -> None:
    run = _create(instance, "ends")
    production.cloud_run.refuse_next = [403]
    with pytest.raises(CloudRunError, match="403 asked to refuse"):
        instance.launch_run(run.run_id, WITHOUT_WORKSPACE)
    assert _wait(instance, run.run_id, lambda _: True).status == dg.DagsterRunStatus.FAILURE
    assert any("Cloud Run refused POST" in str(entry.dagster_event) for entry in instance.all_logs(run.run_id))


@pytest.mark.parametrize("job", ["", "nexus-run", "projects/p/locations/r/services/j", "projects/p/locations//jobs/j"])
def test_a_job_that_is_not_one_is_refused(job: str) -> None:
    with pytest.raises(InputError, match="not a Cloud Run job"):
        CloudRunLauncher(job)


def test_schedules_pools_and_events_are_tables(instance: dg.DagsterInstance, production: Production) -> None:
    instance.event_log_storage.set_concurrency_slots("warehouse", 3)
    tick = TickData(
        "origin", "nightly", InstigatorType.SCHEDULE, TickStatus.SUCCESS, time.time(), run_ids=[], selector_id="s"
    )
    instance.create_tick(tick)
    with production.open_instance() as other:
        assert other.event_log_storage.get_concurrency_info("warehouse").slot_count == 3
        assert [seen.instigator_name for seen in other.get_ticks("origin", "s")] == ["nightly"]
    login = {"user": USER, "password": production.postgres.password, "dbname": DATABASE}
    connection = psycopg2.connect(host="127.0.0.1", port=production.postgres.port, **login)
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        tables = {name for (name,) in cursor.fetchall()}
    connection.close()
    assert {
        "runs",
        "run_tags",
        "event_logs",
        "job_ticks",
        "instigators",
        "concurrency_slots",
        "daemon_heartbeats",
    } <= tables
    assert {"bulk_actions", "asset_keys", "dynamic_partitions", "alembic_version"} <= tables


def test_a_wrong_bucket_stops_the_instance(production: Production, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_LOG_BUCKET", f"not-{production.bucket}")
    with pytest.raises(CheckError, match="Invariant failed"):
        _ = production.open_instance().compute_log_manager


def _health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    return instance.run_launcher.check_run_worker_health(run).status
