"""Make small releases and let torch, cellarium-ml and annbatch train on them: ``make test-training``.

Ends with 1 when a trainer saw other cells or counts than the sources have, or cannot be started.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from tests.training.releases import make_releases

_HERE = Path(__file__).parent
_TRAINERS = {
    "annbatch": ("read_annbatch.py", ["zarrs"]),
    "cellarium": ("train_cellarium.py", ["shuffled", "grouped"]),
    "torch": ("iterate_torch.py", ["shuffled", "grouped", "zarrs"]),
}
"""The program of each trainer, and the releases that it is run on."""


def main(arguments: Sequence[str]) -> int:
    """Run every trainer.

    :param arguments: For each trainer the interpreter of its environment.
    :return: 0 when all saw what they must.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.training", description=__doc__.splitlines()[0])
    for name in _TRAINERS:
        parser.add_argument(f"--{name}", required=True, type=Path, help=f"Python of an environment with {name}")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            releases = make_releases(Path(folder))
        failed = [name for name in _TRAINERS if not _run(name, getattr(asked, name), releases, Path(folder))]
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


def _run(name: str, python: Path, releases: dict[str, Path], scratch: Path) -> bool:
    program, kinds = _TRAINERS[name]
    # Only the program for torch imports Nexus; the others have the release and nothing else.
    environment = {**os.environ, "PYTHONPATH": str(_HERE.parents[1]), "PYTHONWARNINGS": "ignore"}
    command = [str(python.absolute()), str(_HERE / program), *(str(releases[kind]) for kind in kinds)]
    done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"{done.stdout}\n{done.stderr}\n")
        return False
    for line in json.loads(done.stdout.splitlines()[-1]):
        print(line, flush=True)  # noqa: T201 - what the command is for
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
