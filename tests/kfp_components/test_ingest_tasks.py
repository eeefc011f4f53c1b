"""The ingest tasks over real source files, called directly and as the compiled pipelines on this machine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kfp_components.catalog import compiled_pipeline
from kfp_components.configurations import IngestTaskResult, LoadTaskConfig, LoadTaskResult, ReadLimits
from kfp_components.progress import Progress
from kfp_components.results import read_result
from kfp_components.tasks.ingest_files import create_ingest_files_job, validate_anndata_job
from kfp_components.tasks.load import ingest_data_to_bigquery_job
from nexus_resources.pipelines.errors import PipelineInputError
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.local import LocalPipelines
from omics_datastore.errors import InputError
from omics_datastore.ingest.cellxgene_gate import CellxgeneEnvironment
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.manifest import FileReport, SourceFile
from omics_datastore.storage.documents import write_configuration
from omics_datastore.storage.folder import FolderStore
from omics_datastore.storage.layout import INGEST
from omics_datastore.warehouse.open import open_warehouse
from tests.cellxgene_stand_in import checked_files, make_stand_in
from tests.kfp_components.session import said_last

Drop = Callable[..., SourceFile]
Configure = Callable[..., str]


def _reports(store: FolderStore, name: str = "task") -> list[FileReport]:
    return read_result(store, f"runs/{name}.result.json", IngestTaskResult).reports


def _load(store: FolderStore, *create: str) -> str:
    keys = [f"runs/{name}.result.json" for name in create]
    config = LoadTaskConfig(result_key="runs/load.result.json", warehouse_uri="folder", create_result_keys=keys)
    write_configuration(store, "runs/load.yaml", config)
    return "runs/load.yaml"


def test_files_are_reported_in_their_order_whatever_their_size(
    store: FolderStore, drop: Drop, configure: Configure
) -> None:
    sources = [drop("a", 3), drop("b", 40, seed=1), drop("c", 7, broken=True), drop("d", 5, seed=2)]
    create_ingest_files_job(store.root, configure(sources, workers=3))
    reports = _reports(store)
    assert [report.source for report in reports] == sources
    assert [report.cell_count for report in reports if report.valid] == [3, 40, 5]
    assert [report.valid for report in reports] == [True, True, False, True]
    total = sum(source.size for source in sources)
    assert said_last(store, "runs/task.messages/") == Progress(total, total, "bytes")


def test_validating_writes_no_ingest_files_and_finds_the_same(
    store: FolderStore, drop: Drop, configure: Configure
) -> None:
    sources = [drop("a"), drop("b", broken=True)]
    validate_anndata_job(store.root, configure(sources, "validate"))
    assert list(store.entries(INGEST)) == []
    create_ingest_files_job(store.root, configure(sources, "create"))
    assert _reports(store, "validate") == _reports(store, "create")


def test_the_validator_that_a_dataset_asks_for(
    store: FolderStore, drop: Drop, configure: Configure, tmp_path: Path
) -> None:
    sources = [drop("a"), drop("b", seed=1)]
    python = make_stand_in(tmp_path / "cellxgene")
    asked = DatasetConfig.model_validate({"validation": {"cellxgene_schema": "warn"}})
    key = configure(sources, config=asked, cellxgene=CellxgeneEnvironment(python=python), workers=2)
    validate_anndata_job(store.root, key)
    assert [report.findings[-1].rule for report in _reports(store)] == ["cellxgene-schema"] * 2
    assert sorted(checked_files(python)) == ["a.h5ad", "b.h5ad"]
    missing = configure(sources, config=asked, cellxgene=CellxgeneEnvironment(python="/nowhere"))
    with pytest.raises(InputError, match="make it with 'make cellxgene'"):
        create_ingest_files_job(store.root, missing)


def test_a_source_that_is_gone_fails_the_task(store: FolderStore, drop: Drop, configure: Configure) -> None:
    sources = [drop("a"), drop("b")]
    key = configure(sources, workers=2)
    store.delete(sources[1].key)
    with pytest.raises(FileNotFoundError):
        create_ingest_files_job(store.root, key)
    with pytest.raises(FileNotFoundError):
        _reports(store)


def test_a_load_takes_what_the_tasks_before_it_made(store: FolderStore, drop: Drop, configure: Configure) -> None:
    create_ingest_files_job(store.root, configure([drop("a", 4), drop("b", 6, seed=1)], "one"))
    create_ingest_files_job(store.root, configure([drop("c", 5, seed=2)], "two"))
    ingest_data_to_bigquery_job(store.root, _load(store, "one", "two"))
    result = read_result(store, "runs/load.result.json", LoadTaskResult)
    made = [report.ingest_id for name in ("one", "two") for report in _reports(store, name)]
    assert sorted(result.committed) == sorted(str(ingest_id) for ingest_id in made)
    assert open_warehouse("folder", store).ingests()["cell_count"].sum() == 15

    ingest_data_to_bigquery_job(store.root, _load(store, "one", "two"))
    again = read_result(store, "runs/load.result.json", LoadTaskResult)
    assert (again.committed, sorted(again.unchanged)) == ([], sorted(result.committed))


def test_a_refused_file_refuses_the_load(store: FolderStore, drop: Drop, configure: Configure) -> None:
    create_ingest_files_job(store.root, configure([drop("a"), drop("b", broken=True)]))
    with pytest.raises(InputError) as caught:
        ingest_data_to_bigquery_job(store.root, _load(store, "task"))
    assert str(caught.value).startswith(_reports(store)[1].errors[0])
    assert open_warehouse("folder", store).ingests().is_empty()


@pytest.fixture
def pipelines(tmp_path: Path) -> LocalPipelines:
    return LocalPipelines(tmp_path / "jobs")


def _job(store: FolderStore, pipeline: str, **parameters: object) -> PipelineJob:
    return PipelineJob(
        pipeline,
        compiled_pipeline(pipeline),
        {"root": store.root, **parameters},
        JobIdentity("run", "step"),
        store=store,
        result_keys=("runs/one.result.json", "runs/two.result.json", "runs/load.result.json"),
    )


def test_the_ingest_pipeline_runs_as_compiled(
    store: FolderStore, drop: Drop, configure: Configure, pipelines: LocalPipelines
) -> None:
    keys = [configure([drop("a", 4)], "one", limits=ReadLimits()), configure([drop("b", 6, seed=1)], "two")]
    result = pipelines.run(
        _job(store, "ingest_data_pipeline", create_config_keys=keys, load_config_key=_load(store, "one", "two"))
    )
    assert sorted(task.name for task in result.tasks) == [
        "create_ingest_files_job[0]",
        "create_ingest_files_job[1]",
        "ingest_data_to_bigquery_job",
    ]
    assert open_warehouse("folder", store).ingests()["cell_count"].sum() == 10


def test_a_refusal_comes_through_the_pipeline_as_one_sentence_even_past_an_empty_loop(
    store: FolderStore, drop: Drop, configure: Configure, pipelines: LocalPipelines
) -> None:
    create_ingest_files_job(store.root, configure([drop("a", broken=True)], "one"))
    with pytest.raises(PipelineInputError) as caught:
        pipelines.run(_job(store, "ingest_data_pipeline", create_config_keys=[], load_config_key=_load(store, "one")))
    assert [str(caught.value)] == _reports(store, "one")[0].errors
    assert [task.name for task in caught.value.status.tasks] == ["ingest_data_to_bigquery_job"]


def test_the_load_may_be_left_out(
    store: FolderStore, drop: Drop, configure: Configure, pipelines: LocalPipelines
) -> None:
    keys = [configure([drop("a")], "one")]
    made = pipelines.run(_job(store, "ingest_data_pipeline", create_config_keys=keys, load_config_key=""))
    assert [task.name for task in made.tasks] == ["create_ingest_files_job[0]"]
    assert _reports(store, "one")[0].valid


def test_the_validate_pipeline_runs_as_compiled(
    store: FolderStore, drop: Drop, configure: Configure, pipelines: LocalPipelines
) -> None:
    keys = [configure([drop("a"), drop("b", seed=1)], "one", limits=ReadLimits(memory_mb=1), workers=2)]
    pipelines.run(_job(store, "validate_pipeline", config_keys=keys))
    for report in _reports(store, "one"):  # no process that reads is as small as that
        assert report.errors[0].endswith(
            " MB of memory, more than 1; write the file again with anndata, or raise NEXUS_READ_MEMORY_MB."
        )
