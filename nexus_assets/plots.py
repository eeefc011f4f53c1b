"""Small plots for Dagster metadata, as PNG bytes, readable on a light and on a dark page."""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from omics_datastore.shown_text import printable

_INK = "#7d8590"
_BAR = "#3b82f6"
_PARTS = ("#3b82f6", "#e8833a", "#2ca58d", "#c2528b", "#8b6fd6", "#b59a1f", "#5aa9d6", "#8d949e")


def bars(title: str, labels: Sequence[str], values: Sequence[float]) -> bytes:
    """Draw horizontal bars, the first on top.

    :param title: Title.
    :param labels: One label a bar.
    :param values: One length a bar.
    :return: PNG.
    """
    figure, axes = _figure(title, 0.28 * max(4, len(labels)) + 0.9)
    shown = [_short(label, 34) for label in labels]
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


def steps(title: str, values: Sequence[float], of: str, unit: str) -> bytes:
    """Draw one step for each of many numbered things, side by side.

    :param title: Title.
    :param values: One height a thing, in their order.
    :param of: What is numbered, from 0.
    :param unit: Unit of the heights.
    :return: PNG.
    """
    figure, axes = _figure(title, 2.6)
    axes.stairs(values, [number - 0.5 for number in range(len(values) + 1)], fill=True, color=_BAR)
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel(of, color=_INK, fontsize=8)
    axes.set_ylabel(unit, color=_INK, fontsize=8)
    return _png(figure)


def shares(title: str, rows: Mapping[str, Sequence[float]], parts: Sequence[str]) -> bytes:
    """Draw a bar of stacked shares for each row, the first, which the others are held against, apart on top.

    :param title: Title.
    :param rows: Amounts of the parts by the row's label; a row sums to more than 0.
    :param parts: Names of the parts.
    :return: PNG.
    """
    figure, axes = _figure(title, 0.24 * len(rows) + 1.5)
    places = [0.0, *(number + 0.5 for number in range(1, len(rows)))]
    left = [0.0] * len(rows)
    for number, part in enumerate(parts):
        widths = [100 * amounts[number] / sum(amounts) for amounts in rows.values()]
        axes.barh(places, widths, left=left, color=_PARTS[number % len(_PARTS)], height=0.86, label=_short(part, 26))
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_yticks(places, labels=list(rows))
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of cells", color=_INK, fontsize=8)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=7.5, labelcolor=_INK)
    return _png(figure)


def _short(label: str, most: int) -> str:
    r"""Shorten a label. It is text of others: no formula between dollars, and no ``_`` first, which hides it."""
    label = printable(label)
    label = label if len(label) <= most else f"{label[: most - 1]}…"
    return f" {label}".replace("$", r"\$") if label.startswith("_") else label.replace("$", r"\$")


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
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box stands for it
        figure.savefig(content, format="png", transparent=True)
    return content.getvalue()
