"""The queries only the planner of curricula asks: cells by ingest, obs columns summed up, cells in order, features."""

from collections.abc import Mapping, Sequence

import ibis
import ibis.expr.types as ir

from omics_datastore.query.columns import cell_column, null_safe_order
from omics_datastore.query.mixing import mixed
from omics_datastore.schema.relations import relation
from omics_datastore.schema.tables import FEATURE_INFO
from omics_datastore.shuffle import mixing_rounds


def cells_by_ingest(cells: ir.Table) -> ir.Table:
    """Count the selected cells of each ingest.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`.
    :return: ``ingest_id`` and ``cells``, by id; ingests without such cells are left out.
    """
    return cells.group_by("ingest_id").aggregate(cells=cells.count()).order_by("ingest_id")


def summarise_columns(cells: ir.Table, columns: Sequence[str]) -> ir.Table:
    """Count nulls and distinct values of columns.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`.
    :param columns: Columns as :func:`omics_datastore.query.columns.cell_column` takes them.
    :return: One row of int64: ``nulls_<i>`` and ``distinct_<i>`` (nulls not counted) of the i-th column.
    """
    values = cells.select(**{f"value_{number}": cell_column(cells, name) for number, name in enumerate(columns)})
    totals: dict[str, ir.Scalar] = {}
    for number in range(len(columns)):
        value = values[f"value_{number}"]
        totals[f"nulls_{number}"] = ibis.coalesce(value.isnull().sum(), 0)
        totals[f"distinct_{number}"] = value.nunique()
    return values.aggregate(**totals)


def distinct_values(cells: ir.Table, columns: Sequence[str]) -> ir.Table:
    """List the distinct values of text columns.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`.
    :param columns: At least one text column, as :func:`omics_datastore.query.columns.cell_column` takes them.
    :return: ``number`` (place in ``columns``, int64) and ``value`` (text, never null), in no order.
    """
    parts: list[ir.Table] = []
    for number, name in enumerate(columns):
        values = cells.select(number=ibis.literal(number, "int64"), value=cell_column(cells, name))
        parts.append(values.filter(values["value"].notnull()).distinct())
    return ibis.union(*parts)


def cells_in_store_order(
    cells: ir.Table, columns: Sequence[str], first_key: int, span: tuple[int, int] | None = None
) -> ir.Table:
    """List the selected cells in the order of their shuffle keys, beginning at a key and going round.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`.
    :param columns: Columns as :func:`omics_datastore.query.columns.cell_column` takes them.
    :param first_key: The key to begin at.
    :param span: First and last key of the cells to list; by default all.
    :return: ``ingest_id``, ``cell_index``, ``shuffle_key``, ``n_features``, and ``obs_<i>`` for the i-th column.
    """
    values = {f"obs_{number}": cell_column(cells, name) for number, name in enumerate(columns)}
    chosen = cells.select("ingest_id", "cell_index", "shuffle_key", "n_features", **values)
    if span is not None:
        first, last = (ibis.literal(key, "int64") for key in span)
        chosen = chosen.filter(chosen["shuffle_key"] >= first, chosen["shuffle_key"] <= last)
    later = chosen["shuffle_key"] < ibis.literal(first_key, "int64")
    return chosen.order_by([later, "shuffle_key", "ingest_id", "cell_index"])


def cells_in_exact_order(cells: ir.Table, columns: Sequence[str], seed: int) -> ir.Table:
    """List the selected cells in an order of the seed's own, which has nothing to do with that of another seed.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`.
    :param columns: Columns as :func:`omics_datastore.query.columns.cell_column` takes them.
    :param seed: Seed of the specification.
    :return: The columns of :func:`cells_in_store_order`.
    """
    chosen = _placed(cells, columns, seed)
    return _without(chosen.order_by(["place_key", "ingest_id", "cell_index"]), "place_key")


def cells_in_groups(
    cells: ir.Table, columns: Sequence[str], group_by: Sequence[str], bin_size: int, seed: int
) -> ir.Table:
    """List the selected cells bin by bin: bins of one group each, in an order of the seed's own, as are their cells.

    :param cells: Result of :func:`omics_datastore.query.cells.selected_cells`.
    :param columns: Columns as :func:`omics_datastore.query.columns.cell_column` takes them.
    :param group_by: Columns whose values all cells of a bin share; a null is a value of its own.
    :param bin_size: Cells of a bin; the last one of a group has the rest.
    :param seed: Seed of the specification.
    :return: The columns of :func:`cells_in_store_order`, and ``group_<i>`` for the i-th column of ``group_by``, and
        ``bin_of_group`` (int64): a bin ends where one of these changes.
    """
    groups = {f"group_{number}": cell_column(cells, name) for number, name in enumerate(group_by)}
    chosen = _placed(cells, columns, seed, groups)
    within = ibis.window(group_by=list(groups), order_by=["place_key", "ingest_id", "cell_index"])
    placed = chosen.mutate(place=ibis.row_number().over(within).cast("int64"))
    binned = placed.mutate(bin_of_group=(placed["place"] // ibis.literal(bin_size, "int64")).cast("int64"))
    of_bin = ibis.window(group_by=[*groups, "bin_of_group"])
    known = binned.mutate(first_key=binned["place_key"].min().over(of_bin))
    ordered = known.mutate(bin_key=mixed(known["first_key"], mixing_rounds("bins", seed)))
    bins = ["bin_key", *null_safe_order(ordered, list(groups)), "bin_of_group"]
    listed = ordered.order_by([*bins, "place_key", "ingest_id", "cell_index"])
    return _without(listed, "place_key", "place", "first_key", "bin_key")


def _without(ordered: ir.Table, *names: str) -> ir.Table:
    # Ibis writes drop() as a query around the ordered one, whose order BigQuery need not keep.
    return ordered.select([name for name in ordered.columns if name not in names])


def _placed(
    cells: ir.Table, columns: Sequence[str], seed: int, groups: Mapping[str, ir.Value] | None = None
) -> ir.Table:
    values = {f"obs_{number}": cell_column(cells, name) for number, name in enumerate(columns)}
    key = mixed(cells["shuffle_key"], mixing_rounds("cells", seed))
    names = ("ingest_id", "cell_index", "shuffle_key", "n_features")
    return cells.select(*names, **values, **(groups or {}), place_key=key)


def features_of_ingests(ingest_ids: Sequence[str]) -> ir.Table:
    """List the features of ingests.

    :param ingest_ids: At least one ingest id.
    :return: ``ingest_id``, ``feature_index``, ``ensembl_id``, ``symbol``, in no order.
    """
    features = relation(FEATURE_INFO)
    chosen = features.filter(features["ingest_id"].isin(list(ingest_ids)))
    return chosen.select("ingest_id", "feature_index", "ensembl_id", "symbol")
