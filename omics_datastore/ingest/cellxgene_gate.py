"""The ``cellxgene-schema`` validator in its own environment, as a child process that answers file by file.

It pins an older anndata and cannot be imported here. A child takes 20 s of CPU and 3.5 GB before its first answer and a
second for every further one, so it is kept while a task has files; one that breaks down is replaced.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from omics_datastore.errors import InputError

_HELLO_SECONDS = 60.0


class CellxgeneEnvironment(BaseModel):
    """Where cellxgene-schema is installed, and how much a file may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    python: str = Field(description="The Python of the environment.")
    memory_mb: int = Field(8192, gt=0, description="Megabytes of memory that the validator may use.")
    seconds: float = Field(3600, gt=0, description="Seconds that the validator may take for one file.")


class CellxgeneVerdict(BaseModel):
    """What a version of cellxgene-schema found in a file, or why it could not check it."""

    version: str
    errors: list[str] = []
    warnings: list[str] = []
    failed: str | None = None


class CellxgeneGate:
    """Check files with cellxgene-schema, one at a time whatever the number of threads that ask.

    :param environment: Where it is installed.
    """

    def __init__(self, environment: CellxgeneEnvironment) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    def version(self) -> str:
        """Return the version of cellxgene-schema.

        :raise InputError: When the environment is not there or does not hold it.
        """
        with self._lock:
            return self._running().version

    def check(self, path: Path) -> CellxgeneVerdict:
        """Check one file.

        :param path: An ``.h5ad`` file.
        :return: The verdict.
        :raise InputError: When the environment is not there or does not hold cellxgene-schema.
        """
        with self._lock:
            verdict, used = self._ask(path)
            if verdict.failed is not None and used:  # what went before may have been too much for it
                verdict, _ = self._ask(path)
            return verdict

    def _ask(self, path: Path) -> tuple[CellxgeneVerdict, bool]:
        """Return the verdict, and whether the child had checked other files before."""
        child = self._running()
        used = child.asked > 0
        try:
            verdict = child.ask(path, self._environment.seconds)
        except BaseException:
            self._drop()
            raise
        if verdict.failed is not None:
            self._drop()
        return verdict, used

    def _running(self) -> "_Child":
        if self._child is None:
            self._child = _Child(self._environment)
        return self._child

    def _drop(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


class _Child:
    """One process of the child program."""

    def __init__(self, environment: CellxgeneEnvironment) -> None:
        program = Path(__file__).with_name("cellxgene_program.py")
        command = [environment.python, "-I", "-B", "-W", "ignore", str(program), str(environment.memory_mb * 2**20)]
        self.asked = 0
        self._buffer = b""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, start_new_session=True
            )
        except OSError as error:
            self._said.close()
            raise InputError(missing(f"{environment.python}: {error.strerror or error}")) from error
        try:
            hello = self._answer(_HELLO_SECONDS)
        except BaseException:
            self.close()
            raise
        self.version = str(hello.get("version", ""))
        if not self.version:
            self.close()
            raise InputError(missing(f"{environment.python}: {hello.get('failed', 'it does not answer')}"))

    def ask(self, path: Path, seconds: float) -> CellxgeneVerdict:
        """Return the verdict on a file; one that failed leaves the child unusable."""
        self.asked += 1
        try:
            os.write(self._fd("stdin"), json.dumps(str(path.absolute())).encode() + b"\n")
        except BrokenPipeError:
            return CellxgeneVerdict(version=self.version, failed=self._ended())
        answer = self._answer(seconds)
        try:
            return CellxgeneVerdict.model_validate({**answer, "version": self.version})
        except ValidationError:
            return CellxgeneVerdict(version=self.version, failed="its answer is not understood")

    def close(self) -> None:
        """End the process and whatever it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None:
                stream.close()

    def _answer(self, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        output = self._fd("stdout")
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    return {"failed": f"it took more than {seconds:.0f} seconds"}
                chunk = os.read(output, 2**16)
                if not chunk:
                    return {"failed": self._ended()}
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        return answer if isinstance(answer, dict) else {"failed": "its answer is not understood"}

    def _ended(self) -> str:
        code = self._process.wait()
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}, as for want of memory"
        self._said.seek(0)
        lines = self._said.read()[-(2**16) :].decode(errors="replace").split("\n")
        return next(
            (" ".join(line.split()).rstrip(".") for line in reversed(lines) if line.strip()), f"it ended with {code}"
        )

    def _fd(self, name: str) -> int:
        stream = getattr(self._process, name)
        return int(stream.fileno())


def missing(reason: str) -> str:
    """Say that the environment of cellxgene-schema is not as it must be, and how to make it.

    :param reason: What is wrong with it.
    :return: One sentence.
    """
    return (
        f"validation.cellxgene_schema needs cellxgene-schema in an environment of its own, and there is none ({reason})"
        "; make it with 'make cellxgene', or set NEXUS_CELLXGENE_PYTHON to the Python of one."
    )
