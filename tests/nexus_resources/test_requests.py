"""Requests to the pipelines: how work is spread, what is written for the tasks, and what is read back."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_components.catalog import PIPELINES, compiled_pipeline
from kfp_components.configurations import (
    DatasetSources,
    ExtractTaskConfig,
    ExtractTaskResult,
    FinishTaskConfig,
    FinishTaskResult,
    IngestTaskConfig,
    IngestTaskResult,
    LoadTaskConfig,
    LoadTaskResult,
    PrepareExtractTaskConfig,
    TaskConfig,
)
from kfp_components.results import write_failure
from nexus_resources.pipelines.job import JobIdentity
from nexus_resources.pipelines.requests import (
    RequestWriter,
    Spread,
    extract_result,
    finish_result,
    ingest_reports,
    load_result,
    spread_by_size,
)
from omics_datastore.errors import InputError
from omics_datastore.ingest.cellxgene_gate import CellxgeneEnvironment
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.manifest import FileReport, SourceFile
from omics_datastore.storage.documents import parse_yaml, write_document
from omics_datastore.storage.folder import FolderStore

Config = TypeVar("Config", bound=TaskConfig)
SPREAD = Spread(tasks=2, workers=3, task_memory_bytes=50)


def source(name: str, size: int = 1) -> SourceFile:
    return SourceFile(key=f"inbox/lung/{name}.h5ad", uri=f"/inbox/lung/{name}.h5ad", size=size, generation="1")


def lung(*sources: SourceFile, config: DatasetConfig | None = None) -> list[DatasetSources]:
    return [DatasetSources(dataset="lung", sources=list(sources), config=config or DatasetConfig())]


def report(name: str) -> FileReport:
    return FileReport(
        source=source(name), ingest_id=None, cell_count=1, feature_count=1, nnz=1, counts_from="X", findings=[]
    )


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "nexus")


@pytest.fixture
def writer(store: FolderStore) -> RequestWriter:
    return RequestWriter(store, JobIdentity("run-1", "step", "lung"), SPREAD, {"nexus-step": "step"})


def read(store: FolderStore, kind: type[Config], *keys: str) -> list[Config]:
    return [parse_yaml(kind, store.read(key), key) for key in keys]


@pytest.mark.parametrize(("share", "groups", "threads"), [(True, [4], 6), (True, [4, 7], 3), (False, [4], 3)])
def test_a_lone_task_has_the_threads_of_all_where_they_share_cores(
    store: FolderStore, share: bool, groups: list[int], threads: int
) -> None:
    spread = replace(SPREAD, tasks_share_cores=share)
    job = RequestWriter(store, JobIdentity("run-1", "step", "lung"), spread, {}).extract("folder", "all", 1, groups)
    tasks = read(store, ExtractTaskConfig, *job.parameters["extract_config_keys"])
    assert [task.workers for task in tasks] == [threads] * len(groups)


def test_an_ingest_is_spread_over_the_tasks(store: FolderStore, writer: RequestWriter) -> None:
    sources = [source("a", 10), source("b", 1), source("c", 8)]
    job = writer.ingest(lung(*sources, config=DatasetConfig(tag="x")), validate_only=False)
    assert (job.pipeline, job.spec) == ("ingest_data_pipeline", compiled_pipeline("ingest_data_pipeline"))
    keys = job.parameters["create_config_keys"]
    assert job.parameters == {"root": store.root, "create_config_keys": keys, "load_config_key": ""}
    first, second = read(store, IngestTaskConfig, *keys)
    assert [[item.key for item in each.datasets[0].sources] for each in (first, second)] == [
        ["inbox/lung/a.h5ad"],
        ["inbox/lung/b.h5ad", "inbox/lung/c.h5ad"],
    ]
    assert (first.datasets[0].config.tag, first.workers, first.memory_limit_bytes) == ("x", 3, 50)
    assert job.result_keys == (first.result_key, second.result_key)
    assert job.messages_prefix is not None
    assert (first.messages, second.messages) == (f"{job.messages_prefix}0000", f"{job.messages_prefix}0001")
    assert len({first.result_key, second.result_key, *keys}) == 4
    assert job.labels == {"nexus-step": "step"}


def test_the_files_of_many_datasets_are_spread_over_the_same_tasks(store: FolderStore, writer: RequestWriter) -> None:
    asked = [
        *lung(source("a", 5), source("b", 5)),
        DatasetSources(dataset="skin", sources=[source("c", 9)], config=DatasetConfig(tag="y")),
    ]
    job = writer.ingest(asked, validate_only=False)
    tasks = read(store, IngestTaskConfig, *job.parameters["create_config_keys"])
    assert [[(each.dataset, each.config.tag, len(each.sources)) for each in task.datasets] for task in tasks] == [
        [("skin", "y", 1)],
        [("lung", None, 2)],
    ]


def test_a_validation_is_another_pipeline(store: FolderStore, writer: RequestWriter) -> None:
    job = writer.ingest(lung(source("a")), validate_only=True)
    assert job.pipeline == "validate_pipeline"
    assert [each.datasets[0].dataset for each in read(store, IngestTaskConfig, *job.parameters["config_keys"])] == [
        "lung"
    ]


@pytest.mark.parametrize("level", ["off", "warn"])
def test_tasks_are_told_of_a_validator_that_is_asked_for(store: FolderStore, writer: RequestWriter, level: str) -> None:
    config = DatasetConfig.model_validate({"validation": {"cellxgene_schema": level}})
    environment = CellxgeneEnvironment(python="/cellxgene/python")
    job = writer.ingest(lung(source("a"), config=config), validate_only=True, cellxgene=environment)
    (told,) = read(store, IngestTaskConfig, *job.parameters["config_keys"])
    assert told.datasets[0].config == config
    assert told.cellxgene == (None if level == "off" else environment)


def test_load_plan_extract_and_finish(store: FolderStore, writer: RequestWriter) -> None:
    load = writer.load("/warehouse", ["lung@1"])
    (loaded,) = read(store, LoadTaskConfig, load.parameters["load_config_key"])
    assert (load.parameters["create_config_keys"], loaded.ingest_ids) == ([], ["lung@1"])
    plan = writer.plan("/warehouse", "all", 2, 7)
    (planned,) = read(store, PrepareExtractTaskConfig, plan.parameters["prepare_config_key"])
    assert (planned.name, planned.version, planned.bins_per_group) == ("all", 2, 7)
    assert (plan.parameters["extract_config_keys"], plan.parameters["finish_config_key"]) == ([], "")
    extract = writer.extract("/warehouse", "all", 2, [0, 1, 2])
    extracted = read(store, ExtractTaskConfig, *extract.parameters["extract_config_keys"])
    assert [each.groups for each in extracted] == [[0, 2], [1]]
    assert extract.result_keys == tuple(each.result_key for each in extracted)
    finish = writer.finish("all", 2)
    (finished,) = read(store, FinishTaskConfig, finish.parameters["finish_config_key"])
    assert (finished.name, finished.version, finish.result_keys) == ("all", 2, (finished.result_key,))


def test_parameters_are_those_of_the_pipeline(writer: RequestWriter) -> None:
    jobs = [
        writer.ingest(lung(source("a")), validate_only=False),
        writer.ingest(lung(source("a")), validate_only=True),
        writer.load("/warehouse", []),
        writer.plan("/warehouse", "all", 1, 1),
        writer.extract("/warehouse", "all", 1, [0]),
        writer.finish("all", 1),
    ]
    for job in jobs:
        assert set(job.parameters) == {"root", *(step.parameter for step in PIPELINES[job.pipeline])}


def test_who_asks_and_what_for_decide_the_job(store: FolderStore) -> None:
    ids = {
        RequestWriter(store, JobIdentity(run, step, partition), SPREAD, {}).finish(name, 1).job_id(1)
        for run in "12"
        for step in "ab"
        for partition in "xy"
        for name in ("all", "more")
    }
    assert len(ids) == 16
    again = RequestWriter(store, JobIdentity("1", "a", "x"), SPREAD, {"other": "label"}).finish("all", 1)
    assert again.job_id(1) in ids


def test_results_of_all_tasks_are_read_back(store: FolderStore, writer: RequestWriter) -> None:
    ingest = writer.ingest(lung(source("b"), source("a")), validate_only=False)
    for key, name in zip(ingest.result_keys, "ba", strict=True):
        write_document(store, key, IngestTaskResult(reports=[report(name)]))
    assert [each.source.key for each in ingest_reports(ingest)] == ["inbox/lung/a.h5ad", "inbox/lung/b.h5ad"]
    extract = writer.extract("/warehouse", "all", 1, [0, 1])
    for key, written, kept in zip(extract.result_keys, ([3, 1], [2]), ([], [0]), strict=True):
        write_document(store, key, ExtractTaskResult(written=written, kept=kept))
    assert extract_result(extract) == ExtractTaskResult(written=[1, 2, 3], kept=[0])
    load = writer.load("/warehouse", ["x"])
    write_document(store, load.result_keys[0], LoadTaskResult(committed=["x"], unchanged=[], rows={}))
    assert load_result(load).committed == ["x"]
    finish = writer.finish("all", 1)
    write_document(store, finish.result_keys[0], FinishTaskResult(release_key="r", digest="d"))
    assert finish_result(finish).release_key == "r"


def test_a_refusal_in_the_place_of_a_result_is_raised(store: FolderStore, writer: RequestWriter) -> None:
    job = writer.finish("all", 1)
    write_failure(store, job.result_keys[0], InputError("it cannot be."))
    with pytest.raises(InputError, match=r"^it cannot be\.$"):
        finish_result(job)


@given(st.lists(st.integers(0, 1000), max_size=12), st.integers(1, 5))
def test_shares_hold_every_file_once_and_are_even(sizes: list[int], tasks: int) -> None:
    sources = [source(f"{number:02d}", size) for number, size in enumerate(sizes)]
    shares = spread_by_size(sources, tasks)
    assert len(shares) == min(tasks, len(sources))
    assert all(shares)
    assert all(share == sorted(share, key=lambda item: item.key) for share in shares)
    assert sorted(item.key for share in shares for item in share) == [item.key for item in sources]
    totals = [sum(item.size for item in share) for share in shares]
    assert max(totals, default=0) - min(totals, default=0) <= max(sizes, default=0)
    assert spread_by_size(list(reversed(sources)), tasks) == shares
