"""BigQuery when jobs fail: what the service lost is run again, what cannot work is one sentence, nothing is doubled."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from omics_datastore.errors import CorruptionError, InputError, UnavailableError
from omics_datastore.warehouse import bigquery_jobs
from omics_datastore.warehouse.bigquery_errors import LOST_REASONS
from tests.contracts.warehouse_contract import NOON, World, visible, whole
from tests.emulators.bigquery.faulty import FaultyBigQuery, JobFault
from tests.emulators.bigquery.process import BigQueryEmulator
from tests.omics_datastore.warehouse.bigquery_world import emulated_world


@pytest.fixture
def faulty(bigquery_emulator: BigQueryEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyBigQuery]:
    monkeypatch.setattr(bigquery_jobs, "FIRST_PAUSE", 0.01)
    with FaultyBigQuery(bigquery_emulator.rest) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.address)
        yield server


@pytest.fixture
def world(bigquery_emulator: BigQueryEmulator, faulty: FaultyBigQuery) -> Iterator[World]:
    with emulated_world(bigquery_emulator) as made:
        yield made


def submitted(faulty: FaultyBigQuery, action: str) -> list[str]:
    """Return the numbers under which jobs of an action were submitted, each once."""
    return sorted({job.rpartition("_")[2] for job in faulty.jobs if job.startswith(f"nexus_{action}_")})


def test_jobs_that_the_service_loses_are_run_again(world: World, faulty: FaultyBigQuery) -> None:
    """Every kind of job, for every reason, and twice in a row; also when a job had done its work before it was lost."""
    made = world.make()
    reasons = iter(LOST_REASONS * 3)
    jobs = ("load_raw_counts", "load_feature_info", "load_cell_info", "commit_ingest_info")
    faulty.expect(
        *(JobFault("fails", next(reasons), job) for job in (*jobs, *jobs)),
        JobFault("after", next(reasons), "load_raw_counts"),
        JobFault("after", next(reasons), "load_cell_info"),
        JobFault("after", next(reasons), "commit_ingest_info"),
    )
    world.open().load([made.manifest], NOON)
    assert submitted(faulty, "load_raw_counts") == ["0", "1", "2"]
    assert submitted(faulty, "commit_ingest_info") == ["0", "1", "2", "3"]
    assert visible(world.open()) == whole(made)
    totals = world.open().count_totals([made.ingest_id])
    assert totals["raw_counts_rows"].item() == totals["distinct_cells"].item() == made.manifest.cell_count
    faulty.expect(JobFault("fails", matching="retire_ingest_info"), JobFault("after", matching="retire_ingest_info"))
    assert world.open().retire(["lung"], NOON + timedelta(hours=1)) == (made.ingest_id,)
    assert not world.open().ingests()["is_current"].any()


def test_jobs_that_are_lost_too_often_and_jobs_that_cannot_work_are_one_sentence(
    world: World, faulty: FaultyBigQuery
) -> None:
    made = world.make()
    faulty.expect(JobFault("fails", "backendError", "load_cell_info", times=99))
    with pytest.raises(
        UnavailableError, match=r"BigQuery lost the job nexus_load_cell_info.*backendError.*; run again\."
    ):
        world.open().load([made.manifest], NOON)
    assert submitted(faulty, "load_cell_info") == ["0", "1", "2", "3", "4"]
    for reason in ("invalid", "notFound"):
        faulty.expect(JobFault("fails", reason, "load_cell_info"))
        with pytest.raises(
            CorruptionError, match=rf"did not load 1 ingest files into cell_info.*{reason}.*run the ingest"
        ):
            world.open().load([made.manifest], NOON)
    for action in ("load_cell_info", "commit_ingest_info"):
        faulty.expect(JobFault("fails", "quotaExceeded", action))
        with pytest.raises(InputError, match="a quota of project nexus-tests is used up"):
            world.open().load([made.manifest], NOON)
    assert visible(world.open()) == whole()
    faulty.expect()
    world.open().load([made.manifest], NOON)
    assert visible(world.open()) == whole(made)
    assert submitted(faulty, "load_raw_counts") == []  # what the first of them loaded is still there


def test_requests_that_fail_are_made_again_and_what_was_done_is_not_doubled(
    world: World, faulty: FaultyBigQuery
) -> None:
    made = world.make()
    faulty.expect(
        JobFault("request", "rateLimitExceeded", "GET .*/datasets/[^/]*[?]"),
        *(JobFault("request", reason, "load_raw_counts") for reason in ("backendError", "rateLimitExceeded")),
        JobFault("lost", matching="load_feature_info"),
        JobFault("lost", matching="commit_ingest_info"),
    )
    world.open().load([made.manifest], NOON)
    assert [job for job in faulty.jobs if job.startswith("nexus_") and not job.endswith("_0")] == []
    assert sum(job.startswith("nexus_load_feature_info") for job in faulty.jobs) == 2
    assert sum(job.startswith("nexus_commit_ingest_info") for job in faulty.jobs) == 2
    assert visible(world.open()) == whole(made)
    assert world.open().ingests().height == 1
