"""Targets under atheris, in this process: ``python -m tests.fuzz.campaign SECONDS FOLDER TARGET…``.

The first byte of an input says which target takes the rest. An exception that a target may not raise is noted once for
each place it comes from, with its input, and the campaign goes on. What ends the process (a crash of a C library, a
time-out, want of memory) is told by its exit code, and whoever started it starts it again.
"""

import hashlib
import json
import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["omics_datastore", "yaml"]):
    from tests.fuzz.targets import TARGETS, run, seeds

_TIMEOUT, _MEMORY_MB, _LONGEST = 300, 2048, 4096
_EVERY = 25


def main(arguments: list[str]) -> None:
    """Fuzz; ends the process.

    :param arguments: Seconds, the folder of corpus and findings, and names of targets; all without.
    """
    seconds, place, *names = arguments
    names = names or list(TARGETS)
    folder = Path(place)
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        for seed, content in enumerate(seeds(name)):
            (corpus / f"seed-{name}-{seed}").write_bytes(bytes([number]) + content)
    inputs: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    warnings.simplefilter("ignore")

    def once(data: bytes) -> None:
        name = names[data[0] % len(names)] if data else names[0]
        inputs[name] += 1
        try:
            taken[name] += run(TARGETS[name], data[1:])
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            _note(folder, name, data[1:], error)
        if inputs.total() % _EVERY == 0:
            (folder / "runs.json").write_text(json.dumps({name: [inputs[name], taken[name]] for name in inputs}))

    options = [f"-max_total_time={seconds}", f"-timeout={_TIMEOUT}", f"-rss_limit_mb={_MEMORY_MB}", "-len_control=0"]
    options += [f"-max_len={_LONGEST}", f"-artifact_prefix={folder}/ended-", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], once)
    atheris.Fuzz()


def _note(folder: Path, name: str, data: bytes, error: Exception) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames if "omics_datastore" in frame.filename]
    where = f"{name} {type(error).__name__} {' '.join(own[-2:])}"
    path = folder / f"found-{name}-{hashlib.sha256(where.encode()).hexdigest()[:12]}"
    if not path.exists():
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(f"{where}\n{error}\n{traceback.format_exc()}", errors="backslashreplace")


if __name__ == "__main__":
    main(sys.argv[1:])
