"""The contract of a pipeline runner, for every runner (see conftest.py)."""

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from nexus_resources.pipelines.errors import (
    PipelineCancelledError,
    PipelineFailedError,
    PipelineInputError,
    PipelineRetryableError,
    PipelineTimeoutError,
)
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.observer import PipelineObserver
from nexus_resources.pipelines.runner import PipelineRunner
from nexus_resources.pipelines.states import PipelineState, TaskState
from omics_datastore.errors import InputError


class Background:
    """A run in a thread, and what it raised."""

    def __init__(self, runner: PipelineRunner, job: PipelineJob, observer: PipelineObserver) -> None:
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(runner, job, observer))
        self._thread.start()

    def _run(self, runner: PipelineRunner, job: PipelineJob, observer: PipelineObserver) -> None:
        try:
            runner.run(job, observer)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def join(self) -> Exception | None:
        self._thread.join(1800 if os.environ.get("NEXUS_TEST_GCP") == "1" else 30)
        assert not self._thread.is_alive()
        return self.error


def test_a_job_that_succeeds_tells_its_id_first_and_each_change_once(place: Any, recorder: Any) -> None:
    runner = place.runner()
    result = runner.run(place.job("ok", "ok"), recorder)
    assert result.how == "submitted"
    assert result.job_id == place.job("ok", "ok").job_id(1)
    assert recorder.events[0] == ("submitted", (result.job_id, runner.link(result.job_id), "submitted"))
    assert recorder.of("state")[-1] is PipelineState.SUCCEEDED
    assert len(set(recorder.of("state"))) == len(recorder.of("state"))
    assert len(set(recorder.of("task"))) == len(recorder.of("task"))
    assert {task.name: task.state for task in result.tasks} == {
        "act_job[0]": TaskState.SUCCEEDED,
        "act_job[1]": TaskState.SUCCEEDED,
    }


def test_asking_again_adopts_what_succeeded_unless_it_was_used(place: Any, recorder: Any) -> None:
    job = place.job("ok")
    first = place.runner().run(job)
    again = place.runner().run(job, recorder)
    assert (again.job_id, again.how) == (first.job_id, "adopted")
    assert recorder.of("submitted")[0][2] == "adopted"
    third = place.runner().run(job, consumed_ids={first.job_id})
    assert (third.job_id, third.how) == (job.job_id(2), "submitted")


def test_another_request_is_another_job(place: Any) -> None:
    first = place.runner().run(place.job("ok"))
    other = place.runner().run(place.job("ok", identity=JobIdentity("run-2", "step", "lung")))
    assert other.how == "submitted"
    assert other.job_id != first.job_id


def test_a_failure_names_the_job_its_tasks_and_the_last_lines_of_the_failing_task(place: Any, recorder: Any) -> None:
    job = place.job("fail")
    runner = place.runner()
    with pytest.raises(PipelineFailedError) as caught:
        runner.run(job, recorder)
    error = caught.value
    assert not error.retryable
    assert error.job_id == job.job_id(1)
    assert "RuntimeError: it does not work" in error.log_tail[-1]
    for part in (job.job_id(1), runner.link(job.job_id(1)), "act_job[0]  failed", "RuntimeError: it does not work"):
        assert part in str(error)
    assert recorder.of("task")[-1] == ("act_job[0]", TaskState.FAILED)


def test_after_a_failure_comes_the_next_attempt(place: Any) -> None:
    job = place.job("fail/ok")
    with pytest.raises(PipelineFailedError):
        place.runner().run(job)
    assert place.runner().run(job).job_id == job.job_id(2)


def test_a_refused_input_comes_out_as_its_sentence(place: Any, sentence: str) -> None:
    job = place.job("refuse")
    with pytest.raises(InputError) as caught:
        place.runner().run(job)
    assert str(caught.value) == sentence
    assert isinstance(caught.value, PipelineInputError)
    assert caught.value.job_id == job.job_id(1)


def test_what_an_earlier_attempt_refused_is_not_said_again(place: Any) -> None:
    job = place.job("refuse/fail")
    with pytest.raises(PipelineInputError):
        place.runner().run(job)
    with pytest.raises(PipelineFailedError) as caught:
        place.runner().run(job)
    assert caught.value.job_id == job.job_id(2)


def test_a_killed_task_may_be_tried_again(place: Any) -> None:
    with pytest.raises(PipelineRetryableError) as caught:
        place.runner().run(place.job("die"))
    assert caught.value.retryable


def test_a_second_caller_attaches_and_cancelling_ends_both(place: Any, make_recorder: Callable[[], Any]) -> None:
    job = place.job("sleep/ok")
    one, two = make_recorder(), make_recorder()
    first = Background(place.runner(), job, one)
    one.wait_for("task")
    second = Background(place.runner(), job, two)
    two.wait_for("task")
    place.wait_until_asleep()
    assert two.of("submitted")[0][2] == "attached"
    assert two.of("submitted")[0][0] == one.of("submitted")[0][0]

    assert place.runner().cancel(job.job_id(1)) is PipelineState.CANCELLED
    assert isinstance(first.join(), PipelineCancelledError)
    assert isinstance(second.join(), PipelineCancelledError)
    assert one.of("task")[-1] == ("act_job[0]", TaskState.CANCELLED)
    assert place.runner().run(job).job_id == job.job_id(2)


def test_of_two_that_ask_at_once_one_submits(place: Any, make_recorder: Callable[[], Any]) -> None:
    job = place.job("sleep")
    recorders = [make_recorder(), make_recorder()]
    runs = [Background(place.runner(), job, recorder) for recorder in recorders]
    for recorder in recorders:
        recorder.wait_for("task")
    place.runner().cancel(job.job_id(1))
    assert [type(run.join()) for run in runs] == [PipelineCancelledError] * 2
    submitted = [recorder.of("submitted")[0] for recorder in recorders]
    assert {job_id for job_id, _, _ in submitted} == {job.job_id(1)}
    assert sorted(how for _, _, how in submitted) == ["attached", "submitted"]


def test_cancelling_what_ended_changes_nothing(place: Any) -> None:
    result = place.runner().run(place.job("ok"))
    assert place.runner().cancel(result.job_id) is PipelineState.SUCCEEDED
    with pytest.raises(KeyError):
        place.runner().cancel("nexus-never-submitted-a1")


def test_a_job_that_takes_too_long_is_cancelled(place: Any) -> None:
    job = place.job("sleep", timeout_seconds=1.0)
    with pytest.raises(PipelineTimeoutError, match="not done after 1 seconds"):
        place.runner().run(job)
    assert place.runner().cancel(job.job_id(1)) is PipelineState.CANCELLED


def test_a_caller_that_stops_leaves_the_job_to_the_next(place: Any, recorder: Any) -> None:
    class Interrupted(BaseException):
        pass

    class Stopping(PipelineObserver):
        def task_changed(self, task: Any) -> None:  # noqa: ARG002
            raise Interrupted

    job = place.job("sleep")
    with pytest.raises(Interrupted):
        place.runner().run(job, Stopping())
    again = Background(place.runner(), job, recorder)
    recorder.wait_for("task")
    assert recorder.of("submitted")[0] == (job.job_id(1), place.runner().link(job.job_id(1)), "attached")
    place.runner().cancel(job.job_id(1))
    assert isinstance(again.join(), PipelineCancelledError)


def test_progress_is_told(place: Any, recorder: Any) -> None:
    place.runner().run(place.job("progress"), recorder)
    assert [(each.done, each.total, each.unit) for each in recorder.of("progress")] == [(10, 30, "cells")]
