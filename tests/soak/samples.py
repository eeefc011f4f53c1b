"""What is measured while a soak runs: the processes that live long, the databases, the files; and how each changes."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import psutil

from tests.soak.load import command_of, processes_of

SERVERS = {
    "web server": "nexus_assets.web_server",
    "code server": "dagster api grpc --socket",
    "daemon": "dagster-daemon",
}
"""The processes that live as long as ``nexus up``."""
WARM_UP = 0.25
"""Share of the time that a soak is given to settle, before slopes are taken."""


def sample(root: Path, instance: dg.DagsterInstance, started: float) -> dict[str, float]:
    """Measure once.

    :param root: The root.
    :param instance: Its Dagster instance.
    :param started: ``time.monotonic()`` of the beginning.
    :return: ``minutes``, ``processes``; for each server ``… MiB`` (resident) and ``… handles``; ``SQLite MiB``
        (without ticks, of which a day is kept), ``ticks MiB``, ``files``, ``stored MiB``, ``runs``.
    :raise RuntimeError: When a server is not there.
    """
    found: dict[str, float] = {"minutes": (time.monotonic() - started) / 60}
    processes = [(process, " ".join(command_of(process))) for process in processes_of(root)]
    found["processes"] = len(processes)
    for name, words in SERVERS.items():
        oldest = min((item for item in processes if words in item[1]), key=lambda item: _began(item[0]), default=None)
        if oldest is None:
            raise RuntimeError(f"nexus up has no {name}: no process of {root} is called {words!r}")
        found[f"{name} MiB"] = oldest[0].memory_info().rss / 2**20
        found[f"{name} handles"] = oldest[0].num_fds()
    sizes: dict[Path, int] = {}
    for path in root.rglob("*"):
        try:
            if path.is_file():
                sizes[path] = path.stat().st_size
        except FileNotFoundError:
            continue
    databases = {path: size for path, size in sizes.items() if path.suffix == ".db"}
    ticks = sum(size for path, size in databases.items() if path.name == "schedules.db")
    found["SQLite MiB"] = (sum(databases.values()) - ticks) / 2**20
    found["ticks MiB"] = ticks / 2**20
    found["files"] = len(sizes)
    found["stored MiB"] = (sum(sizes.values()) - sum(databases.values())) / 2**20
    found["runs"] = instance.get_runs_count()
    return found


def _began(process: psutil.Process) -> float:
    try:
        return float(process.create_time())
    except psutil.NoSuchProcess:
        return float("inf")


def slopes(samples: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Fit a line to each figure after the warm-up.

    :param samples: The samples.
    :return: By figure its ``mean``, its ``slope_per_hour``, and ``relative``: how much it grows in an hour against
        its mean.
    """
    import numpy as np

    settled = [item for item in samples if item["minutes"] >= WARM_UP * samples[-1]["minutes"]]
    minutes = np.array([item["minutes"] for item in settled])
    found = {}
    for name in samples[0]:
        if name == "minutes" or len(settled) < 3:
            continue
        values = np.array([item[name] for item in settled])
        slope, mean = float(np.polyfit(minutes, values, 1)[0]) * 60, float(values.mean())
        found[name] = {
            "mean": round(mean, 2),
            "slope_per_hour": round(slope, 2),
            "relative": round(slope / mean, 3) if mean else 0.0,
        }
    return found


def plot(samples: Sequence[dict[str, float]], path: Path) -> None:
    """Draw memory, handles, databases and files over time, readable on a light and on a dark ground.

    :param samples: The samples.
    :param path: An SVG or PNG file.
    """
    from matplotlib.figure import Figure

    grey = "#808890"
    figure = Figure(figsize=(8, 4.4), layout="constrained", facecolor="none")
    minutes = [item["minutes"] for item in samples]
    panels: dict[str, list[str]] = {
        "resident memory, MiB": [f"{name} MiB" for name in SERVERS],
        "open file handles": [f"{name} handles" for name in SERVERS],
        "databases, MiB": ["SQLite MiB", "ticks MiB"],
        "files below the root": ["files"],
    }
    for number, (title, names) in enumerate(panels.items()):
        axes = figure.add_subplot(2, 2, number + 1, facecolor="none")
        for name, colour in zip(names, ("#3b82c4", "#d9822b", "#4f9d5d"), strict=False):
            values = [item[name] for item in samples]
            axes.plot(minutes, values, color=colour, linewidth=1.6, label=name.rsplit(" ", 1)[0])
        axes.set_title(title, fontsize=9, color=grey)
        axes.set_ylim(bottom=0)
        axes.tick_params(colors=grey, labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(grey)
        if len(names) > 1:
            axes.legend(fontsize=7, frameon=False, labelcolor=grey, loc="lower right")
    figure.supxlabel("minutes", fontsize=9, color=grey)
    figure.savefig(path, transparent=True)


def write(samples: Sequence[dict[str, float]], path: Path) -> None:
    """Keep the samples, one line each."""
    path.write_text("".join(json.dumps({k: round(v, 3) for k, v in item.items()}) + "\n" for item in samples))


def summary(samples: Sequence[dict[str, float]], done: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Sum a soak up.

    :param samples: The samples.
    :param done: What was done, and how often.
    :param problems: What was wrong at its end.
    :return: A JSON document.
    """
    minutes = round(samples[-1]["minutes"], 1)
    return {"minutes": minutes, "done": done, "after_warm_up": slopes(samples), "problems": problems}
