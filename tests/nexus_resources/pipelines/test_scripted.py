"""States a laptop never shows, told to the base class by the fake; and the fake's own calling of components."""

from dataclasses import replace

import pytest

from nexus_resources.pipelines.errors import PipelineCancelledError, PipelineFailedError, PipelineRetryableError
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.observer import PipelineObserver
from nexus_resources.pipelines.runner import Polling
from nexus_resources.pipelines.scripted import Attempt, Look, ScriptedPipelines
from nexus_resources.pipelines.states import JobStatus, PipelineState, TaskState, format_tasks

S = PipelineState


def _job(pipeline: str = "p", **parameters: object) -> PipelineJob:
    return PipelineJob(pipeline, "spec", parameters, JobIdentity("run", "step"))


def _script(*states: PipelineState, **rest: object) -> Attempt:
    return Attempt([Look(state) for state in states], **rest)  # type: ignore[arg-type]


def test_a_paused_job_is_no_success_and_is_found_again() -> None:
    attempt = _script(S.RUNNING, S.PAUSED, S.RUNNING, S.SUCCEEDED)
    runner = ScriptedPipelines({"p": [attempt]})
    with pytest.raises(PipelineFailedError, match="is paused: resume or cancel it") as caught:
        runner.run(_job())
    assert not caught.value.retryable
    result = runner.run(_job())
    assert (result.job_id, result.how) == (_job().job_id(1), "attached")


def test_a_cancelled_job_is_no_success() -> None:
    with pytest.raises(PipelineCancelledError):
        ScriptedPipelines({"p": [_script(S.RUNNING, S.CANCELLING, S.CANCELLED)]}).run(_job())


def test_a_job_found_cancelling_is_waited_for_and_followed_by_the_next_attempt() -> None:
    runner = ScriptedPipelines(
        {"p": [_script(S.RUNNING, S.CANCELLING, S.CANCELLING, S.CANCELLED), _script(S.SUCCEEDED)]}
    )
    runner._create(_job().job_id(1), _job())
    runner._get(_job().job_id(1))
    assert runner.run(_job()).job_id == _job().job_id(2)


def test_a_clock_that_is_ahead_of_the_place_takes_no_job_for_slow() -> None:
    class Behind(ScriptedPipelines):
        def _get(self, job_id: str) -> JobStatus | None:
            status = super()._get(job_id)
            return status and replace(status, created=(status.created or 0.0) - 7200)

    job = replace(_job(), timeout_seconds=3600.0)
    result = Behind({"p": [_script(S.RUNNING, S.RUNNING, S.SUCCEEDED)]}).run(job)
    assert (result.job_id, result.how) == (job.job_id(1), "submitted")


def test_an_unknown_state_is_waited_out() -> None:
    assert ScriptedPipelines({"p": [_script(S.UNSPECIFIED, S.QUEUED, S.SUCCEEDED)]}).run(_job()).how == "submitted"


def test_a_lost_job_may_be_tried_again() -> None:
    attempt = _script(S.RUNNING, S.FAILED, error="quota", failure="retryable")
    with pytest.raises(PipelineRetryableError, match="quota"):
        ScriptedPipelines({"p": [attempt]}).run(_job())


def test_a_job_that_is_deleted_meanwhile_may_be_tried_again() -> None:
    class Deleting(PipelineObserver):
        def state_changed(self, status: JobStatus) -> None:  # noqa: ARG002
            runner.jobs.clear()

    runner = ScriptedPipelines({"p": [_script(S.RUNNING)]})
    with pytest.raises(PipelineRetryableError, match="the job was deleted"):
        runner.run(_job(), Deleting())


def test_a_service_that_never_answers_is_given_up() -> None:
    from nexus_resources.pipelines.errors import TransientServiceError

    runner = ScriptedPipelines({"p": [Attempt([Look(transient=True)])]}, polling=Polling(0.0, 0.0, patience=3))
    with pytest.raises(TransientServiceError):
        runner.run(_job())
    assert runner.jobs[_job().job_id(1)].looked == 4


def test_components_are_called_in_the_order_of_the_pipeline() -> None:
    called: list[tuple[str, str, str]] = []
    components = {
        name: lambda root, key, name=name: called.append((name, root, key))
        for name in ("create_ingest_files_job", "ingest_data_to_bigquery_job")
    }
    job = _job("ingest_data_pipeline", root="/data", create_config_keys=["a", "b"], load_config_key="c")
    result = ScriptedPipelines(components=components).run(job)
    assert called == [
        ("create_ingest_files_job", "/data", "a"),
        ("create_ingest_files_job", "/data", "b"),
        ("ingest_data_to_bigquery_job", "/data", "c"),
    ]
    assert [task.state for task in result.tasks] == [TaskState.SUCCEEDED] * 3


def test_a_component_that_raises_fails_its_task_and_ends_the_pipeline() -> None:
    def fail(root: str, key: str) -> None:
        raise ValueError(key)

    job = _job("ingest_data_pipeline", root="/data", create_config_keys=["a", "b"])
    with pytest.raises(PipelineFailedError) as caught:
        ScriptedPipelines(components={"create_ingest_files_job": fail}).run(job)
    assert caught.value.log_tail[-1] == "ValueError: a"
    assert [task.state for task in caught.value.status.tasks] == [TaskState.FAILED]
    assert "create_ingest_files_job[0]  failed" in format_tasks(caught.value.status.tasks)


def test_delays_grow_from_the_first_to_the_last() -> None:
    polling = Polling(5.0, 60.0)
    delays = [polling.delay(looks) for looks in range(200)]
    assert 4.0 <= delays[0] <= 6.0
    assert all(48.0 <= delay <= 72.0 for delay in delays[10:])
    assert len(set(delays)) > 150
