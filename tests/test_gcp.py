"""The main job on Google Cloud, from one command, against the emulators: the same shards as on a laptop."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from omics_datastore.storage.cloud_storage import CloudStore
from tests.deploy.storage_grants import granted_permissions
from tests.emulators.cloud import BUCKET, WORKER_HOST, EmulatedCloud
from tests.emulators.storage.permissions import needed_permissions

NEXUS = str(Path(sys.executable).with_name("nexus"))
CELLS = "400"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedCloud]:
    with EmulatedCloud(tmp_path_factory.mktemp("cloud")) as emulated:
        yield emulated


def run(environment: dict[str, str], *command: str, folder: Path) -> str:
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(600)
def test_the_whole_way(
    cloud: EmulatedCloud, laptop_demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = cloud.environment(tmp_path / "dagster")
    run(environment, NEXUS, "doctor", folder=tmp_path)
    printed = run(environment, NEXUS, "demo", "--cells", CELLS, folder=tmp_path)
    program = printed.split("Load it:")[1].split("Look around")[0] + "\nprint(shard.n_obs, shard.uns)"
    assert run(environment, sys.executable, "-W", "ignore", "-c", program, folder=tmp_path).startswith(f"{CELLS} ")
    counted = json.loads(run(environment, NEXUS, "cells", "count", "--json", folder=tmp_path))
    assert counted["cells"] == int(CELLS)

    asked = cloud.storage.requests_by_host()
    assert set(asked) == {"127.0.0.1", WORKER_HOST}
    # What was asked in the whole way is what each account may ask, no more; others delete (purge) and list.
    for host, account in (("127.0.0.1", "dagster"), (WORKER_HOST, "worker")):
        granted = granted_permissions(account)
        needed = needed_permissions(asked[host])
        assert needed <= granted, account
        assert granted - needed <= {"update", "delete", "list"}, account

    for name, value in cloud.hosts.items():
        monkeypatch.setenv(name, value)
    store = CloudStore(f"gs://{BUCKET}/nexus")
    shards = [entry.key for entry in store.entries("extracts/demo/v1/extract_files/")]
    assert len(shards) == 1
    for key in shards:
        assert store.read(key) == (laptop_demo / "nexus-data" / key).read_bytes(), key
    releases = [json.loads(store.read("extracts/demo/v1/release.json"))]
    releases.append(json.loads((laptop_demo / "nexus-data/extracts/demo/v1/release.json").read_bytes()))
    for release in releases:
        release.pop("document_digest")
        for ingest in release["ingests"]:
            ingest.pop("source_uri")
    assert releases[0] == releases[1]
