"""The fixed set of queries whose answers are compared, and what must hold of a warehouse at every moment."""

import hashlib
from typing import Any

from omics_datastore.curriculum.release_model import read_release
from omics_datastore.curriculum.versions import is_complete, list_curricula
from omics_datastore.purge import find_leftovers
from omics_datastore.query.cells import count_by, describe_cells, selected_cells
from omics_datastore.query.committed import only_committed
from omics_datastore.query.compile import compile_sql
from omics_datastore.query.filters import CellFilter
from omics_datastore.schema.relations import relation
from omics_datastore.schema.tables import RAW_COUNTS
from tests.crash.places import Place
from tests.crash.story import LATER

_DESCRIBED = describe_cells(selected_cells(CellFilter()))


def glance(place: Place) -> dict[str, Any]:
    """Ask a place what people see first.

    :param place: The place.
    :return: ``current``: what new curricula and counts see. ``broken``: what is visible and not whole; nothing must be.
    """
    store, warehouse = place.store(), place.warehouse()
    ingests = warehouse.ingests()
    ids = sorted(ingests.filter("is_current")["ingest_id"].to_list())
    expected = {row["ingest_id"]: (row["cell_count"], row["nnz"], row["feature_count"]) for row in ingests.to_dicts()}
    broken = [
        row["ingest_id"]
        for row in warehouse.count_totals(list(expected)).to_dicts()
        if (row["raw_counts_rows"], row["nnz"], row["feature_info_rows"]) != expected[row["ingest_id"]]
        or row["cell_info_rows"] != row["raw_counts_rows"]
        or row["orphan_cells"]
    ]
    broken += [
        f"{item.name}.v{item.version}"
        for item in list_curricula(store)
        if item.state == "released" and not is_complete(store, read_release(store, item.name, item.version))
    ]
    counted = warehouse.query(_counted(ids)).rows() if ids else []
    return {"current": _mark([ids, counted]), "broken": broken}


def answers(place: Place) -> dict[str, Any]:
    """Ask a place everything.

    :param place: The place.
    :return: What :func:`glance` says; ``rows``: all rows of ``ingest_info``; ``described`` and ``sums``: the cells and
        the counts of all that is visible; ``curricula``: every version and how far it is.
    """
    warehouse = place.warehouse()
    return {
        **glance(place),
        "rows": _mark(warehouse.ingests().rows()),
        "described": _mark(warehouse.query(_DESCRIBED).rows()),
        "sums": _mark(sorted(warehouse.query(_sums()).rows())),
        "curricula": [[*item] for item in list_curricula(place.store())],
    }


def compile_questions() -> None:
    """Compile the queries once, which fills Ibis's caches for the children of this process."""
    for expression in (_counted(["x@000000000000"]), _DESCRIBED, _sums()):
        compile_sql(only_committed(expression), "duckdb")


def leftovers(place: Place) -> list[str]:
    """Name what a purge would delete, once everything is old."""
    found = find_leftovers(place.store(), place.warehouse(), now=LATER)
    return [f"{item.reason}: {item.name}" for item in found]


def _counted(ids: list[str]) -> Any:
    return count_by(selected_cells(CellFilter(), ids), ["dataset", "ingest_id", "cell_type"])


def _sums() -> Any:
    counts = relation(RAW_COUNTS)
    counted = counts.select("ingest_id", count=counts["raw_count"].unnest())
    return counted.group_by("ingest_id").aggregate(total=counted["count"].sum(), nnz=counted.count())


def _mark(rows: Any) -> str:
    return hashlib.sha256(repr(rows).encode()).hexdigest()
