"""The curriculum tasks over a real warehouse, called directly and as the compiled pipeline on this machine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kfp_components.catalog import compiled_pipeline
from kfp_components.configurations import (
    ExtractTaskConfig,
    ExtractTaskResult,
    FinishTaskConfig,
    FinishTaskResult,
    LoadTaskConfig,
    PrepareExtractTaskConfig,
    PrepareExtractTaskResult,
    Share,
    TaskConfig,
)
from kfp_components.progress import Progress
from kfp_components.results import read_result
from kfp_components.tasks.curriculum import extract_job, mark_curriculum_as_finished_job, prepare_extract_job
from kfp_components.tasks.ingest_files import create_ingest_files_job
from kfp_components.tasks.load import ingest_data_to_bigquery_job
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.local import LocalPipelines
from omics_datastore.curriculum.release_model import read_release
from omics_datastore.curriculum.specification import CurriculumSpecification
from omics_datastore.curriculum.versions import resolve_version
from omics_datastore.errors import InputError
from omics_datastore.ingest.manifest import SourceFile
from omics_datastore.storage.documents import content_digest, write_configuration
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.layout import shard_key
from omics_datastore.warehouse.open import open_warehouse
from tests.kfp_components.session import said_last

_SPECIFICATION = CurriculumSpecification(name="t-cells", bin_size=10, obs_columns=("tissue",))


@pytest.fixture
def version(store: FolderStore, drop: Callable[..., SourceFile], configure: Callable[..., str]) -> int:
    """Load 35 cells and claim a version of the specification."""
    create_ingest_files_job(store.root, configure([drop("a", 15), drop("b", 20, seed=1)]))
    load = LoadTaskConfig(
        result_key="runs/load.result.json",
        warehouse_uri="folder",
        create_result_keys=["runs/task.result.json"],
    )
    ingest_data_to_bigquery_job(store.root, _write(store, "load", load))
    return resolve_version(_SPECIFICATION, open_warehouse("folder", store), store).version


def _write(store: FolderStore, name: str, config: TaskConfig) -> str:
    write_configuration(store, f"runs/{name}.yaml", config)
    return f"runs/{name}.yaml"


def _prepare(store: FolderStore, version: int) -> str:
    config = PrepareExtractTaskConfig(
        result_key="runs/prepare.result.json",
        warehouse_uri="folder",
        name="t-cells",
        version=version,
        bins_per_group=1,
    )
    return _write(store, "prepare", config)


def _extract(
    store: FolderStore, version: int, name: str, *, groups: list[int] | None = None, share: Share | None = None
) -> str:
    config = ExtractTaskConfig(
        result_key=f"runs/{name}.result.json",
        messages=f"runs/{name}.messages/0000",
        warehouse_uri="folder",
        name="t-cells",
        version=version,
        groups=groups,
        share=share,
        workers=2,
    )
    return _write(store, name, config)


def _finish(store: FolderStore, version: int) -> str:
    config = FinishTaskConfig(
        result_key="runs/finish.result.json",
        messages="runs/finish.messages/0000",
        name="t-cells",
        version=version,
    )
    return _write(store, "finish", config)


def test_a_curriculum_is_planned_extracted_and_released(store: FolderStore, version: int) -> None:
    prepare_extract_job(store.root, _prepare(store, version))
    planned = read_result(store, "runs/prepare.result.json", PrepareExtractTaskResult)
    assert (planned.total_cells, planned.bins, planned.groups) == (35, 4, 4)
    assert store.stat(planned.plan_key) is not None

    extract_job(store.root, _extract(store, version, "one", groups=[0, 3]))
    assert read_result(store, "runs/one.result.json", ExtractTaskResult) == ExtractTaskResult(written=[0, 3], kept=[])
    assert said_last(store, "runs/one.messages/") == Progress(15, 15, "cells")
    extract_job(store.root, _extract(store, version, "two", share=Share(part=0, of=1)))
    assert read_result(store, "runs/two.result.json", ExtractTaskResult) == ExtractTaskResult(
        written=[1, 2], kept=[0, 3]
    )

    mark_curriculum_as_finished_job(store.root, _finish(store, version))
    finished = read_result(store, "runs/finish.result.json", FinishTaskResult)
    assert store.stat(finished.release_key) is not None
    assert finished.digest == content_digest(read_release(store, "t-cells", version))
    assert said_last(store, "runs/finish.messages/") == Progress(35, 35, "cells")


def test_a_curriculum_nobody_specified_is_refused(store: FolderStore, version: int) -> None:
    config = PrepareExtractTaskConfig(
        result_key="r.json", warehouse_uri="folder", name="nobody", version=1, bins_per_group=1
    )
    with pytest.raises(InputError) as caught:
        prepare_extract_job(store.root, _write(store, "nobody", config))
    with pytest.raises(InputError, match="nobody") as left:
        read_result(store, "r.json", PrepareExtractTaskResult)
    assert str(left.value) == str(caught.value)


def test_the_extract_pipeline_runs_as_compiled_from_plan_to_release_and_in_parts(
    store: FolderStore, version: int, tmp_path: Path
) -> None:
    pipelines = LocalPipelines(tmp_path / "jobs")
    spec = compiled_pipeline("extract_data_pipeline")
    shares = [_extract(store, version, "share", share=Share(part=0, of=1))]
    whole = {
        "root": store.root,
        "prepare_config_key": _prepare(store, version),
        "extract_config_keys": shares,
        "finish_config_key": _finish(store, version),
    }
    result = pipelines.run(PipelineJob("extract_data_pipeline", spec, whole, JobIdentity("run", "step")))
    assert sorted(task.name for task in result.tasks) == [
        "extract_job[0]",
        "mark_curriculum_as_finished_job",
        "prepare_extract_job",
    ]
    release = read_release(store, "t-cells", version)
    assert [shard.cells for shard in release.shards] == [10, 10, 10, 5]

    shard = store.path(shard_key("t-cells", version, 2, "h5ad"))
    bytes_before = shard.read_bytes()
    shard.unlink()
    part = {"root": store.root, "extract_config_keys": [_extract(store, version, "again", groups=[2, 3])]}
    again = pipelines.run(PipelineJob("extract_data_pipeline", spec, part, JobIdentity("run", "step")))
    assert [task.name for task in again.tasks] == ["extract_job[0]"]
    assert read_result(store, "runs/again.result.json", ExtractTaskResult) == ExtractTaskResult(written=[2], kept=[3])
    assert shard.read_bytes() == bytes_before
