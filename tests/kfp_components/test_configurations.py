"""Configurations survive YAML, refuse what they do not know, and divide the groups of a plan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kfp_components.configurations import (
    DatasetSources,
    ExtractTaskConfig,
    IngestTaskConfig,
    LoadTaskConfig,
    Share,
    TaskConfig,
)
from omics_datastore.errors import InputError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.manifest import SourceFile
from omics_datastore.storage.documents import parse_yaml, write_configuration
from omics_datastore.storage.folder import FolderStore
from omics_datastore.warehouse.parquet_layout import ParquetLayout

_SOURCE = SourceFile(key="inbox/a.h5ad", uri="/data/inbox/a.h5ad", size=7, generation="1")


@pytest.mark.parametrize(
    "config",
    [
        IngestTaskConfig(
            result_key="r.json",
            datasets=[
                DatasetSources(
                    dataset="lung",
                    sources=[_SOURCE],
                    config=DatasetConfig(tag='it\'s: "new"', obs_mapping={"Zelltyp ä": "cell_type"}),
                )
            ],
            parquet=ParquetLayout(purpose="bulk_load"),
            workers=3,
        ),
        LoadTaskConfig(result_key="r.json", warehouse_uri="folder", ingest_ids=["lung@0123456789ab"]),
        ExtractTaskConfig(result_key="r.json", warehouse_uri="folder", name="t", version=2, groups=[]),
        ExtractTaskConfig(result_key="r.json", warehouse_uri="folder", name="t", version=2, share=Share(part=1, of=3)),
    ],
)
def test_a_configuration_survives_the_store(store: FolderStore, config: TaskConfig) -> None:
    write_configuration(store, "c.yaml", config)
    assert parse_yaml(type(config), store.read("c.yaml"), "c.yaml") == config


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(InputError, match=r"c\.yaml: colour is not a known key"):
        parse_yaml(TaskConfig, "{result_key: r, colour: red}", "c.yaml")


@pytest.mark.parametrize("choice", [{}, {"groups": [1], "share": {"part": 0, "of": 1}}])
def test_an_extract_task_has_one_way_to_choose(choice: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="give either groups or share"):
        ExtractTaskConfig.model_validate(
            {"result_key": "r", "warehouse_uri": "folder", "name": "t", "version": 1, **choice}
        )


@given(groups=st.integers(0, 50), tasks=st.integers(1, 8))
def test_shares_hold_every_group_once(groups: int, tasks: int) -> None:
    configs = [
        ExtractTaskConfig(result_key="r", warehouse_uri="folder", name="t", version=1, share=Share(part=part, of=tasks))
        for part in range(tasks)
    ]
    chosen = [config.chosen(list(range(groups))) for config in configs]
    assert sorted(group for part in chosen for group in part) == list(range(groups))
    assert max(map(len, chosen)) - min(map(len, chosen)) <= 1


def test_named_groups_that_the_plan_has_not_are_left_out() -> None:
    config = ExtractTaskConfig(result_key="r", warehouse_uri="folder", name="t", version=1, groups=[5, 1])
    assert config.chosen([0, 1, 2]) == [1]
