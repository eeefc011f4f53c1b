"""Who runs, and how one run is measured: a program of its own, its seconds and the memory of all of its processes."""

import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CONTESTANTS = {
    "nexus": "benchmarks.speed.nexus_functions",
    "floor": "benchmarks.speed.floor",
    "anndata": "benchmarks.speed.anndata_way",
    "tiledbsoma": "benchmarks.speed.tiledbsoma_peer",
    "annbatch": "benchmarks.speed.annbatch_peer",
}


@dataclass(frozen=True)
class Measured:
    """One run: what the program reported, and the most memory that its processes held together (bytes, PSS)."""

    reported: dict[str, float]
    peak_bytes: int


def measure(name: str, sources: Sequence[Path], python: str, scratch: Path, keep: Path | None = None) -> Measured:
    """Run a contestant once.

    :param name: Its name.
    :param sources: The source files.
    :param python: Interpreter of its environment.
    :param scratch: Folder on the disk that is to be measured.
    :param keep: Where what it made goes; removed by default.
    :return: What was measured.
    :raise RuntimeError: When it fails; the message has its last lines.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as parent:
        folder = Path(parent) / name
        folder.mkdir()
        command = [python, "-m", CONTESTANTS[name], str(folder), *map(str, sources)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        watch = _MemoryWatch(process.pid)
        out, err = process.communicate()
        peak = watch.stop()
        if process.returncode:
            raise RuntimeError(f"{name} failed:\n{err[-2000:]}")
        if keep is not None:
            shutil.rmtree(keep, ignore_errors=True)  # of a run that was broken off
            folder.rename(keep)
    return Measured(json.loads(out), peak)


class _MemoryWatch(threading.Thread):
    """Add up the proportional set size of a process and its children, ten times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._peak, self._ended = pid, 0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._ended.is_set():
            self._peak = max(self._peak, self._held())
            time.sleep(0.1)

    def stop(self) -> int:
        """Return the peak."""
        self._ended.set()
        self.join()
        return self._peak

    def _held(self) -> int:
        import psutil

        held = 0
        try:
            parent = psutil.Process(self._pid)
            for process in (parent, *parent.children(recursive=True)):
                try:
                    held += process.memory_full_info().pss
                except psutil.Error:
                    continue
        except psutil.Error:
            return 0
        return held
