"""Which ingests and which cells a specification selects, before anything is planned."""

from collections.abc import Sequence
from dataclasses import dataclass

import ibis.expr.types as ir
import polars as pl

from omics_datastore.curriculum.capped import CapEffect, apply_caps, check_caps
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.splits import Part, check_split, split_cells
from omics_datastore.errors import InputError
from omics_datastore.query.cells import count_cells, selected_cells
from omics_datastore.query.curriculum import cells_by_ingest
from omics_datastore.query.filters import CellFilter
from omics_datastore.query.ontology import OntologyTerms, ontology_terms
from omics_datastore.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class Selection:
    """Selected cells.

    ``ingests`` has the rows of ``ingest_info`` that have cells of the filter, by id, and how many stay, ``cells``: caps
    may leave none, and the ingest decides all the same which cells of others stay. ``cells`` is the relation of the
    cells that stay; ``terms`` is what ``descendant_of`` meant; ``caps`` is what each cap did; ``splits`` are the parts
    of them, none when the specification has no split. ``asked`` are the ids of all ingests that were looked at.
    """

    ingests: pl.DataFrame
    cells: ir.Table
    terms: OntologyTerms | None = None
    caps: tuple[CapEffect, ...] = ()
    splits: tuple[Part, ...] = ()
    asked: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return the parts that are ordered each by itself: the splits, or all cells as one."""
        return self.splits or (Part(None, self.cells, self.total_cells),)

    @property
    def total_cells(self) -> int:
        """Return the number of selected cells."""
        return int(self.ingests["cells"].sum())

    def counts(self) -> dict[str, int]:
        """Return the number of cells by ingest id."""
        return dict(zip(self.ingests["ingest_id"].to_list(), self.ingests["cells"].to_list(), strict=True))

    def contributing(self) -> dict[str, int]:
        """Return the number of cells by ingest id, of the ingests that have any."""
        return {ingest_id: cells for ingest_id, cells in self.counts().items() if cells}


def select(
    specification: CurriculumSpecification,
    warehouse: Warehouse,
    ingest_ids: Sequence[str] | None = None,
    terms: OntologyTerms | None = None,
) -> Selection:
    """Select the cells of a specification.

    :param specification: The specification.
    :param warehouse: The warehouse.
    :param ingest_ids: Ingests that were pinned; by default the current ones.
    :param terms: What ``descendant_of`` means; by default what the installed ontologies say.
    :return: The selection; it has cells.
    :raise InputError: When no cell is left (the message names the condition that removed the last), when a
        condition does not fit, or when a pinned ingest is gone.
    """
    committed = warehouse.ingests()
    if ingest_ids is None:
        chosen = committed.filter("is_current")
    else:
        chosen = committed.filter(pl.col("ingest_id").is_in(list(ingest_ids)))
        gone = sorted(set(ingest_ids) - set(chosen["ingest_id"]))
        if gone:
            raise InputError(
                f"curriculum {specification.name} was made from ingest {gone[0]} ({len(gone)} in all), which the "
                "warehouse no longer holds; build a new version."
            )
    if not committed.height:
        raise InputError("the warehouse holds no dataset yet; ingest one first.")
    if not chosen.height:
        raise InputError("every dataset of the warehouse is retired; ingest one again, which brings it back.")
    check_caps(specification)
    check_split(specification)
    ids = sorted(chosen["ingest_id"].to_list())
    terms = terms or ontology_terms(specification.cell_filter)
    counts = warehouse.query(cells_by_ingest(selected_cells(specification.cell_filter, ids, terms)))
    if not counts.height:
        raise InputError(_why_none(specification, warehouse, ids, terms))
    ingests = chosen.join(counts, on="ingest_id", how="inner").sort("ingest_id")
    cells = selected_cells(specification.cell_filter, ingests["ingest_id"].to_list(), terms)
    effects: tuple[CapEffect, ...] = ()
    if specification.caps:
        cells, effects = apply_caps(specification, cells, warehouse)
        kept = ingests.drop("cells").join(warehouse.query(cells_by_ingest(cells)), on="ingest_id", how="left")
        ingests = kept.with_columns(pl.col("cells").fill_null(0)).sort("ingest_id")
    return Selection(ingests, cells, terms, effects, split_cells(specification, cells, warehouse), tuple(ids))


def cells_left_out(specification: CurriculumSpecification, warehouse: Warehouse, selection: Selection) -> int:
    """Count the cells of the ingests of a selection that ``primary_only`` leaves out.

    :param specification: The specification.
    :param warehouse: The warehouse.
    :param selection: What it selects; what became current since does not count.
    :return: Cells that the filter alone would select as well, before any cap.
    """
    if not specification.primary_only:
        return 0
    every = selected_cells(specification.filter, list(selection.asked), selection.terms)
    kept = selection.total_cells + sum(effect.left_out for effect in selection.caps)
    return int(warehouse.query(count_cells(every)).item()) - kept


def _why_none(
    specification: CurriculumSpecification, warehouse: Warehouse, ids: list[str], terms: OntologyTerms | None
) -> str:
    def count(cell_filter: CellFilter) -> int:
        return int(warehouse.query(count_cells(selected_cells(cell_filter, ids, terms))).item())

    left = count(CellFilter())
    for number, condition in enumerate(specification.cell_filter.conditions, start=1):
        kept = count(CellFilter(conditions=specification.cell_filter.conditions[:number]))
        if not kept:
            before = "of all" if number == 1 else "left by the conditions before it"
            added = number > len(specification.filter.conditions)
            hint = "; primary_only: false takes them" if added else ""
            return (
                f"the filter of curriculum {specification.name} selects no cell: condition {number}, {condition}, "
                f"holds for none of the {left} cells {before}{hint}."
            )
        left = kept
    return "the warehouse holds no cell yet; ingest a dataset first."
