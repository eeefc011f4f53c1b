"""Tags of files, and the description of a dataset, in the sidecar."""

from pathlib import Path

import numpy as np
import pytest

from omics_datastore.errors import InputError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.inbox import read_config, read_drop
from tests.omics_datastore.ingest.ingest_run import IngestRun
from tests.source_files import make_source

TAGS = {"a.h5ad": "pilot", "wave2/*": "second wave"}


@pytest.mark.parametrize(("name", "tag"), [("a.h5ad", "pilot"), ("wave2/b.h5ad", "second wave"), ("c.h5ad", "rest")])
def test_a_file_has_the_tag_of_its_name(tmp_path: Path, name: str, tag: str) -> None:
    run = IngestRun(tmp_path, f"inbox/lung/{name}")
    make_source(run.source, np.ones((3, 2)))
    told = run.written(tags=TAGS, tag="rest", description="Some lungs.")
    assert told.manifest.tag == tag
    assert told.cells["tag"].to_list() == [tag] * 3
    # the same as one that has but this tag, whatever the other files are told
    assert run.create(tag=tag).ingest_id == told.manifest.ingest_id
    assert DatasetConfig(tag=tag).data_digest() == told.manifest.config_digest


def test_a_tag_of_no_file_is_refused(tmp_path: Path) -> None:
    run = IngestRun(tmp_path, "inbox/lung/a.h5ad")
    make_source(run.source, np.ones((3, 2)))
    run.store.write("inbox/lung.yaml", b"description: Some lungs.\ntags: {a.h5ad: pilot}\n")
    assert read_config(run.store, read_drop(run.store, "lung")).tags == {"a.h5ad": "pilot"}
    run.store.write("inbox/lung.yaml", b"tags: {'b*': pilot}\n")
    with pytest.raises(InputError, match=r"inbox/lung.yaml: tags names 'b\*', but the dataset has a.h5ad."):
        read_config(run.store, read_drop(run.store, "lung"))
    with pytest.raises(ValueError, match="tags are not resolved"):
        DatasetConfig(tags={"a": "b"}).data_digest()
