"""Caps applied to the selected cells, one after the other."""

from dataclasses import dataclass

import ibis.expr.types as ir

from omics_datastore.curriculum.cap import SMALLEST, Cap
from omics_datastore.curriculum.obs_layout import check_group_column
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.errors import InputError
from omics_datastore.query.caps import capped_cells, group_sizes
from omics_datastore.shuffle import mixing_rounds
from omics_datastore.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class CapEffect:
    """What a cap did: the cells of each group that could stay, of how many groups, and the cells that it left out."""

    cap: Cap
    most: int
    groups: int
    left_out: int


def check_caps(specification: CurriculumSpecification) -> None:
    """Check the columns that caps name.

    :param specification: The specification.
    :raise InputError: When there is no such column, or it makes no groups.
    """
    for name in (name for cap in specification.caps for name in cap.per):
        check_group_column("caps", name)


def apply_caps(
    specification: CurriculumSpecification, cells: ir.Table, warehouse: Warehouse
) -> tuple[ir.Table, tuple[CapEffect, ...]]:
    """Apply the caps of a specification.

    Which cells of a group stay is decided by their shuffle keys, mixed by the seed and by the number of the cap: were
    the order the same for two caps, the second would prefer what the first had cut most.

    :param specification: The specification.
    :param cells: The cells that the filter selects.
    :param warehouse: The warehouse, which is asked once a cap.
    :return: The cells that stay, with the same columns, and what each cap did.
    :raise InputError: When a cap leaves none.
    """
    effects: list[CapEffect] = []
    for number, cap in enumerate(specification.caps, start=1):
        asked = None if cap.cells == SMALLEST else int(cap.cells)
        sizes = warehouse.query(group_sizes(cells, cap.per, asked, cap.at_least)).row(0, named=True)
        if not sizes["groups"]:
            raise InputError(
                f"cap {number} of curriculum {specification.name}, {cap}, leaves none of {sizes['cells']} cells: the "
                f"largest group has {sizes['largest']}; write at_least: {sizes['largest']} or less."
            )
        most = int(sizes["smallest"]) if asked is None else asked
        kept = most * sizes["groups"] if asked is None else sizes["kept"]
        effects.append(CapEffect(cap, most, sizes["groups"], sizes["cells"] - kept))
        rounds = mixing_rounds("cap", specification.seed, number)
        cells = capped_cells(cells, cap.per, most, cap.at_least, rounds)
    return cells, tuple(effects)
