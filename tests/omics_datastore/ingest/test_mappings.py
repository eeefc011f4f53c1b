"""Column mappings by name: kept, merged with a sidecar, part of the configuration by what they say."""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from omics_datastore.errors import InputError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.inbox import read_config, read_drop
from omics_datastore.ingest.mappings import (
    SharedMapping,
    add_mapping,
    list_mappings,
    load_mapping,
    mapping_users,
    remove_mapping,
    with_mapping,
)
from omics_datastore.storage.folder import FolderStore
from tests.omics_datastore.ingest.ingest_run import IngestRun
from tests.source_files import ensembl_ids, make_source

ATLAS = b"obs_mapping: {celltype: cell_type, index: original_id}\nvar_mapping: {gene_ids: ensemble_id}\n"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "root")


def sidecar(store: FolderStore, text: str, dataset: str = "lung") -> DatasetConfig:
    store.write(f"inbox/{dataset}.h5ad", b"x")
    store.write(f"inbox/{dataset}.yaml", text.encode())
    return read_config(store, read_drop(store, dataset))


def test_a_mapping_by_name_is_the_same_configuration_as_one_written_out(store: FolderStore) -> None:
    add_mapping(store, "atlas", ATLAS, "atlas.yaml")
    add_mapping(store, "other-name", ATLAS, "atlas.yaml")
    named = sidecar(store, "mapping: atlas\nobs_mapping: {donor: donor_id}\n")
    written = DatasetConfig(
        obs_mapping={"celltype": "cell_type", "index": "original_id", "donor": "donor_id"},
        var_mapping={"gene_ids": "ensemble_id"},
    )
    assert named == written
    assert sidecar(store, "mapping: other-name\nobs_mapping: {donor: donor_id}\n").data_digest() == named.data_digest()
    assert add_mapping(store, "atlas", ATLAS.replace(b"celltype", b"cell.type"), "atlas.yaml")
    assert sidecar(store, "mapping: atlas\nobs_mapping: {donor: donor_id}\n").data_digest() != named.data_digest()
    with pytest.raises(ValueError, match="atlas is not resolved"):
        DatasetConfig(mapping="atlas").data_digest()


@given(
    shared=st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["sex", "tissue", "donor_id"]), min_size=1),
    own=st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["sex", "tissue", "donor_id"])),
)
def test_a_merge_keeps_both_or_names_the_conflict(
    tmp_path_factory: pytest.TempPathFactory, shared: dict[str, str], own: dict[str, str]
) -> None:
    if len(set(shared.values())) < len(shared) or len(set(own.values())) < len(own):
        return
    store = FolderStore(tmp_path_factory.mktemp("root"))
    add_mapping(store, "m", yaml.safe_dump({"obs_mapping": shared}).encode(), "m.yaml")
    both = {**shared, **own}
    fits = all(shared.get(source, target) == target for source, target in own.items()) and len(
        set(both.values())
    ) == len(both)
    config = DatasetConfig(mapping="m", obs_mapping=own)
    if fits:
        assert with_mapping(store, config, "lung.yaml").obs_mapping == both
    else:
        with pytest.raises(InputError, match=r"lung.yaml: obs_mapping contradicts the mapping m: .*'[a-d]' "):
            with_mapping(store, config, "lung.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("obs_mapping: {a: cel_type}", "obs_mapping sends 'a' to 'cel_type', which is not one of cell_type"),
        ("var_mapping: {a: symbol, b: symbol}", "var_mapping sends both 'a' and 'b' to 'symbol'"),
        ("var_mapping: {a: ensembl_id, b: ensemble_id}", "var_mapping sends both 'a' and 'b' to 'ensembl_id'"),
        ("obs: {a: sex}", "obs is not a known key"),
        ("{}", "m.yaml: it maps nothing; give obs_mapping or var_mapping."),
        ("[1]", "m.yaml must hold 'name: value' lines"),
    ],
)
def test_wrong_mappings(store: FolderStore, text: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        add_mapping(store, "m", text.encode(), "m.yaml")
    assert list_mappings(store) == []


def test_names(store: FolderStore) -> None:
    with pytest.raises(InputError, match="there is no column mapping 'atlas'; there are none yet; add it with nexus"):
        sidecar(store, "mapping: atlas")
    assert add_mapping(store, "atlas", ATLAS, "atlas.yaml")
    assert not add_mapping(store, "atlas", ATLAS + b"\n# the same\n", "atlas.yaml")
    with pytest.raises(InputError, match="no column mapping 'atlsa'; there are atlas;"):
        load_mapping(store, "atlsa")
    with pytest.raises(InputError, match="'My Map' is not"):
        add_mapping(store, "My Map", ATLAS, "atlas.yaml")
    assert load_mapping(store, "atlas") == SharedMapping.model_validate(yaml.safe_load(ATLAS))
    store.write("inbox/b/b.yml", b"mapping: atlas")
    store.write("inbox/b/c.yaml", b"mapping: atlas")
    store.write("inbox/d.yaml", b"mapping: [")
    assert mapping_users(store) == {"atlas": ["b", "lung"]}
    with pytest.raises(InputError, match="'atlas' is named by the configuration of b, lung; take the line"):
        remove_mapping(store, "atlas")
    for key in ("inbox/b/b.yml", "inbox/lung.yaml"):
        store.delete(key)
    remove_mapping(store, "atlas")
    assert list_mappings(store) == []
    with pytest.raises(InputError, match="no column mapping"):
        remove_mapping(store, "atlas")


def test_unknown_columns_of_a_mapping_are_named(tmp_path: Path) -> None:
    run = IngestRun(tmp_path)
    obs = pd.DataFrame({"cell_types": ["T"] * 2, "donors": ["d"] * 2}, index=["a", "b"])
    make_source(
        run.source, pd.DataFrame([[1, 0, 2], [3, 1, 0]]).to_numpy(), obs=obs, var=pd.DataFrame(index=ensembl_ids(3))
    )
    said = run.refusal("column_mapping", obs_mapping={"celltype": "cell_type", "donor": "donor_id", "index": "sex"})
    assert said == (
        "obs_mapping names the columns 'celltype', 'donor', which the file does not have; it has cell_types, donors."
    )
