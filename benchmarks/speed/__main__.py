"""Run the contestants in turn and print medians with their spread: ``python -m benchmarks.speed --cells 100000``."""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.speed import nexus_functions
from benchmarks.speed.contestants import CONTESTANTS, Measured, measure
from benchmarks.speed.corpus import Corpus, make_corpus
from benchmarks.speed.stages import CPU
from benchmarks.speed.verify import MADE, Sources, verify
from omics_datastore.warehouse.parquet_layout import RANGE_READS

STAGES = ("ingest", "extract", "extract_exact", "extract_grouped", "extract_1_percent")
ARROW = ("arrow_cells_per_cpu_second", "arrow_lz4_cells_per_cpu_second")
SUBSET = "extract_1_percent"
"""Not all cells: measured by how much faster it is than all."""


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
    runs, verified = run_in_turn(asked, names, pythons, sources, folder)
    result = summarise(runs, verified, sources)
    sys.stdout.write(table(result) + "\n")
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n")
    if asked.plot:
        from benchmarks.speed.plot import plot

        plot(result, asked.plot)
    return 0


def run_in_turn(
    asked: argparse.Namespace, names: Sequence[str], pythons: Mapping[str, str], sources: list[Path], folder: Path
) -> tuple[dict[str, list[Measured]], dict[str, dict[str, int]]]:
    """Run the contestants in turn, in one order and the other.

    :param asked: What the command line says.
    :param names: The contestants.
    :param pythons: Interpreters of those that have their own.
    :param sources: The source files.
    :param folder: Where everything goes.
    :return: The counted runs of each, and what was verified.
    """
    runs: dict[str, list[Measured]] = {name: [] for name in names}
    verified: dict[str, dict[str, int]] = {}
    known = None if asked.unverified else Sources(sources)
    for turn in range(asked.repeats + 1):  # the first turn warms the page cache and is not counted
        for name in names if turn % 2 else names[::-1]:
            own = name in ("nexus", "floor")
            if not own and (turn == 0 or (asked.once and turn > 1)):
                continue
            kept = folder / f"{name}_kept" if turn == (0 if own else 1) and known is not None else None
            measured = measure(name, sources, pythons.get(name) or sys.executable, folder, kept)
            if kept is not None and known is not None:
                verified |= _verify_all(name, known, kept)
            if turn:
                runs[name].append(measured)
            sys.stderr.write(f"{turn} {name}: {json.dumps(measured.reported)}\n")
    return runs, verified


def _verify_all(name: str, sources: Sources, kept: Path) -> dict[str, dict[str, int]]:
    """Verify everything that a contestant made, and remove it."""
    verified = {}
    for made, (where, column) in MADE.items():
        if made.partition(",")[0] == name:
            verified[made] = verify(sources, sorted(kept.glob(where)), column)
    shutil.rmtree(kept)
    return verified


def summarise(
    runs: dict[str, list[Measured]], verified: dict[str, dict[str, int]], sources: list[Path]
) -> dict[str, Any]:
    """Sum up runs.

    :param runs: Runs of each contestant.
    :param verified: For each contestant, what was compared with the sources.
    :param sources: The source files.
    :return: A JSON document: settings, and for each contestant and stage the cells a second, and a CPU second.
    """
    contestants = {}
    for name, each in runs.items():
        if not each:
            continue
        first = each[0].reported
        contestants[name] = {
            "runs": len(each),
            "cells_per_second": _rates(each, ""),
            "cells_per_cpu_second": _rates(each, CPU),
            **{name: max(run.reported.get(name, 0) for run in each) for name in ARROW},
            "store_bytes_per_cell": first.get("store_bytes", 0) / first["cells"],
            "shard_bytes_per_cell": first["shard_bytes"] / first["cells"],
            "peak_bytes": max(run.peak_bytes for run in each),
        }
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}",
        "load_average": round(os.getloadavg()[2], 1),
        "settings": {
            "cells": next(run.reported["cells"] for each in runs.values() for run in each),
            "files": len(sources),
            "source_bytes": sum(source.stat().st_size for source in sources),
            "bin_size": nexus_functions.BIN_SIZE,
            "processes": nexus_functions.PROCESSES,
            "memory_bytes_a_process": nexus_functions.MEMORY_BYTES,
            "parquet": RANGE_READS.model_dump(),
        },
        "verified": verified,
        "contestants": contestants,
    }


def _rates(runs: list[Measured], unit: str) -> dict[str, dict[str, float]]:
    """Return cells a second of each stage, or of CPU; of the subset how much faster it is than all cells."""
    rates: dict[str, dict[str, float]] = {}
    for stage in STAGES:
        measured = [run.reported for run in runs if stage in run.reported]
        each = [
            (one["extract" + unit] if stage == SUBSET else one["cells"]) / max(one[stage + unit], 0.01)
            for one in measured
        ]
        if each:
            rates[stage] = {"least": min(each), "median": statistics.median(each), "most": max(each)}
    return rates


def table(result: dict[str, Any]) -> str:
    """Return the result as Markdown: rates in cells a second, and a CPU second; what was verified.

    :param result: Of :func:`summarise`.
    :return: The tables.
    """
    names = "ingest | extract | exact | grouped | 1 % against all"
    lines = []
    for unit, title in (("cells_per_second", "cells a second"), ("cells_per_cpu_second", "cells a CPU second")):
        last = " | store B/cell | shard B/cell | peak MB | runs" if unit == "cells_per_second" else ""
        lines += [f"| {title} | {names}{last} |", "|---" * (6 + last.count("|")) + "|"]
        for name, each in result["contestants"].items():
            cells = [_shown(each[unit].get(stage), stage) for stage in STAGES]
            if last:
                sizes = (each[key] for key in ("store_bytes_per_cell", "shard_bytes_per_cell"))
                cells += [f"{size:,.0f}" if size else "-" for size in sizes]
                cells += [f"{each['peak_bytes'] / 1e6:,.0f}", str(each["runs"])]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    for name, each in result["contestants"].items():
        if each[ARROW[0]]:
            plain, packed = (f"{each[rate]:,.0f}" for rate in ARROW)
            lines.append(f"Arrow to CSR, {name}: {plain} cells a CPU second, {packed} with LZ4.")
    for name, compared in result["verified"].items():
        lines.append(
            f"Verified {name}: totals of {compared['cells']:,} cells and {compared['genes']:,} genes, "
            f"{compared['exact_cells']} cells exactly."
        )
    return "\n".join(lines)


def _shown(rate: dict[str, float] | None, stage: str) -> str:
    if rate is None:
        return "-"
    form = "{:,.1f}x ({:,.1f}-{:,.1f})" if stage == SUBSET else "{:,.0f} ({:,.0f}-{:,.0f})"
    return form.format(rate["median"], rate["least"], rate["most"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="counted runs of each contestant")
    parser.add_argument("--once", action="store_true", help="run all but nexus and the floor once only")
    parser.add_argument("--unverified", action="store_true", help="do not compare the shards with the sources")
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
