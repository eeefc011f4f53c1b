"""The child process that runs one job with kfp.local: ``python -m nexus_resources.pipelines.local_child FOLDER …``.

kfp.local keeps its settings in the process, mixes the output of tasks that run side by side, and says of a failure
only the task's name. Therefore every job has a process of its own, and this module puts its own task handler in the
place of kfp's: it gives each task a log and an entry in the job's record, and starts no task after one has failed.
The process and all its tasks die with the parent: when standard input ends, the whole process group is killed.
"""

import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

from nexus_resources.pipelines.local_job import (
    SCRATCH,
    TASKS,
    JobRecord,
    TaskRecord,
    read_record,
    read_spec,
    write_record,
)
from omics_datastore.shown_text import masked

_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]+")
_ITERATION = re.compile(r"-iteration-(\d+)/")


class Ledger:
    """The job's record, kept by the threads that run tasks."""

    def __init__(self, folder: Path, tasks_lock: int) -> None:
        self.folder = folder
        self.tasks_lock = tasks_lock
        self._record: JobRecord = read_record(folder)
        self._lock = threading.Lock()

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the job."""
        return self._record.parameters

    def update(self, state: str, *, error: str | None = None) -> None:
        """Change the state of the job.

        :param state: Name of the state.
        :param error: Why it failed.
        """
        with self._lock:
            self._record.state = state
            self._record.group = os.getpid()
            self._record.error = error
            self._record.ended = None if state == "RUNNING" else time.time()
            write_record(self.folder, self._record)

    def start_task(self, name: str) -> TaskRecord | None:
        """Write down that a task starts, or that it does not because another one failed.

        :param name: Name of the task.
        :return: The task, or ``None`` when it must not start.
        """
        with self._lock:
            failed = self.failed_task() is not None
            number = len(self._record.tasks)
            same = sum(task.name == name or task.name.startswith(f"{name} #") for task in self._record.tasks)
            task = TaskRecord(
                name=f"{name} #{same + 1}" if same else name,
                state="NOT_TRIGGERED" if failed else "RUNNING",
                started=time.time(),
                log=None if failed else f"{TASKS}/{number:04d}-{_NOT_IN_NAMES.sub('-', name).strip('-')}.txt",
            )
            self._record.tasks.append(task)
            write_record(self.folder, self._record)
            return None if failed else task

    def end_task(self, task: TaskRecord, exit_code: int) -> None:
        """Write down that a task ended.

        :param task: The task.
        :param exit_code: Its exit code; negative when a signal ended it.
        """
        with self._lock:
            task.ended = time.time()
            task.exit_code = exit_code
            task.state = "SUCCEEDED" if exit_code == 0 else "FAILED"
            write_record(self.folder, self._record)

    def failed_task(self) -> TaskRecord | None:
        """Return the first task that failed."""
        return next((task for task in self._record.tasks if task.state == "FAILED"), None)


def run_task(command: list[str], environment: dict[str, str], ledger: Ledger) -> bool:
    """Run the command of one task in a process of its own.

    :param command: Command and arguments as kfp prepared them: ``sh -ec SCRIPT CODE --executor_input JSON …``.
    :param environment: Variables to add.
    :param ledger: The job's record.
    :return: Whether it succeeded.
    """
    name = _task_name(command)
    task = ledger.start_task(name)
    if task is None or task.log is None:
        return False
    scratch = shlex.quote(str(ledger.folder / SCRATCH / "program.XXXXXX"))
    script = command[2].replace("python3", shlex.quote(sys.executable)).replace("mktemp -d", f"mktemp -d {scratch}")
    process = subprocess.Popen(
        [*command[:2], script, *command[3:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        pass_fds=(ledger.tasks_lock,),
    )
    with process, (ledger.folder / task.log).open("w", encoding="utf-8", buffering=1) as log:
        for line in process.stdout or ():
            text = masked(_COLOUR.sub("", line))
            log.write(text)
            sys.stdout.write(f"[{task.name}] {text}")
            sys.stdout.flush()
    ledger.end_task(task, process.returncode)
    return process.returncode == 0


def _task_name(command: list[str]) -> str:
    arguments = dict(zip(command[4::2], command[5::2], strict=False))
    name = arguments.get("--function_to_execute", "task")
    try:
        output = str(json.loads(arguments["--executor_input"])["outputs"]["outputFile"])
    except (KeyError, ValueError):
        return name
    return name + "".join(f"[{number}]" for number in _ITERATION.findall(output))


def run_pipeline(ledger: Ledger) -> None:
    """Run the job's pipeline with kfp.local.

    :param ledger: The job's record.
    :raise RuntimeError: When a task failed.
    """
    # kfp imports a Kubernetes client of two seconds unless it believes to run inside a task.
    os.environ["_KFP_RUNTIME"] = "true"
    import kfp  # noqa: F401

    del os.environ["_KFP_RUNTIME"]
    import warnings

    warnings.filterwarnings("ignore", message="You may be attemping to run a task that uses custom")
    from kfp import components, local
    from kfp.local import logging_utils, status, subprocess_task_handler

    class RecordingTaskHandler(subprocess_task_handler.SubprocessTaskHandler):  # type: ignore[misc]
        def run(self) -> Any:
            done = run_task(self.full_command, self.env_vars, ledger)
            return status.Status.SUCCESS if done else status.Status.FAILURE

    for colour in ("CYAN", "GREEN", "RED", "MAGENTA", "RESET"):
        setattr(logging_utils.Color, colour, "")
    subprocess_task_handler.SubprocessTaskHandler = RecordingTaskHandler
    scratch = ledger.folder / SCRATCH
    workspace = scratch / "workspace"  # kfp removes it when the pipeline ends
    workspace.mkdir(parents=True)
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(scratch / "outputs"),
        workspace_root=str(workspace),
        enable_caching=False,
    )
    components.load_component_from_text(read_spec(ledger.folder))(**ledger.parameters)


def die_with_parent(standard_input: TextIO) -> None:
    """Kill this process and its tasks when standard input ends, that is when the parent is gone.

    :param standard_input: A pipe nobody writes to.
    """
    parent = os.getppid()
    while os.getppid() == parent:  # a copy of the pipe's other end may live on in a process the parent forked
        readable, _, _ = select.select([standard_input], [], [], 1.0)
        if readable and not os.read(standard_input.fileno(), 1):
            break
    os.killpg(0, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Run the job of a folder.

    :param arguments: The folder, and the descriptor of the tasks' lock.
    :return: Exit code.
    """
    folder = Path(arguments[0])
    threading.Thread(target=die_with_parent, args=(sys.stdin,), daemon=True).start()
    ledger = Ledger(folder, int(arguments[1]))
    ledger.update("RUNNING")
    try:
        run_pipeline(ledger)
    except Exception as error:  # noqa: BLE001 - whatever kfp raises is the end of the job, and is told in its record
        task = ledger.failed_task()
        if task is None:
            import traceback

            traceback.print_exc()
        exit_code = None if task is None else task.exit_code
        reason = f"{task.name} ended with exit code {exit_code}" if task else f"{type(error).__name__}: {error}"
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        ledger.update("FAILED", error=reason)
        return 1
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    ledger.update("SUCCEEDED")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
