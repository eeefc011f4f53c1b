"""Keep the plots of an asset: small ones in its metadata, whole ones in the store under ``plots/``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nexus_assets.plots import bars
from nexus_assets.report_metadata import picture, place
from omics_datastore.storage.layout import plots_folder
from omics_datastore.storage.object_store import ObjectStore

_SHOWN = 12
_MOST = 200


@dataclass(frozen=True)
class Plot:
    """A plot as PNG: small enough for a page of metadata, and whole."""

    small: bytes
    whole: bytes


def bar_plot(title: str, labels: list[str], values: list[float]) -> Plot:
    """Draw bars: the first dozen small, up to 200 whole.

    :param title: Title.
    :param labels: One label a bar.
    :param values: One length a bar, the longest first.
    :return: The plot.
    """
    small = bars(title, labels[:_SHOWN], values[:_SHOWN])
    return Plot(small, bars(title, labels[:_MOST], values[:_MOST]) if len(values) > _SHOWN else small)


def keep_plots(
    store: ObjectStore, asset: list[str], plots: Mapping[str, Plot | bytes], partition: str | None = None
) -> dict[str, Any]:
    """Write whole plots in the place of those that were there.

    :param store: Object store.
    :param asset: Key of the asset.
    :param plots: The plots by name; one that is small and whole at once as bytes.
    :param partition: Partition of the asset.
    :return: Metadata ``plot_<name>``, and ``plots``: where the whole ones lie.
    """
    folder = plots_folder(asset, partition)
    made = {name: Plot(plot, plot) if isinstance(plot, bytes) else plot for name, plot in plots.items()}
    kept = {f"{folder}{name}.png": plot.whole for name, plot in made.items()}
    for entry in list(store.entries(folder)):
        if entry.key not in kept:
            store.delete(entry.key)
    for key, content in kept.items():
        store.write(key, content)
    shown: dict[str, Any] = {f"plot_{name}": picture(plot.small) for name, plot in made.items()}
    return {**shown, "plots": place(store.uri(folder.rstrip("/")), folder=True)} if shown else shown
