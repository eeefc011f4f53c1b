"""A Nexus of its own for a test: a root folder, an instance, the definitions over both, and small source files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anndata as ad
import dagster as dg
import numpy as np
import pandas as pd
from scipy import sparse

from kfp_components.tasks import curriculum, ingest_files, load
from nexus_assets.batches import batch_tags
from nexus_assets.definitions import build_defs
from nexus_assets.partitions import CURRICULA, DATASETS, FEATURE_SCHEMAS, add_partition
from nexus_resources.pipelines.observer import PipelineObserver
from nexus_resources.pipelines.resource import PipelinesResource
from nexus_resources.pipelines.runner import PipelineRunner
from nexus_resources.pipelines.scripted import ScriptedPipelines
from nexus_resources.stores import StoreResource, WarehouseResource
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.versions import drop_specification, resolve_version
from omics_datastore.keys import make_curriculum_partition
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.folder import FolderWarehouse

COMPONENTS = {
    "create_ingest_files_job": ingest_files.create_ingest_files_job,
    "validate_anndata_job": ingest_files.validate_anndata_job,
    "ingest_data_to_bigquery_job": load.ingest_data_to_bigquery_job,
    "prepare_extract_job": curriculum.prepare_extract_job,
    "extract_job": curriculum.extract_job,
    "mark_curriculum_as_finished_job": curriculum.mark_curriculum_as_finished_job,
}
_PARTITIONS = {"ingest_dataset": DATASETS, "validate_dataset": DATASETS, "register_feature_schema": FEATURE_SCHEMAS}
_RUNNERS: dict[str, PipelineRunner] = {}
_OBSERVERS: dict[str, Sequence[PipelineObserver]] = {}


class InProcessPipelines(PipelinesResource):
    """Run the components in this process; the runner and its observers are found by the world's root."""

    world: str

    def runner(self) -> PipelineRunner:
        return _RUNNERS[self.world]

    def read_limits(self) -> None:
        return None

    def observers(self) -> list[PipelineObserver]:
        return list(_OBSERVERS.get(self.world, ()))


@dataclass
class World:
    """A root folder, the Dagster instance over it (one that outlives its process if durable), and the resources."""

    root: Path
    client_calls: str = "dagster"
    bins_per_group: int = 2
    pipelines: PipelinesResource | None = None

    durable: bool = False
    instance: dg.DagsterInstance = field(init=False)

    def __post_init__(self) -> None:
        home = self.root / "dagster"
        home.mkdir(parents=True)
        make = dg.DagsterInstance.local_temp if self.durable else dg.DagsterInstance.ephemeral
        self.instance = make(tempdir=str(home))
        self.use(ScriptedPipelines(components=COMPONENTS))

    def use(self, runner: PipelineRunner, observers: Sequence[PipelineObserver] = ()) -> None:
        """Replace the runner, and say who hears of its jobs."""
        _RUNNERS[str(self.root)], _OBSERVERS[str(self.root)] = runner, observers

    @property
    def store(self) -> FolderStore:
        return FolderStore(self.root)

    @property
    def warehouse(self) -> FolderWarehouse:
        return FolderWarehouse(self.store, threads=1)

    @property
    def resources(self) -> dict[str, Any]:
        root = str(self.root)
        pipelines = self.pipelines or InProcessPipelines(
            world=root, client_calls=self.client_calls, bins_per_group=self.bins_per_group
        )
        return {
            "store": StoreResource(root=root),
            "warehouse": WarehouseResource(uri=root, root=root),
            "pipelines": pipelines,
        }

    def definitions(self) -> dg.Definitions:
        return build_defs(self.resources)

    def run_batch(
        self, job: str, datasets: Sequence[str], tags: Mapping[str, str] | None = None, **rest: Any
    ) -> dg.ExecuteInProcessResult:
        """Run a job over several datasets."""
        self.instance.add_dynamic_partitions("datasets", list(datasets))
        return self.run(job, None, {**(tags or {}), **batch_tags(datasets)}, **rest)

    def run(
        self, job: str, partition: str | None, tags: Mapping[str, str] | None = None, *, add: bool = True, **rest: Any
    ) -> dg.ExecuteInProcessResult:
        """Run a job; a failed run is a result, not an exception."""
        if partition is not None and add:
            add_partition(self.instance, _PARTITIONS.get(job, CURRICULA), partition)
        return (
            self.definitions()
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                partition_key=partition,
                tags=dict(tags or {}),
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                **rest,
            )
        )

    def drop(self, key: str, source: ad.AnnData | None = None) -> Path:
        """Write a source file under a key of the inbox."""
        path = self.root / "inbox" / f"{key}.h5ad"
        path.parent.mkdir(parents=True, exist_ok=True)
        (source if source is not None else make_source()).write_h5ad(path)
        return path

    def ingest(self, dataset: str, **sources: ad.AnnData) -> dg.ExecuteInProcessResult:
        """Drop source files of a dataset and ingest it; without the snapshot, whose plots take a second."""
        for name, source in sources.items():
            self.drop(f"{dataset}/{name}", source)
        selection = [dg.AssetKey(key) for key in (*_INGEST, *_TABLES)]
        result = self.run("ingest_dataset", dataset, asset_selection=selection)
        assert result.success, failure(result)
        return result

    def build(self, **changes: Any) -> tuple[str, dg.ExecuteInProcessResult]:
        """Drop a specification, find its version and build it."""
        content = {"name": "all", "bin_size": 4, "obs_columns": ["tissue", "donor_id"], **changes}
        specification = CurriculumSpecification.model_validate(content)
        drop_specification(self.store, specification)
        version, _ = resolve_version(specification, self.warehouse, self.store)
        partition = make_curriculum_partition(specification.name, version)
        return partition, self.run("build_curriculum", partition)


_INGEST = (["ingest", "validation_report"], ["ingest", "ingest_files"])
_TABLES = [["warehouse", name] for name in ("cell_info", "raw_counts", "feature_info", "ingest_info")]


def make_source(
    cells: int = 6,
    genes: Sequence[int] = (1, 2, 3, 4),
    seed: int = 0,
    *,
    negative: bool = False,
    tissue: str = "lung",
) -> ad.AnnData:
    """Make a source file of random counts with Ensembl ids; ``negative`` makes one that is refused."""
    random = np.random.default_rng(seed)
    counts = random.integers(0, 9, (cells, len(genes))).astype(np.float32)
    counts[0, 0] = -1 if negative else 3
    obs = pd.DataFrame(
        {"tissue": [tissue] * cells, "donor_id": [f"donor{n % 2}" for n in range(cells)]},
        index=[f"cell{seed}-{n}" for n in range(cells)],
    )
    var = pd.DataFrame({"feature_name": [f"gene {n}" for n in genes]}, index=[f"ENSG{number:011d}" for number in genes])
    return ad.AnnData(sparse.csr_matrix(counts), obs=obs, var=var)


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Say why a run failed: the description of the failure, or the message of the exception."""
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None:
                return data.user_failure_data.description or ""
            error = data.error
            cause = error.cause if error is not None and error.cause is not None else error
            return cause.message if cause is not None else ""
    return ""


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Return what a run made: the values of the metadata by the asset's key."""
    found: dict[str, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        metadata = event.step_materialization_data.materialization.metadata
        found[event.asset_key.to_user_string() if event.asset_key else ""] = {
            name: value.value for name, value in metadata.items()
        }
    return found


def checks(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, dict[str, Any]]]:
    """Return the checks of a run: whether each passed, and its numbers, by ``asset:check``."""
    return {
        f"{check.asset_key.to_user_string()}:{check.check_name}": (
            check.passed,
            {name: value.value for name, value in check.metadata.items()},
        )
        for check in result.get_asset_check_evaluations()
    }


def tree(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder by its relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Say how two trees differ: files that only one has, and the first bytes that differ in those of both."""
    found = [f"{name} is only in one" for name in sorted(set(one) ^ set(other))]
    for name in sorted(set(one) & set(other)):
        if one[name] != other[name]:
            places = [
                place for place, pair in enumerate(zip(one[name], other[name], strict=False)) if len(set(pair)) > 1
            ]
            shown = [(place, one[name][place], other[name][place]) for place in places[:8]]
            found.append(f"{name}: {len(one[name])} and {len(other[name])} bytes, {len(places)} differ, {shown}")
    return found
