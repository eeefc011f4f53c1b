"""How well curricula are mixed: ``python -m benchmarks.shuffling FOLDER`` writes the table and the plot of the docs.

The cells of 40 source files of very different sizes are cut into bins in three ways: as files follow each other, by
blocks of 512 cells as loaders that shuffle on the fly do, and by shuffle key as Nexus does. How many cells of each file
a bin should have is known; the chi-square statistic says how far it is from that.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from omics_datastore.shuffle import mixing_rounds, rotation, shuffle_keys

FILES, BIN_SIZE, BLOCK = 40, 10_000, 512
_INK = "#7d8590"


def corpus() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the file and the shuffle key of each cell, files one after the other.

    :return: Two int64 arrays of about 450,000 cells.
    """
    sizes = (np.geomspace(500, 60_000, FILES)).astype(int)
    files = np.repeat(np.arange(FILES), sizes)
    keys = [shuffle_keys(f"dataset-{file // 4}", f"{file:064x}", 0, size) for file, size in enumerate(sizes)]
    return files, np.concatenate(keys)


def orders(keys: NDArray[np.int64], seed: int) -> dict[str, NDArray[np.int64]]:
    """Return the order of the cells in each way.

    :param keys: Shuffle keys.
    :param seed: Seed.
    :return: Places of cells, by the name of the way.
    """
    blocks = np.arange(len(keys)) // BLOCK
    ranks = np.random.default_rng(seed).permutation(blocks[-1] + 1)
    return {
        "files as they follow each other": np.arange(len(keys)),
        f"blocks of {BLOCK} cells shuffled": np.argsort(ranks[blocks], kind="stable"),
        "order: store": np.roll(np.argsort(keys), -int(np.searchsorted(np.sort(keys), rotation(seed)))),
        "order: exact": np.argsort(mix_keys(keys, seed)),
    }


def mix_keys(keys: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Mix keys by a seed, as :func:`omics_datastore.query.mixing.mixed` does in SQL.

    :param keys: Shuffle keys.
    :param seed: Seed.
    :return: uint64 array of the same length.
    """
    values = keys.astype(np.uint64)
    high, low = values >> np.uint64(31), values & np.uint64(2**31 - 1)
    for number, (multiplier, addend) in enumerate(mixing_rounds("cells", seed)):
        if number % 2 == 0:
            high ^= (low * np.uint64(multiplier) + np.uint64(addend)) % np.uint64(2**32 - 5)
        else:
            low ^= (high * np.uint64(multiplier) + np.uint64(addend)) % np.uint64(2**31 - 1)
    return (high << np.uint64(31)) + low


def composition(files: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the cells of each file in each whole bin.

    :param files: File of each cell.
    :param order: Places of cells.
    :return: int64 array of shape (bins, files).
    """
    bins = len(order) // BIN_SIZE
    rows = files[order][: bins * BIN_SIZE].reshape(bins, BIN_SIZE)
    return np.stack([np.bincount(row, minlength=FILES) for row in rows])


def chi_square(counts: NDArray[np.int64], files: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the chi-square statistic of each bin, divided by its degrees of freedom: about 1 for a random sample.

    :param counts: Result of :func:`composition`.
    :param files: File of each cell.
    :return: float64 array of shape (bins,).
    """
    expected = BIN_SIZE * np.bincount(files, minlength=FILES) / len(files)
    # A bin is drawn without replacement.
    spread = expected * (1 - BIN_SIZE / len(files))
    found: NDArray[np.float64] = ((counts - expected) ** 2 / spread).sum(axis=1) / (FILES - 1)
    return found


def main(folder: Path) -> None:
    """Print the table and write the plot.

    :param folder: Where ``shuffling.png`` goes.
    """
    files, keys = corpus()
    bins = len(keys) // BIN_SIZE
    limit = stats.chi2.ppf(0.999, FILES - 1) / (FILES - 1)
    lines = [
        f"{len(keys):,} cells of {FILES} files, {bins} bins of {BIN_SIZE:,}; chi-square over degrees of freedom, which",
        f"stays below {limit:.2f} for 99.9 % of random bins",
        "",
        "| order | mean over bins | worst bin |",
        "|---|---|---|",
    ]
    found = {name: composition(files, order) for name, order in orders(keys, 1).items()}
    for name, counts in found.items():
        score = chi_square(counts, files)
        lines.append(f"| {name} | {score.mean():,.2f} | {score.max():,.2f} |")
    sys.stdout.write("\n".join([*lines, ""]))
    draw(found, folder / "shuffling.png")


def draw(found: dict[str, NDArray[np.int64]], path: Path) -> None:
    """Draw what each bin is made of, a row a way of ordering.

    :param found: Compositions.
    :param path: The picture.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    shown = [name for name in found if name != "order: exact"]
    figure = Figure(figsize=(7.2, 1.5 * len(shown)), layout="constrained")
    figure.patch.set_alpha(0)
    axes: Any = figure.subplots(len(shown), 1, sharex=True)
    colours = mpl.colormaps["turbo"](np.linspace(0.05, 0.95, FILES))
    for axis, name in zip(axes, shown, strict=True):
        below = np.zeros(len(found[name]))
        for file in range(FILES):
            share = found[name][:, file] / BIN_SIZE
            axis.bar(np.arange(len(share)), share, width=1.0, bottom=below, color=colours[file], linewidth=0)
            below += share
        axis.set_title(name, color=_INK, fontsize=9, loc="left")
        axis.patch.set_alpha(0)
        axis.set_yticks([])
        axis.tick_params(colors=_INK, labelsize=8)
        axis.set_xlim(-0.5, len(share) - 0.5)
        for spine in axis.spines.values():
            spine.set_visible(False)
    axes[-1].set_xlabel("bin; each colour is a source file", color=_INK, fontsize=8)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
