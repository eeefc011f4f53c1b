"""A pipeline job under an asset: retried, adopted, cancelled with its run, left alone by a mere interrupt."""

from collections.abc import Callable
from typing import Literal

import dagster as dg
import pytest
from dagster import DagsterExecutionInterruptedError

from kfp_components.results import write_failure
from nexus_assets.instance_id import instance_id
from nexus_assets.partitions import DATASETS, add_partition
from nexus_assets.pipeline_run import run_pipeline
from nexus_assets.policy import DRY_RUN, PIPELINE_JOB, PIPELINE_LINK
from nexus_assets.run_metadata import METADATA_JOB
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.observer import PipelineObserver
from nexus_resources.pipelines.resource import LocalPipelinesResource, PipelinesResource
from nexus_resources.pipelines.runner import Polling
from nexus_resources.pipelines.scripted import Attempt, Look, ScriptedJob, ScriptedPipelines
from nexus_resources.pipelines.states import JobStatus, PipelineState, TaskState
from omics_datastore.errors import InputError
from tests.nexus_assets.test_build_curriculum import assert_equals, read_shards
from tests.nexus_assets.world import COMPONENTS, InProcessPipelines, World, failure, make_source, materialized

PIPELINE = "ingest_data_pipeline"
INGEST = [dg.AssetKey(["ingest", name]) for name in ("validation_report", "ingest_files")]
RUNNING = Attempt([Look()])


class Interrupt(PipelineObserver):
    """Interrupt the process as Dagster does when it gets a signal, once the job was seen running."""

    def __init__(self, before: Callable[[], None]) -> None:
        self._before = before

    def state_changed(self, status: JobStatus) -> None:  # noqa: ARG002
        self._before()
        raise DagsterExecutionInterruptedError


def only_run(world: World) -> dg.DagsterRun:
    (run,) = world.instance.get_runs()
    return run


def interrupt(world: World, before: Callable[[], None]) -> ScriptedJob:
    runner = ScriptedPipelines({PIPELINE: [RUNNING]})
    world.use(runner, [Interrupt(before)])
    world.drop("lung/a")
    assert "DagsterExecutionInterruptedError" in failure(world.run("ingest_dataset", "lung"))
    (job,) = runner.jobs.values()
    return job


def test_cancelling_the_run_cancels_the_job(world: World) -> None:
    assert interrupt(world, lambda: world.instance.report_run_canceling(only_run(world))).cancelled


def test_a_mere_interrupt_leaves_the_job_running(world: World) -> None:
    assert not interrupt(world, lambda: None).cancelled


def test_the_job_is_named_on_the_run_and_in_its_log(world: World) -> None:
    result = world.ingest("lung", a=make_source())
    made = materialized(result)["ingest/ingest_files"]
    job_id = made[METADATA_JOB]
    assert made["pipeline_link"] == f"scripted:{job_id}"
    assert made["cells_per_second"] > 0
    assert job_id.startswith("nexus-ingest-data-pipeline-")
    assert only_run(world).tags[PIPELINE_JOB] == job_id
    assert only_run(world).tags[PIPELINE_LINK] == f"scripted:{job_id}"
    records = world.instance.all_logs(result.run_id)
    messages = [record.user_message for record in records]
    assert f"Pipeline job {job_id} submitted: scripted:{job_id}" in messages
    assert "Task create_ingest_files_job[0] is succeeded." in messages
    assert any(f"Tasks of pipeline job {job_id}:\ntask  " in (message or "") for message in messages)


@pytest.mark.parametrize(("kind", "attempts"), [("retryable", 2), ("permanent", 1)])
def test_a_lost_job_may_be_retried_and_a_broken_one_not(
    world: World, kind: Literal["retryable", "permanent"], attempts: int
) -> None:
    looks = [Look(tasks={"create": TaskState.RUNNING}), Look(PipelineState.FAILED, {"create": TaskState.FAILED})]
    attempt = Attempt(looks, error="quota", failure=kind, log=("the last line",))
    runner = ScriptedPipelines({"any": [attempt]})
    message = failure(run_with_retries(world, runner, PipelineJob("any", "{}", {}, JobIdentity("run", "step"))))
    assert "quota" in message
    assert "the last line" in message
    assert len(runner.jobs) == attempts


def test_the_pipelines_say_how_often_a_lost_job_is_submitted_again(world: World) -> None:
    lost = Attempt([Look(PipelineState.FAILED)], error="quota", failure="retryable")
    runner = ScriptedPipelines({PIPELINE: [lost, lost, RUNNING]})
    world.pipelines = InProcessPipelines(world=str(world.root), lost_job_retries=1, retry_seconds=0.0)
    world.use(runner)
    world.drop("lung/a")
    result = world.run("ingest_dataset", "lung", asset_selection=INGEST)
    assert not result.success
    assert len(runner.jobs) == 2
    assert "Tried again in 0 seconds: Pipeline job" in _log(world, result.run_id)


def test_a_service_that_does_not_answer_is_asked_again_for_the_same_job(world: World) -> None:
    silent = Attempt([*[Look(transient=True)] * 10, Look(), Look(PipelineState.FAILED)], error="broken")
    runner = ScriptedPipelines({PIPELINE: [silent]}, polling=Polling(0.0, 0.0, patience=3))
    world.pipelines = InProcessPipelines(world=str(world.root), lost_job_retries=5, retry_seconds=0.0)
    world.use(runner)
    world.drop("lung/a")
    assert "broken" in failure(world.run("ingest_dataset", "lung", asset_selection=INGEST))
    assert len(runner.jobs) == 1


def test_a_dry_run_shows_the_request_and_submits_nothing(world: World) -> None:
    runner = ScriptedPipelines({PIPELINE: [RUNNING]})
    world.use(runner)
    world.drop("lung/a")
    result = world.run("ingest_dataset", "lung", {DRY_RUN: "yes"}, asset_selection=INGEST)
    assert not runner.jobs
    (event,) = [event for event in result.all_events if event.is_step_failure]
    shown = event.step_failure_data.user_failure_data
    assert shown is not None
    request = shown.metadata["request"].value
    assert isinstance(request, dict)
    assert request["parameters"]["root"] == str(world.root)
    assert request["labels"] == {
        "nexus-instance": instance_id(world.instance),
        "nexus-partition": "lung",
        "nexus-root-run": result.run_id,
        "nexus-run": result.run_id,
        "nexus-step": "ingest",
    }


def test_what_a_task_refuses_is_its_own_sentence_without_retries(world: World) -> None:
    def refuse(job: PipelineJob) -> None:
        write_failure(world.store, "result.json", InputError("a.h5ad is not what it should be."))

    runner = ScriptedPipelines({"any": [Attempt([Look(PipelineState.FAILED)], error="failed", on_create=refuse)]})
    job = PipelineJob("any", "{}", {}, JobIdentity("run", "step"), store=world.store, result_keys=("result.json",))
    assert failure(run_with_retries(world, runner, job)) == "a.h5ad is not what it should be."
    assert len(runner.jobs) == 1


def test_a_run_executed_again_adopts_the_job_that_succeeded(world: World) -> None:
    # The first run loses its process after the job succeeded and before the asset was recorded.
    runner = ScriptedPipelines(components=COMPONENTS)
    world.drop("lung/a")
    world.use(runner, [_DieWhenDone()])
    assert not world.run("ingest_dataset", "lung", asset_selection=INGEST).success
    first = only_run(world)
    world.use(runner)
    again = {"dagster/parent_run_id": first.run_id, "dagster/root_run_id": first.run_id}
    result = _run_again(world, again)
    assert len(runner.jobs) == 1
    made = materialized(result)["ingest/ingest_files"]
    assert made[METADATA_JOB] in runner.jobs
    assert "cells_per_second" not in made  # nobody knows how long the job took
    assert "adopted" in _log(world, result.run_id)
    # What a materialization names already is not adopted a second time: somebody asks for new work.
    _run_again(world, again)
    assert len(runner.jobs) == 2


def test_a_run_executed_again_reads_a_file_that_was_mended_meanwhile(world: World) -> None:
    runner = ScriptedPipelines(components=COMPONENTS)
    world.use(runner)
    world.drop("lung/a", make_source(negative=True))
    refused = world.run("ingest_dataset", "lung", asset_selection=INGEST)
    assert "negative" in failure(refused)
    first = only_run(world)
    world.drop("lung/a", make_source())
    result = _run_again(world, {"dagster/parent_run_id": first.run_id, "dagster/root_run_id": first.run_id})
    assert materialized(result)["ingest/validation_report"]["refused_files"] == 0
    assert len(runner.jobs) == 2


def test_the_whole_way_with_child_processes(tmp_path_factory: pytest.TempPathFactory) -> None:
    world = World(tmp_path_factory.mktemp("local") / "nexus")
    world.pipelines = LocalPipelinesResource(folder=str(world.root / "pipelines"), bins_per_group=1)
    first, second = make_source(6, (1, 2, 3), 1), make_source(5, (2, 3, 4, 5), 2)
    world.ingest("lung", a=first, b=second)
    _, result = world.build()
    assert result.success, failure(result)
    assert assert_equals(read_shards(world), [first, second]) == 11
    job = materialized(result)["curriculum/extract"][METADATA_JOB]
    assert (world.root / "pipelines" / job / "log.txt").exists()


class _DieWhenDone(PipelineObserver):
    def state_changed(self, status: JobStatus) -> None:
        if status.state is PipelineState.SUCCEEDED:
            raise DagsterExecutionInterruptedError


def _run_again(world: World, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
    """Execute a run again as Dagster's launcher does: a new run with the root of the first."""
    job = world.definitions().resolve_job_def("ingest_dataset").get_subset(asset_selection=set(INGEST))
    root = tags["dagster/root_run_id"]
    run = world.instance.create_run_for_job(
        job, tags={"dagster/partition": "lung", **tags}, root_run_id=root, parent_run_id=root
    )
    from dagster._core.definitions.job_base import InMemoryJob
    from dagster._core.execution.api import execute_run

    outcome = execute_run(InMemoryJob(job), run, world.instance)
    assert outcome.success
    return outcome  # type: ignore[return-value]


def _log(world: World, run_id: str) -> str:
    return "\n".join(record.user_message or "" for record in world.instance.all_logs(run_id))


def run_with_retries(world: World, runner: ScriptedPipelines, job: PipelineJob) -> dg.ExecuteInProcessResult:
    """Run a job under an asset that is tried again once where Dagster may."""
    world.use(runner)
    add_partition(world.instance, DATASETS, "lung")

    @dg.asset(partitions_def=DATASETS, retry_policy=dg.RetryPolicy(max_retries=1))
    def retried(context: dg.AssetExecutionContext, pipelines: PipelinesResource) -> None:
        run_pipeline(context, pipelines, job, ["retried"])

    return dg.materialize(
        [retried], instance=world.instance, partition_key="lung", resources=world.resources, raise_on_error=False
    )
