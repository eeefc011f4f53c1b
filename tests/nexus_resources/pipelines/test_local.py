"""What the laptop's runner promises beyond the contract: processes, locks, logs, folders."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from nexus_resources.pipelines.errors import PipelineFailedError, PipelineRetryableError
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.local import LocalPipelines
from nexus_resources.pipelines.local_job import TASKS_LOCK, read_record, wait_unlocked, write_record
from nexus_resources.pipelines.observer import PipelineObserver
from nexus_resources.pipelines.runner import Polling
from nexus_resources.pipelines.states import PipelineState, TaskState


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[LocalPipelines]:
    runner = LocalPipelines(tmp_path / "jobs", polling=Polling(0.05, 0.1))
    yield runner
    runner.close()


def _job(spec: str, *codes: str, run: str = "run") -> PipelineJob:
    return PipelineJob("shell_pipeline", spec, {"codes": list(codes)}, JobIdentity(run, "step"))


def _wait(file: Path) -> str:
    deadline = time.monotonic() + 20
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline, f"{file} does not appear"
        time.sleep(0.02)
    return file.read_text()


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_parameters_arrive_unchanged_and_nothing_but_the_record_and_the_logs_stays(
    runner: LocalPipelines, shell_pipeline: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_WEBHOOK", "https://hooks.example/a-secret")
    kept = tmp_path / "python3 data"
    kept.mkdir()
    (kept / "mine.txt").write_text("mine")
    code = f"print('\\x1b[91mfrom', {str(kept)!r}, 'python3\\x1b[0m')\nimport os\n"
    code += "print('webhook', os.environ.get('NEXUS_WEBHOOK'), 'fetched https://me:' + 'a-secret' + '@host')"
    result = runner.run(_job(shell_pipeline, code))
    folder = tmp_path / "jobs" / result.job_id
    assert sorted(path.name for path in folder.iterdir()) == [
        "child.lock", "log.txt", "pipeline.yaml", "record.json", "tasks", "tasks.lock",
    ]  # fmt: skip
    task_log = Path(result.tasks[0].log or "")
    assert f"\nfrom {kept} python3\n" in task_log.read_text()
    assert task_log.parent == folder / "tasks"
    assert f"[python_job[0]] from {kept} python3" in (folder / "log.txt").read_text()
    assert "webhook None fetched https://***@host\n" in task_log.read_text()
    assert "\x1b" not in (folder / "log.txt").read_text() + task_log.read_text()
    assert (kept / "mine.txt").read_text() == "mine"
    assert result.tasks[0].minutes is not None


def test_no_task_starts_after_one_failed(runner: LocalPipelines, shell_pipeline: str, tmp_path: Path) -> None:
    codes = [
        "raise ValueError('broken')",
        "import time; time.sleep(0.5)",
        *[f"open({str(tmp_path / 'late')!r}, 'w')"] * 3,
    ]
    with pytest.raises(PipelineFailedError, match=r"python_job\[0\] ended with exit code 1") as caught:
        runner.run(_job(shell_pipeline, *codes))
    states = [task.state for task in sorted(caught.value.status.tasks, key=lambda task: task.name)]
    assert states == [TaskState.FAILED, TaskState.SUCCEEDED, *[TaskState.NOT_TRIGGERED] * 3]
    assert caught.value.log_tail[-1] == "ValueError: broken"
    assert not (tmp_path / "late").exists()


def test_a_spec_kfp_cannot_run_fails_with_its_words(runner: LocalPipelines) -> None:
    with pytest.raises(PipelineFailedError) as caught:
        runner.run(_job("not: a pipeline"))
    assert not isinstance(caught.value, PipelineRetryableError)
    assert any("Traceback" in line for line in caught.value.log_tail)


def test_the_job_and_its_tasks_die_with_the_process_that_submitted_it(
    runner: LocalPipelines, shell_pipeline: str, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    code = f"import os, pathlib, time; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid())); time.sleep(60)"
    job = _job(shell_pipeline, code)
    (tmp_path / "spec.yaml").write_text(shell_pipeline)
    script = f"""
from pathlib import Path
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.local import LocalPipelines
spec = Path({str(tmp_path / "spec.yaml")!r}).read_text()
job = PipelineJob("shell_pipeline", spec, {dict(job.parameters)!r}, JobIdentity("run", "step"))
LocalPipelines({str(tmp_path / "jobs")!r}).run(job)
"""
    parent = subprocess.Popen([sys.executable, "-c", script])
    task = int(_wait(pid_file))
    child = json.loads((tmp_path / "jobs" / job.job_id(1) / "record.json").read_text())["group"]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert _gone(child)
    assert _gone(task)
    # The last thread of a killed process may hold its files a moment longer than its number is seen.
    assert wait_unlocked(tmp_path / "jobs" / job.job_id(1) / TASKS_LOCK, 10)

    pid_file.unlink()
    seen: list[str] = []

    class Stop(PipelineObserver):
        def submitted(self, job_id: str, link: str, how: str) -> None:  # noqa: ARG002
            seen.append(job_id)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(job, Stop())
    assert seen == [job.job_id(2)]
    assert runner.cancel(job.job_id(2)) is PipelineState.CANCELLED


def test_tasks_are_ended_when_only_the_child_is_killed(
    runner: LocalPipelines, shell_pipeline: str, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    code = f"import os, pathlib, time; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid())); time.sleep(60)"
    job = _job(shell_pipeline, code)

    class Killer(PipelineObserver):
        def task_changed(self, task: object) -> None:  # noqa: ARG002
            if not tasks:
                tasks.append(int(_wait(pid_file)))
                record = json.loads((tmp_path / "jobs" / job.job_id(1) / "record.json").read_text())
                os.kill(record["group"], signal.SIGKILL)

    tasks: list[int] = []
    with pytest.raises(PipelineRetryableError, match="the process that ran it was killed"):
        runner.run(job, Killer())
    assert _gone(tasks[0])
    assert not (tmp_path / "jobs" / job.job_id(1) / "scratch").exists()


def test_prune_keeps_the_new_the_recent_and_what_is_no_job(
    runner: LocalPipelines, shell_pipeline: str, tmp_path: Path
) -> None:
    results = [runner.run(_job(shell_pipeline, "pass", run=f"run-{number}")).job_id for number in range(3)]
    assert runner.prune(keep_last=0, older_than_days=1) == []
    for age, job_id in zip((4, 3, 2), results, strict=True):
        folder = tmp_path / "jobs" / job_id
        write_record(folder, replace(read_record(folder), created=time.time() - age * 86_400))
    (tmp_path / "jobs" / "notes.txt").write_text("not a job")
    assert runner.prune(keep_last=1, older_than_days=2.5) == [results[1], results[0]]
    assert sorted(path.name for path in (tmp_path / "jobs").iterdir()) == [results[2], "notes.txt"]


def test_a_pipeline_of_two_small_tasks_takes_less_than_six_seconds(runner: LocalPipelines, shell_pipeline: str) -> None:
    begun = time.monotonic()
    runner.run(_job(shell_pipeline, "pass", "pass"))
    assert time.monotonic() - begun < 6


def test_the_runner_is_imported_without_kfp_and_dagster() -> None:
    script = (
        "import sys, kfp_components.configurations\n"
        "import nexus_resources.pipelines.local, nexus_resources.pipelines.scripted\n"
        "print(sorted(set(sys.modules) & {'kfp', 'dagster', 'google.protobuf', 'anndata', 'pyarrow'}))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
