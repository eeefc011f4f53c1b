"""What a new version of a curriculum would add or lose against its newest planned one; nothing is written.

A cell is the same cell when it is the same row of the same ingest: cells of a changed source file count as removed and
added.
"""

from typing import Any

import ibis
import ibis.expr.types as ir
from pydantic import BaseModel

from omics_datastore.curriculum.features import curriculum_features
from omics_datastore.curriculum.obs_layout import decide_obs_layout, obs_sources, split_column
from omics_datastore.curriculum.plan import read_plan
from omics_datastore.curriculum.plan_cells import read_features
from omics_datastore.curriculum.plan_model import CurriculumPlan, ObsColumn
from omics_datastore.curriculum.selection import Selection, select
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.versions import versions_of
from omics_datastore.keys import make_curriculum_partition
from omics_datastore.query.cells import count_by, count_cells
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.warehouse.warehouse import Warehouse


class CellsChange(BaseModel):
    """Cells of one dataset that a new version would add, lose and keep."""

    dataset: str
    added: int
    removed: int
    unchanged: int


class SplitChange(BaseModel):
    """Cells of one split that a new version would add, lose and keep; one that changes its split is lost and added."""

    split: str
    added: int
    removed: int
    unchanged: int


class NamesChange(BaseModel):
    """Names that a new version would add and lose, each in order, and how many it would keep."""

    added: list[str]
    removed: list[str]
    unchanged: int


class CurriculumDifference(BaseModel):
    """What a new version would be against ``against``, the newest planned one; ``None`` when there is none."""

    name: str
    against: str | None
    specification_changed: list[str]
    ingests: NamesChange
    cells: list[CellsChange]
    splits: list[SplitChange] = []
    features: NamesChange
    obs_columns: NamesChange
    categories: dict[str, NamesChange]
    bins: tuple[int, int]
    total_cells: tuple[int, int]

    @property
    def is_empty(self) -> bool:
        """Tell whether a new version would be the same."""
        names = (self.ingests, self.features, self.obs_columns, *self.categories.values())
        cells = any(change.added or change.removed for change in self.cells)
        return not (self.specification_changed or cells or any(change.added or change.removed for change in names))


def curriculum_difference(
    specification: CurriculumSpecification, warehouse: Warehouse, store: ObjectStore
) -> CurriculumDifference:
    """Compare what a specification selects now with the newest planned version of its name.

    :param specification: The specification.
    :param warehouse: The warehouse.
    :param store: Object store.
    :return: The difference.
    :raise InputError: When the specification is wrong or selects no cell.
    """
    plan = _newest_plan(store, specification.name)
    new = select(specification, warehouse)
    features = curriculum_features(specification.features, new.contributing(), warehouse, store)
    layout = decide_obs_layout(obs_sources(specification), new.cells, warehouse, specification.category_limit)
    layout += split_column(specification)
    old = None if plan is None else _selected_then(plan, warehouse)
    old_features = [] if plan is None else read_features(store, plan)["feature_id"].to_list()
    old_layout = [] if plan is None else plan.obs_columns
    old_ingests = [] if plan is None else [ingest.ingest_id for ingest in plan.ingests]
    return CurriculumDifference(
        name=specification.name,
        against=None if plan is None else make_curriculum_partition(plan.name, plan.version),
        specification_changed=_changed_fields(specification, plan),
        ingests=_names(old_ingests, new.ingests["ingest_id"].to_list()),
        cells=_cells(old, new, warehouse),
        splits=_splits(old, new, warehouse),
        features=_names(old_features, features.table["feature_id"].to_list()),
        obs_columns=_names([column.name for column in old_layout], [column.name for column in layout]),
        categories=_categories(old_layout, layout),
        bins=(0 if plan is None else len(plan.bins), _bins(specification, new, warehouse)),
        total_cells=(0 if plan is None else plan.total_cells, new.total_cells),
    )


def _newest_plan(store: ObjectStore, name: str) -> CurriculumPlan | None:
    for version in reversed(versions_of(store, name)):
        try:
            return read_plan(store, name, version)
        except FileNotFoundError:
            continue
    return None


def _changed_fields(specification: CurriculumSpecification, plan: CurriculumPlan | None) -> list[str]:
    if plan is None:
        return []
    old = CurriculumSpecification.model_validate(plan.specification)
    names = [name for name in CurriculumSpecification.model_fields if name != "refresh"]
    return [name for name in names if getattr(old, name) != getattr(specification, name)]


def _selected_then(plan: CurriculumPlan, warehouse: Warehouse) -> Selection:
    specification = CurriculumSpecification.model_validate(plan.specification)
    return select(specification, warehouse, [ingest.ingest_id for ingest in plan.ingests], plan.ontology)


def _cells(old: Selection | None, new: Selection, warehouse: Warehouse) -> list[CellsChange]:
    after = _by_dataset(new.cells, warehouse)
    before = {} if old is None else _by_dataset(old.cells, warehouse)
    kept = {} if old is None else _by_dataset(_in_both(old, new, old.cells, new.cells), warehouse)
    return [
        CellsChange(
            dataset=dataset,
            added=after.get(dataset, 0) - kept.get(dataset, 0),
            removed=before.get(dataset, 0) - kept.get(dataset, 0),
            unchanged=kept.get(dataset, 0),
        )
        for dataset in sorted({*before, *after})
    ]


def _splits(old: Selection | None, new: Selection, warehouse: Warehouse) -> list[SplitChange]:
    before = {part.name: part for part in old.splits} if old else {}
    after = {part.name: part for part in new.splits}
    changes: list[SplitChange] = []
    for name in dict.fromkeys([*after, *before]):
        kept = 0
        if old is not None and name in before and name in after:
            both = _in_both(old, new, before[name].cells, after[name].cells)
            kept = int(warehouse.query(count_cells(both)).item())
        had, has = (parts[name].total_cells if name in parts else 0 for parts in (before, after))
        changes.append(SplitChange(split=str(name), added=has - kept, removed=had - kept, unchanged=kept))
    return changes


def _in_both(old: Selection, new: Selection, before: ir.Table, after: ir.Table) -> ir.Table:
    if not set(old.counts()) & set(new.counts()):
        return before.filter(ibis.literal(False))
    return before.semi_join(after, ["ingest_id", "cell_index"])


def _by_dataset(cells: ir.Table, warehouse: Warehouse) -> dict[str, int]:
    rows = warehouse.query(count_by(cells, ["dataset"]))
    return dict(zip(rows["dataset"].to_list(), rows["cells"].to_list(), strict=True))


def _bins(specification: CurriculumSpecification, new: Selection, warehouse: Warehouse) -> int:
    sizes = [part.total_cells for part in new.parts]
    if specification.group_by:
        groups = [warehouse.query(count_by(part.cells, specification.group_by)) for part in new.parts]
        sizes = [cells for found in groups for cells in found["cells"].to_list()]
    return sum(-(-cells // specification.bin_size) for cells in sizes)


def _names(old: list[str], new: list[str]) -> NamesChange:
    before, after = set(old), set(new)
    return NamesChange(
        added=[name for name in new if name not in before],
        removed=[name for name in old if name not in after],
        unchanged=len(before & after),
    )


def _categories(old: list[ObsColumn], new: list[ObsColumn]) -> dict[str, NamesChange]:
    before = {column.name: column.categories or [] for column in old if column.name != "ingest_id"}  # said already
    changes = {
        column.name: _names(before[column.name], column.categories or []) for column in new if column.name in before
    }
    return {name: change for name, change in changes.items() if change.added or change.removed}


def flat_rows(difference: CurriculumDifference) -> list[dict[str, Any]]:
    """List a difference as rows for a table: what, how many added, removed and unchanged, and examples.

    :param difference: The difference.
    :return: Rows with the same keys.
    """
    rows = [
        {
            "what": f"cells of {c.dataset}",
            "added": c.added,
            "removed": c.removed,
            "unchanged": c.unchanged,
            "for example": None,
        }
        for c in difference.cells
    ]
    rows += [
        {
            "what": f"cells of split {c.split}",
            "added": c.added,
            "removed": c.removed,
            "unchanged": c.unchanged,
            "for example": None,
        }
        for c in difference.splits
    ]
    names = {"ingests": difference.ingests, "features": difference.features, "obs columns": difference.obs_columns}
    names |= {f"categories of {name}": change for name, change in difference.categories.items()}
    for what, change in names.items():
        examples = [f"+{name}" for name in change.added[:2]] + [f"-{name}" for name in change.removed[:2]]
        rows.append(
            {
                "what": what,
                "added": len(change.added),
                "removed": len(change.removed),
                "unchanged": change.unchanged,
                "for example": ", ".join(examples) or None,
            }
        )
    return rows
