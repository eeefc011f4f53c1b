"""Run the contestants in turn and print medians with their spread: ``python -m benchmarks.speed --cells 100000``."""

import argparse
import json
import os
import platform
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.speed import nexus_functions
from benchmarks.speed.contestants import CONTESTANTS, Measured, measure
from benchmarks.speed.corpus import Corpus, make_corpus
from benchmarks.speed.verify import verify

STAGES = ("ingest", "extract", "extract_1_percent")


def main(arguments: list[str]) -> int:
    """Run the benchmark.

    :param arguments: Of the command line.
    :return: Exit code.
    """
    asked = _parser().parse_args(arguments)
    folder = asked.folder.resolve()
    if asked.data:
        sources = sorted(asked.data.resolve().glob("*.h5ad"))
    else:
        corpus = Corpus(asked.cells, asked.files)
        sources = make_corpus(folder / f"corpus_{asked.cells}_{asked.files}", corpus, nexus_functions.PROCESSES)
    if not sources:
        sys.stderr.write(f"there is no .h5ad file in {asked.data}\n")
        return 2
    pythons = {"tiledbsoma": asked.tiledbsoma_python, "annbatch": asked.annbatch_python}
    names = [name for name in asked.only or CONTESTANTS if pythons.get(name, sys.executable)]
    runs: dict[str, list[Measured]] = {name: [] for name in names}
    verified: dict[str, int] = {}
    for turn in range(asked.repeats + 1):  # the first turn warms the page cache and is not counted
        for name in names:
            once = asked.once and name not in ("nexus", "floor")
            if (turn == 0 and name != "nexus") or (once and turn > 1):
                continue
            kept = folder / "nexus_kept" if turn == 0 else None
            measured = measure(name, sources, pythons.get(name) or sys.executable, folder, kept)
            if kept is not None:
                verified = verify(sources, sorted(kept.glob("extracts/everything/v1/extract_files/*.h5ad")))
                _remove(kept)
            else:
                runs[name].append(measured)
                sys.stderr.write(f"{turn} {name}: {json.dumps(measured.reported)}\n")
    result = summarise(runs, verified, sources)
    sys.stdout.write(table(result) + "\n")
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n")
    if asked.plot:
        from benchmarks.speed.plot import plot

        plot(result, asked.plot)
    return 0


def summarise(runs: dict[str, list[Measured]], verified: dict[str, int], sources: list[Path]) -> dict[str, Any]:
    """Sum up runs.

    :param runs: Runs of each contestant.
    :param verified: What was compared with the sources.
    :param sources: The source files.
    :return: A JSON document: settings, and for each contestant and stage the cells a second, least, median and most.
    """
    contestants = {}
    for name, each in runs.items():
        if not each:
            continue
        rates: dict[str, Any] = {}
        for stage in STAGES:
            values = sorted(run.reported["cells"] / run.reported[stage] for run in each if stage in run.reported)
            if stage == "extract_1_percent":
                values = sorted(run.reported["extract"] / run.reported[stage] for run in each if stage in run.reported)
            if values:
                rates[stage] = {"least": values[0], "median": statistics.median(values), "most": values[-1]}
        first = each[0].reported
        contestants[name] = {
            "runs": len(each),
            "cells_per_second": rates,
            "store_bytes_per_cell": first.get("store_bytes", 0) / first["cells"],
            "shard_bytes_per_cell": first["shard_bytes"] / first["cells"],
            "peak_bytes": max(run.peak_bytes for run in each),
        }
    cells = next(iter(runs.values()))[0].reported["cells"]
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}",
        "settings": {
            "cells": cells,
            "files": len(sources),
            "source_bytes": sum(source.stat().st_size for source in sources),
            "bin_size": nexus_functions.BIN_SIZE,
            "processes": nexus_functions.PROCESSES,
            "memory_bytes_a_process": nexus_functions.MEMORY_BYTES,
        },
        "verified": verified,
        "contestants": contestants,
    }


def table(result: dict[str, Any]) -> str:
    """Return the result as a Markdown table.

    :param result: Of :func:`summarise`.
    :return: The table, rates in cells a second.
    """
    lines = [
        "| | ingest | extract | 1 % filter against all | store B/cell | shard B/cell | peak MB | runs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, each in result["contestants"].items():
        cells = []
        for stage in STAGES:
            rate = each["cells_per_second"].get(stage)
            form = "{:,.0f} ({:,.0f}-{:,.0f})" if stage != "extract_1_percent" else "{:.1f}x ({:.1f}-{:.1f})"
            cells.append(form.format(rate["median"], rate["least"], rate["most"]) if rate else "-")
        sizes = [f"{each[key]:,.0f}" if each[key] else "-" for key in ("store_bytes_per_cell", "shard_bytes_per_cell")]
        memory = f"{each['peak_bytes'] / 1e6:,.0f}"
        lines.append(f"| {name} | {' | '.join([*cells, *sizes, memory, str(each['runs'])])} |")
    return "\n".join(lines)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="counted runs of each contestant")
    parser.add_argument("--once", action="store_true", help="run all but nexus and the floor once only")
    parser.add_argument("--data", type=Path, help="folder of .h5ad files to use instead of making some")
    parser.add_argument("--folder", type=Path, default=Path("build/bench"), help="where everything goes")
    parser.add_argument("--only", nargs="+", choices=list(CONTESTANTS))
    parser.add_argument("--tiledbsoma-python", default="", help="interpreter with tiledbsoma; left out by default")
    parser.add_argument("--annbatch-python", default="", help="interpreter with annbatch; left out by default")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
