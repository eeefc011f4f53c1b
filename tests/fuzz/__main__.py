"""Fuzz everything that reads what somebody wrote, and print what was seen: ``make fuzz FUZZ_SECONDS=1800``.

A campaign whose process ends before its time (a crash, a time-out, want of memory) is started again. The exit code is 1
when anything was found; the inputs and where they led to are in the folder.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path


def main() -> int:
    """Run campaigns until the time is over.

    :return: Exit code.
    """
    options = argparse.ArgumentParser(prog="python -m tests.fuzz")
    options.add_argument("--seconds", type=int, default=300)
    options.add_argument("--folder", type=Path, default=Path(".fuzz"), help="where inputs and findings are kept")
    options.add_argument("targets", nargs="*", help="all of tests/fuzz/targets.py without")
    given = options.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    begun, ended, edges = time.monotonic(), Counter[int](), 0
    inputs, taken = Counter[str](), Counter[str]()
    while (left := given.seconds - (time.monotonic() - begun)) >= 1 and ended.total() < 200:
        command = [sys.executable, "-m", "tests.fuzz.campaign", str(round(left)), str(given.folder), *given.targets]
        with (given.folder / "log.txt").open("ab") as log:
            before = log.tell()
            code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        said = (given.folder / "log.txt").read_bytes()[before:].decode(errors="replace")
        edges = max([edges, *(int(number) for number in re.findall(r"cov: (\d+)", said))])
        counts = given.folder / "runs.json"
        for name, (read, took) in (json.loads(counts.read_text()) if counts.exists() else {}).items():
            inputs[name] += read
            taken[name] += took
        counts.unlink(missing_ok=True)
        if code:
            ended[code] += 1
        if "cov:" not in said:
            break
    found = sorted(given.folder.glob("found-*.txt"))
    _print(["target", "inputs", "taken", "findings"])
    _print(["---"] * 4)
    for name in sorted(inputs):
        _print([name, inputs[name], taken[name], sum(path.name.startswith(f"found-{name}-") for path in found)])
    seconds = round(time.monotonic() - begun)
    print(f"\n{inputs.total()} inputs in {seconds} s, {edges} edges; ended early: {dict(ended)}")  # noqa: T201
    return int(bool(found or ended))


def _print(cells: list[object] | list[str]) -> None:
    print(f"| {' | '.join(map(str, cells))} |")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
