"""Runs over many partitions at once: which partitions a run is over, and how a list of them is divided into runs.

Dagster says which by the first and the last of them, in the order in which they were added. What a person sees of such
a run is what they would see of as many runs: every partition has materializations and checks of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import dagster as dg

from nexus_assets.policy import PARTITION
from omics_datastore.errors import InputError

_T = TypeVar("_T")
_V = TypeVar("_V")

MOST_DATASETS = 100
"""Datasets of one run. BigQuery takes 1,500 loads a table and day, so 150,000 datasets can be ingested in a day."""
MOST_BYTES = 20 * 2**30
"""Bytes of source files of one run that a sensor or command starts; a dataset that is larger has a run of its own."""
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
"""Run tags of Dagster's own: the first and the last partition of a run over several."""


_AT_ONCE = 8


def batch_tags(batch: Sequence[str]) -> dict[str, str]:
    """Return the tags of a run over several partitions.

    :param batch: Partition keys, of which :func:`divide` gave the list.
    :return: Tags; none for a single partition, which a run has in another way.
    """
    return {RANGE_START: batch[0], RANGE_END: batch[-1]} if len(batch) > 1 else {}


def batch_name(keys: Sequence[str]) -> str:
    """Name partitions for people, job ids and folders.

    :param keys: Partition keys.
    :return: The key, or the first and the last.
    """
    return keys[0] if len(keys) == 1 else f"{keys[0]}..{keys[-1]}"


def divide(
    known: Sequence[str], sizes: Mapping[str, int], *, most: int = MOST_DATASETS, most_bytes: int = MOST_BYTES
) -> list[list[str]]:
    """Divide partitions into runs: each is a range in the order of all partitions, neither too many nor too large.

    :param known: All partitions that were added, in their order; what is not among them is added after them, sorted.
    :param sizes: Bytes of each partition to divide.
    :param most: Partitions of one run.
    :param most_bytes: Bytes of one run that has more than one partition.
    :return: The partitions of each run; together those of ``sizes``.
    """
    places = {key: place for place, key in enumerate([*known, *sorted(set(sizes) - set(known))])}
    found: list[list[str]] = []
    size = 0
    for key in sorted(sizes, key=lambda key: places[key]):
        follows = bool(found) and places[found[-1][-1]] == places[key] - 1
        if follows and len(found[-1]) < most and size + sizes[key] <= most_bytes:
            found[-1].append(key)
            size += sizes[key]
        else:
            found.append([key])
            size = sizes[key]
    return found


def partitions_of(run: dg.DagsterRun, known: Callable[[], Sequence[str]]) -> Sequence[str]:
    """Return the partitions of a run.

    :param run: The run.
    :param known: Gives all partitions that were added, in their order; asked for a run over several.
    :return: Partition keys; none when the run has none, or when the ends of its range were deleted.
    """
    if PARTITION in run.tags:
        return [run.tags[PARTITION]]
    if RANGE_START not in run.tags:
        return []
    order = list(known())
    try:
        return order[order.index(run.tags[RANGE_START]) : order.index(run.tags[RANGE_END]) + 1]
    except ValueError:
        return []


def halves(values: Mapping[str, _V]) -> list[dict[str, _V]]:
    """Divide partitions in two.

    :param values: Anything by partition, of two partitions at least.
    :return: Both halves, in order.
    """
    items = list(values.items())
    return [dict(items[: len(items) // 2]), dict(items[len(items) // 2 :])]


def each(partitions: Sequence[str], work: Callable[[str], _T]) -> dict[str, _T | InputError]:
    """Do the same for each partition, side by side: an object store answers many requests at once.

    :param partitions: Partition keys.
    :param work: What to do; it is called in threads.
    :return: What it returned, or the input error that it raised, by partition in the order given.
    """

    def done(key: str) -> _T | InputError:
        try:
            return work(key)
        except InputError as error:
            return error

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return dict(zip(partitions, threads.map(done, partitions), strict=True))
