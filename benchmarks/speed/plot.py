"""A picture of the result: cells a CPU second of each contestant, in and out, which other work disturbs little."""

from pathlib import Path
from typing import Any


def plot(result: dict[str, Any], path: Path) -> None:
    """Write bars of the medians, with lines from the least to the most.

    :param result: Of :func:`benchmarks.speed.__main__.summarise`.
    :param path: A PNG or SVG file.
    """
    from matplotlib.figure import Figure

    names = list(result["contestants"])
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    for place, stage in enumerate(("ingest", "extract")):
        axes = figure.add_subplot(1, 2, place + 1)
        rates = [result["contestants"][name]["cells_per_cpu_second"].get(stage) for name in names]
        medians = [rate["median"] if rate else 0 for rate in rates]
        spread = [[(rate["median"] - rate["least"]) if rate else 0 for rate in rates]]
        spread.append([(rate["most"] - rate["median"]) if rate else 0 for rate in rates])
        colours = ["#2a6fbb" if name == "nexus" else "#9aa5b1" for name in names]
        bars = axes.barh(names, medians, xerr=spread, color=colours, error_kw={"ecolor": "#444444"})
        axes.bar_label(bars, labels=[f" {median:,.0f}" if median else "" for median in medians], fontsize=8)
        axes.invert_yaxis()
        axes.set_title(f"{stage}, cells a CPU second", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.2)
    settings = result["settings"]
    figure.suptitle(f"{settings['cells']:,.0f} cells in {settings['files']} files, {result['machine']}", fontsize=9)
    figure.savefig(path, dpi=150)
