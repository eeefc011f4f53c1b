"""Settings from the environment: defaults, every variable, and one sentence for what cannot be."""

from pathlib import Path

import pytest

from nexus_resources.gcp_settings import GcpSettings
from nexus_resources.settings import DEFAULT_ROOT, Settings, read_settings
from omics_datastore.errors import InputError
from tests.nexus_resources.gcp_environment import GCP


def test_nothing_set_is_a_laptop() -> None:
    settings = read_settings({})
    assert (settings.deployment, settings.root, settings.tasks, settings.sensors) == ("local", DEFAULT_ROOT, 2, "on")
    assert settings.workers >= 1
    assert settings.root_path == Path.cwd() / DEFAULT_ROOT


def test_every_field_has_its_variable() -> None:
    values = {
        "deployment": "local",
        "root": "/data",
        "dagster_home": "/dagster",
        "tasks": "3",
        "workers": "4",
        "task_memory_mb": "100",
        "bins_per_group": "7",
        "quiet_seconds": "0.5",
        "sensors": "off",
        "client_calls": "pipeline",
        "webhook": "https://hooks.example/T0",
        "web_address": "https://nexus.example",
        "source_url": "https://git.example/nexus/blob/main",
        "cellxgene_python": "/c/bin/python",
        "cellxgene_memory_mb": "9000",
        "cellxgene_seconds": "60.0",
        "read_seconds": "30.0",
        "read_memory_mb": "900",
        "keep_run_days": "30.0",
    }
    assert set(values) == set(Settings.model_fields) - set(GcpSettings.model_fields)
    settings = read_settings({f"NEXUS_{name.upper()}": value for name, value in values.items()})
    assert {name: str(getattr(settings, name)) for name in values} == values
    cloud = {
        "bigquery_dataset": "d",
        "service_account": "worker@my-project.iam",
        "network": "projects/1/global/networks/n",
        "cmek_key": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "spot": "on",
        "spot_launcher_image": "image",
        "machines": "default: {cpu: 8}",
        "maximum_bytes_billed": "1000",
        "labels": "team=atlas,cost=42",
        "caching": "off",
        "failure_policy": "slow",
        "vertex_endpoint": "http://127.0.0.1:1",
    }
    told = {f"NEXUS_{name.upper()}": value for name, value in cloud.items()}
    settings = read_settings({**GCP, **told})
    assert {name: str(getattr(settings, name)) for name in cloud} == cloud
    assert settings.label_map == {"team": "atlas", "cost": "42"}
    assert {f"NEXUS_{name.upper()}" for name in GcpSettings.model_fields} <= {*GCP, *told}


def test_a_deployment_on_google_cloud() -> None:
    settings = read_settings({**GCP, "NEXUS_ROOT": "gs://my-bucket/nexus/"})
    assert settings.is_gcp
    assert settings.store_root == "gs://my-bucket/nexus"
    assert settings.dagster_path == Path("/opt/dagster")
    assert (settings.tasks, settings.workers, settings.bins_per_group) == (32, 4, 32)
    assert read_settings({**GCP, "NEXUS_TASKS": "7"}).tasks == 7
    with pytest.raises(InputError, match="is a bucket, and this needs a folder"):
        settings.root_path  # noqa: B018
    with pytest.raises(InputError, match="NEXUS_DAGSTER_HOME is not set"):
        read_settings({**GCP, "NEXUS_DAGSTER_HOME": ""}).dagster_path  # noqa: B018


@pytest.mark.parametrize("name", ["ROOT", "PROJECT", "LOCATION", "REGION", "WORKER_IMAGE"])
def test_what_google_cloud_needs(name: str) -> None:
    with pytest.raises(InputError, match=f"^NEXUS_{name} is not set: give [^\n]*[.]$"):
        read_settings({**GCP, f"NEXUS_{name}": ""})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ROOT", "nexus-data", "is not in a bucket: give gs://"),
        ("ROOT", "gs://", "is not in a bucket"),
        ("PROJECT", "My Project", "is not the id of a Google Cloud project"),
        ("LOCATION", "e u", "is not a location; give EU, US or a region"),
        ("REGION", "EU", "is not a region; give one like europe-west4"),
        ("BIGQUERY_DATASET", "a-b", "is not the name of a BigQuery dataset"),
        ("SERVICE_ACCOUNT", "worker", "is not the e-mail address"),
        ("NETWORK", "default", "is not a network"),
        ("CMEK_KEY", "key", "is not a key"),
        ("SPOT", "yes", "'on' or 'off'"),
        ("SPOT", "on", "needs NEXUS_SPOT_LAUNCHER_IMAGE"),
        ("MACHINES", "[]", "must map component names to machines"),
        ("MACHINES", "nobody: {cpu: 1}", "is no component"),
        ("MAXIMUM_BYTES_BILLED", "0", "greater than or equal to 1"),
        ("MAXIMUM_BYTES_BILLED", "1T", "valid integer"),
        ("LABELS", "team", "is not key=value"),
        ("LABELS", "Team=x", "is not a label"),
        ("LABELS", "nexus-run=x", "Nexus gives itself"),
        ("CACHING", "maybe", "'on', 'off' or 'as compiled'"),
        ("FAILURE_POLICY", "never", "'fast' or 'slow'"),
        ("VERTEX_ENDPOINT", "127.0.0.1:1", "is not an address"),
    ],
)
def test_a_value_that_google_cloud_cannot_have(name: str, value: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        read_settings({**GCP, f"NEXUS_{name}": value})
    message = str(raised.value)
    assert message.startswith(f"NEXUS_{name}")
    assert said in message
    assert message.endswith(".")
    assert "\n" not in message


def test_settings_of_google_cloud_on_a_laptop_are_a_mistake() -> None:
    for name, value in (("PROJECT", "my-project"), ("SPOT", "off"), ("LABELS", "a=b")):
        with pytest.raises(InputError, match=f"NEXUS_{name} is of Google Cloud, and NEXUS_DEPLOYMENT is local"):
            read_settings({f"NEXUS_{name}": value})
    with pytest.raises(InputError, match="is not a folder: set NEXUS_DEPLOYMENT=gcp"):
        read_settings({"NEXUS_ROOT": "gs://bucket/x"})


def test_a_variable_that_is_empty_is_not_set() -> None:
    assert read_settings({"NEXUS_TASKS": "", "NEXUS_ROOT": ""}) == read_settings({})


def test_other_variables_are_not_ours() -> None:
    assert read_settings({"NEXUS_UNKNOWN": "x", "TASKS": "9"}) == read_settings({})


def test_the_root_may_begin_with_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = read_settings({"NEXUS_ROOT": "~/data"})
    assert settings.root_path == tmp_path / "data"
    assert settings.dagster_path == tmp_path / "data" / "dagster"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TASKS", "zero", "valid integer"),
        ("TASKS", "0", "greater than or equal to 1"),
        ("WORKERS", "1.5", "valid integer"),
        ("TASK_MEMORY_MB", "15", "greater than or equal to 16"),
        ("BINS_PER_GROUP", "-1", "greater than or equal to 1"),
        ("QUIET_SECONDS", "-1", "greater than or equal to 0"),
        ("SENSORS", "yes", "'on' or 'off'"),
        ("CLIENT_CALLS", "both", "'dagster' or 'pipeline'"),
        ("DEPLOYMENT", "moon", "'local'"),
    ],
)
def test_a_value_that_cannot_be_is_one_sentence(name: str, value: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        read_settings({f"NEXUS_{name}": value})
    message = str(raised.value)
    assert message.startswith(f"NEXUS_{name}={value!r}: ")
    assert said in message
    assert message.endswith(".")
    assert "\n" not in message
