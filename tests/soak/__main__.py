"""Load one root for long while ``nexus up`` serves it, and see that nothing grows: ``make soak SOAK_MINUTES=30``."""

import argparse
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import dagster as dg

from tests.nexus_assets.cli.processes import start, wait_until
from tests.soak.load import Load, processes_of
from tests.soak.samples import plot, sample, summary, write
from tests.soak.settled import settle

_SAMPLE_SECONDS = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep-minutes", type=float, default=6, help="How long runs are remembered.")
    parser.add_argument("--samples", type=Path, help="Where the samples are kept, one line each.")
    parser.add_argument("--plot", type=Path, help="Where the picture goes.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nexus-soak-", ignore_cleanup_errors=True) as folder:
        root = Path(folder) / "nexus"
        keep = str(arguments.keep_minutes / 1440)
        server = start(root, "up", "--port", str(_free_port()), quiet_seconds="1", workers="1", keep_run_days=keep)
        try:
            wait_until(lambda: (root / "inbox").exists() and server.poll() is None, 180, "nexus up does not begin")
            samples, done, problems = _soak(root, arguments)
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=180)
        problems += [f"left alive: {process}" for process in processes_of(root)]
    if arguments.samples:
        write(samples, arguments.samples)
    if arguments.plot:
        plot(samples, arguments.plot)
    print(json.dumps(summary(samples, done, problems), indent=1))  # noqa: T201
    return int(bool(problems))


def _soak(root: Path, arguments: argparse.Namespace) -> "tuple[list[dict[str, float]], dict[str, int], list[str]]":
    for name in [name for name in os.environ if name.startswith(("NEXUS_", "DAGSTER_"))]:
        del os.environ[name]
    os.environ["NEXUS_KEEP_RUN_DAYS"] = str(arguments.keep_minutes / 1440)
    load = Load(root, arguments.seed)
    started = time.monotonic()
    samples: list[dict[str, float]] = []
    with dg.DagsterInstance.from_config(str(root / "dagster")) as instance:
        while (passed := time.monotonic() - started) < arguments.minutes * 60:
            if passed >= len(samples) * _SAMPLE_SECONDS:
                samples.append(sample(root, instance, started))
                print(json.dumps(samples[-1]), file=sys.stderr, flush=True)  # noqa: T201
            load.act(instance)
            time.sleep(2)
        samples.append(sample(root, instance, started))
        problems = settle(root, instance, load)
        states = Counter(run.status.value for run in instance.get_runs())
    return samples, {**load.done, **{f"runs remembered: {name}": count for name, count in states.items()}}, problems


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
