"""Open shards as a trainer does and check the rules of its loader (cellarium-ml's DistributedAnnDataCollection).

The rules compare every shard with the first; here they are also compared with the plan.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from omics_datastore.curriculum.plan import read_plan
from omics_datastore.curriculum.plan_cells import read_features
from omics_datastore.curriculum.plan_model import CurriculumPlan, ObsColumn, PlannedBin
from omics_datastore.curriculum.shard_files import local_shard
from omics_datastore.shuffle import permutation
from omics_datastore.storage.layout import shard_key, shard_name
from omics_datastore.storage.object_store import ObjectStore

if TYPE_CHECKING:
    import anndata
    import polars as pl

_DTYPES = {"string": "object", "int64": "int64", "float64": "float64", "bool": "bool", "boolean": "boolean"}


@dataclass(frozen=True)
class Verification:
    """The shards that were opened, and one sentence for each rule that one of them breaks."""

    shards: list[str]
    problems: list[str]


def verify_curriculum(name: str, version: int, store: ObjectStore, *, random_shards: int = 3) -> Verification:
    """Open the first, the last and some other shards of a version and check them.

    :param name: Curriculum key.
    :param version: Version.
    :param store: Object store.
    :param random_shards: How many others, chosen by the seed of the specification.
    :return: What was opened and what is wrong.
    :raise FileNotFoundError: When the version was not planned.
    :raise CorruptionError: When a file of the plan is not what was written.
    """
    plan = read_plan(store, name, version)
    features = read_features(store, plan)
    count = len(plan.bins)
    others = permutation(count, "verify", str(plan.specification.get("seed", 0)))[:random_shards].tolist()
    numbers = list(dict.fromkeys([0, count - 1, *others]))
    problems: list[str] = []
    first: anndata.AnnData | None = None
    for number in numbers:
        try:
            shard = _open(store, plan, number)
        except Exception as error:  # noqa: BLE001 - whatever a reader raises means that a trainer cannot read it
            problems.append(f"{shard_name(number, plan.file_format)} cannot be opened: {error}")
            continue
        found = [*_against_plan(shard, plan, plan.bins[number], features)]
        if first is None:
            first = shard
        else:
            found += _against_first(shard, first)
        problems += [f"{shard_name(number, plan.file_format)}: {problem}" for problem in found]
    return Verification([shard_name(number, plan.file_format) for number in numbers], problems)


def _open(store: ObjectStore, plan: CurriculumPlan, number: int) -> "anndata.AnnData":
    import anndata

    with local_shard(store, shard_key(plan.name, plan.version, number, plan.file_format)) as path:
        return anndata.read_h5ad(path) if path.is_file() else anndata.read_zarr(path)


def _against_plan(
    shard: "anndata.AnnData", plan: CurriculumPlan, planned: PlannedBin, features: "pl.DataFrame"
) -> list[str]:
    problems: list[str] = []
    if shard.n_obs != planned.cells:
        problems.append(f"it has {shard.n_obs} cells, not {planned.cells}")
    first = planned.first_position
    if shard.obs_names.tolist() != [str(place) for place in range(first, first + planned.cells)]:
        problems.append(f"obs_names are not the places {first} to {first + planned.cells - 1} in the curriculum")
    ids, names = features["feature_id"].to_list(), features["feature_name"].to_list()
    if shard.var_names.tolist() != ids or shard.var.to_dict("list") != {"feature_id": ids, "feature_name": names}:
        problems.append("var is not the features of the plan in order")
    if shard.obs.columns.tolist() != [column.name for column in plan.obs_columns]:
        problems.append("obs columns are not those of the plan in order")
    else:
        for column in plan.obs_columns:
            problems += _column_problems(shard.obs[column.name], column)
    return [*problems, *_matrix_problems(shard.X)]


def _column_problems(values: Any, column: ObsColumn) -> list[str]:
    dtype = values.dtype
    if column.kind != "category":
        expected = _DTYPES[column.kind]
        return [] if str(dtype) == expected else [f"obs column {column.name} is {dtype}, not {expected}"]
    if str(dtype) != "category":
        return [f"obs column {column.name} is {dtype}, not category"]
    same = values.cat.categories.tolist() == (column.categories or []) and not values.cat.ordered
    return [] if same else [f"obs column {column.name} has other categories than the plan"]


def _matrix_problems(matrix: Any) -> list[str]:
    if getattr(matrix, "format", None) != "csr":
        return ["X is not CSR"]
    problems: list[str] = []
    if matrix.dtype != np.float32:
        problems.append(f"X holds {matrix.dtype}, not float32")
    if matrix.indices.dtype != np.int32 or matrix.indptr.dtype != np.int32:
        problems.append("the indices of X are not int32")
    steps = np.diff(matrix.indices)
    inside = np.ones(len(steps), bool)
    ends = matrix.indptr[1:-1]
    inside[ends[(ends > 0) & (ends < matrix.nnz)] - 1] = False
    if (steps[inside] <= 0).any():
        problems.append("the columns of a row of X are not ascending")
    if matrix.nnz and (matrix.data.min() <= 0 or not np.isfinite(matrix.data).all()):
        problems.append("X holds values that are not counts")
    return problems


def _against_first(shard: "anndata.AnnData", first: "anndata.AnnData") -> list[str]:
    problems: list[str] = []
    if not shard.var.equals(first.var):
        problems.append("var differs from that of the first shard")
    if not shard.obs.dtypes.equals(first.obs.dtypes):
        problems.append("obs dtypes or categories differ from those of the first shard")
    if set(shard.layers) != set(first.layers) or set(shard.obsm) != set(first.obsm):
        problems.append("layers or obsm differ from those of the first shard")
    return problems
