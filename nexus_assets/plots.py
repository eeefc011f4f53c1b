"""Small plots for Dagster metadata, as PNG bytes, readable on a light and on a dark page."""

import io
from collections.abc import Sequence
from typing import Any

_INK = "#7d8590"
_BAR = "#3b82f6"


def bars(title: str, labels: Sequence[str], values: Sequence[float]) -> bytes:
    """Draw horizontal bars, the first on top.

    :param title: Title.
    :param labels: One label a bar.
    :param values: One length a bar.
    :return: PNG.
    """
    figure, axes = _figure(title, 0.28 * max(4, len(labels)) + 0.9)
    shown = [label if len(label) <= 34 else f"{label[:33]}…" for label in labels]
    drawn = axes.barh(range(len(values)), values, color=_BAR)
    axes.set_yticks(range(len(values)), labels=shown)
    axes.invert_yaxis()
    axes.bar_label(drawn, labels=[f"{value:,.0f}" for value in values], padding=3, color=_INK, fontsize=8)
    axes.margins(x=0.18)
    axes.xaxis.set_visible(False)
    return _png(figure)


def histogram(title: str, edges: Sequence[float], counts: Sequence[float], unit: str) -> bytes:
    """Draw a histogram with logarithmic classes.

    :param title: Title.
    :param edges: Class limits, one more than classes, ascending and positive.
    :param counts: Cells in each class.
    :param unit: What the classes are of.
    :return: PNG.
    """
    figure, axes = _figure(title, 2.6)
    axes.stairs(counts, edges, fill=True, color=_BAR)
    axes.set_xscale("log")
    axes.set_xlabel(unit, color=_INK, fontsize=8)
    axes.set_ylabel("cells", color=_INK, fontsize=8)
    return _png(figure)


def _figure(title: str, height: float) -> tuple[Any, Any]:
    # Not pyplot: it keeps figures alive and picks a back end for screens.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, height), dpi=110, layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_title(title, color=_INK, fontsize=10, loc="left")
    axes.tick_params(colors=_INK, labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_INK)
    return figure, axes


def _png(figure: Any) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", transparent=True)
    return content.getvalue()
