"""The long version of what ``make test`` holds of concurrency: ``make test-concurrency``, some minutes.

Every interleaving of the protocol with two deaths a process; thousands of steps of the model on the folder warehouse,
and some on the BigQuery emulator; hundreds of round trips; campaigns of many processes on one root, with kills.
Prints what it did, and ends with 1 when something did not hold.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.emulators.bigquery.process import BigQueryEmulator, start_bigquery
from tests.omics_datastore.concurrency import campaign, protocol_model
from tests.omics_datastore.concurrency.bigquery_protocol import protocol_over
from tests.omics_datastore.concurrency.state_space import SCENARIOS, search
from tests.omics_datastore.curriculum.any_source import Drawn, comes_back, drawn
from tests.omics_datastore.warehouse.bigquery_world import emulated_world

_PARTS = ("interleavings", "campaigns", "folder-model", "round-trips", "bigquery-model", "bigquery-round-trips")


def main(arguments: list[str]) -> int:
    """Run all parts, or those named.

    :param arguments: ``--scale`` makes everything that many times as long; names of parts.
    :return: 0 when all held.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.omics_datastore.concurrency")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(_PARTS))
    asked = parser.parse_args(arguments)
    failed = 0
    for part in asked.parts or _PARTS:
        started = time.monotonic()
        try:
            said = _run(part, asked.scale)
        except BaseException as error:  # noqa: BLE001 - what failed is said, and the other parts are run
            failed, said = 1, f"FAILED: {error!r}"
        print(f"{part}: {said} ({time.monotonic() - started:.0f} s)", flush=True)  # noqa: T201
    return failed


def _run(part: str, scale: float) -> str:
    parts: dict[str, Callable[[float], str]] = {
        "interleavings": _interleavings,
        "campaigns": _campaigns,
        "folder-model": _folder_model,
        "round-trips": _round_trips,
        "bigquery-model": _bigquery_model,
        "bigquery-round-trips": _bigquery_round_trips,
    }
    return parts[part](scale)


def _interleavings(_: float) -> str:
    states = 0
    for name, (durable, processes) in SCENARIOS.items():
        found, violation = search(durable, tuple(process._replace(lives=2) for process in processes))
        assert violation is None, (name, violation)
        states += found
    return f"{len(SCENARIOS)} scenarios, {states:,} states, two deaths a process"


def _campaigns(scale: float) -> str:
    said = []
    for seed in range(max(1, round(3 * scale))):
        plan: dict[str, Any] = {"rounds": 20, "kills": 10 * seed, "seed": seed}
        with tempfile.TemporaryDirectory() as folder:
            # A process of its own, which forks before any library has started a thread.
            program = [sys.executable, "-m", campaign.__name__, folder, json.dumps(plan)]
            assert subprocess.run(program, check=False).returncode == 0, plan
        said.append(json.dumps(plan))
    return f"8 loaders, 4 builders, 2 purgers, a reader: {'; '.join(said)}"


def _settings(examples: float, steps: int = 30) -> settings:
    return settings(
        max_examples=max(1, round(examples)),
        stateful_step_count=steps,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def _folder_model(scale: float) -> str:
    before = next(protocol_model.STEPS_TAKEN)
    run_state_machine_as_test(protocol_model.FolderProtocol, settings=_settings(150 * scale))
    return f"{next(protocol_model.STEPS_TAKEN) - before - 1:,} steps"


def _round_trips(scale: float) -> str:
    made = 0

    @_settings(200 * scale)
    @given(drawn())
    def check(case: Drawn) -> None:
        nonlocal made
        made += 1
        comes_back(case)

    check()
    return f"{made} round trips"


def _bigquery_model(scale: float) -> str:
    before = next(protocol_model.STEPS_TAKEN)
    with _Emulator() as emulator:
        run_state_machine_as_test(protocol_over(emulator), settings=_settings(8 * scale, 15))
    return f"{next(protocol_model.STEPS_TAKEN) - before - 1:,} steps"


def _bigquery_round_trips(scale: float) -> str:
    made = 0
    with _Emulator() as emulator:

        @_settings(12 * scale)
        @given(drawn())
        def check(case: Drawn) -> None:
            nonlocal made
            made += 1
            with emulated_world(emulator) as world:
                comes_back(case, world)

        check()
    return f"{made} round trips, byte for byte as in the folder"


class _Emulator(ExitStack):
    """The BigQuery emulator, to which this process talks."""

    def __enter__(self) -> BigQueryEmulator:  # type: ignore[override]
        folder = Path(self.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        emulator = start_bigquery(folder)
        os.environ.update(emulator.environment())
        return emulator


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.exit(main(sys.argv[1:]))
