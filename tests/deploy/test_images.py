"""The two images, as far as they can be seen without building them: lint, contents, a task run as in the worker."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

from kfp_components.catalog import PIPELINES, compiled_pipeline
from kfp_components.configurations import DatasetSources, IngestTaskConfig
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.manifest import SourceFile
from omics_datastore.storage.documents import write_configuration
from omics_datastore.storage.folder import FolderStore
from tests.deploy.dockerfile_rules import broken_rules
from tests.deploy.worker_world import ROOT, base_requirements, closure, copied_packages, make_worker

DOCKERFILES = ("Dockerfile", "worker.Dockerfile")


def _run(command: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env=environment, cwd=ROOT.anchor
    )


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing(name: str) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = _run([str(hadolint), "--failure-threshold", "style", str(ROOT / "deploy" / name)])
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_rules_of_an_image(name: str) -> None:
    assert broken_rules((ROOT / "deploy" / name).read_text()) == []


def test_the_rules_can_be_broken() -> None:
    whole = (ROOT / "deploy/Dockerfile").read_text()
    for old, new in (
        ("@${PYTHON_DIGEST}", ""),
        ("USER 10001", "USER root"),
        (" --constraint hashes.txt ", " "),
        ("--build-constraint hashes.txt ", ""),
        ("--require-hashes ", ""),
        ("--no-cache-dir ", ""),
        ("COPY nexus_assets nexus_assets", "COPY . ."),
        ("COPY nexus_assets nexus_assets", "ADD nexus_assets nexus_assets"),
        ("PYTHONUNBUFFERED=1", "NEXUS_TOKEN=1234"),
    ):
        assert old in whole
        assert len(broken_rules(whole.replace(old, new))) == 1, new


def test_contents() -> None:
    assert copied_packages("worker.Dockerfile") == {"omics_datastore", "kfp_components"}
    assert copied_packages("Dockerfile") == {"omics_datastore", "kfp_components", "nexus_resources", "nexus_assets"}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    for name in DOCKERFILES:
        for line in (ROOT / "deploy" / name).read_text().splitlines():
            words = [word for word in line.split() if not word.startswith("--")]
            if words[:1] == ["COPY"] and "--from" not in line:
                for source in words[1:-1]:
                    assert (ROOT / source).exists()
                    assert f"!{source}" in ignored


def test_the_worker_has_no_platform_in_it() -> None:
    brought = closure(base_requirements())
    assert {"anndata", "ibis-framework", "kfp", "google-cloud-storage", "google-cloud-bigquery"} <= brought
    assert {name for name in brought if name.startswith("dagster")} == {"dagster-pipes"}  # which needs no dagster
    assert brought & {"duckdb", "matplotlib", "pytest"} == set()


def test_every_worker_module_imports_in_the_worker(tmp_path: Path) -> None:
    environment = make_worker(tmp_path)
    code = (
        "import importlib, pkgutil, sys\n"
        "for package in ('omics_datastore', 'kfp_components'):\n"
        "    root = importlib.import_module(package)\n"
        "    for module in pkgutil.walk_packages(root.__path__, package + '.'):\n"
        "        if module.name != 'omics_datastore.training.torch_dataset':\n"  # for who trains, with the extra torch
        "            importlib.import_module(module.name)\n"
        "import google.cloud.bigquery, google.cloud.bigquery_storage, google.cloud.storage, anndata, h5py, isal\n"
        "for outside in ('dagster', 'duckdb', 'nexus_assets', 'google.cloud.aiplatform', 'matplotlib'):\n"
        "    try:\n        importlib.import_module(outside)\n"
        "    except ModuleNotFoundError: print(outside)\n"
    )
    done = _run([sys.executable, "-c", code], **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["dagster", "duckdb", "nexus_assets", "google.cloud.aiplatform", "matplotlib"]


def test_a_compiled_task_runs_in_the_worker(tmp_path: Path) -> None:
    """The very command that Vertex AI would start, from the compiled pipeline, with the worker's packages only."""
    import anndata as ad
    import pandas as pd
    from scipy import sparse

    store = FolderStore(tmp_path / "root")
    key = "inbox/lung/one.h5ad"
    store.path(key).parent.mkdir(parents=True)
    ad.AnnData(
        X=sparse.csr_matrix(np.arange(1, 21, dtype=np.float32).reshape(4, 5)),
        obs=pd.DataFrame({"tissue": ["lung"] * 4}, index=[f"c{n}" for n in range(4)]),
        var=pd.DataFrame(index=[f"ENSG0000000000{n}" for n in range(5)]),
    ).write_h5ad(store.path(key))
    found = store.stat(key)
    assert found is not None
    source = SourceFile(key=key, uri=store.uri(key), size=found.size, generation=found.generation)
    config = IngestTaskConfig(
        result_key="runs/t.result.json",
        messages="runs/messages/0000",
        datasets=[DatasetSources(dataset="lung", sources=[source], config=DatasetConfig())],
    )
    write_configuration(store, "runs/t.yaml", config)

    container = _executor("ingest_data_pipeline", "create-ingest-files-job")
    given = {
        "inputs": {"parameterValues": {"root": store.root, "config_key": "runs/t.yaml"}},
        "outputs": {"outputFile": str(tmp_path / "executor_output.json")},
    }
    arguments = [word.replace("{{$}}", json.dumps(given)) for word in container["args"]]
    environment = make_worker(tmp_path / "image")
    done = _run([*container["command"], *arguments], HOME=os.fspath(tmp_path), **environment)
    assert done.returncode == 0, done.stderr
    result = json.loads(store.read("runs/t.result.json"))
    assert [report["cell_count"] for report in result["reports"]] == [4]


def _executor(pipeline: str, task: str) -> dict[str, list[str]]:
    assert pipeline in PIPELINES
    spec = yaml.safe_load(compiled_pipeline(pipeline))
    found: dict[str, list[str]] = spec["deploymentSpec"]["executors"][f"exec-{task}"]["container"]
    return found
