"""Settings from the environment: defaults, every variable, and one sentence for what cannot be."""

from pathlib import Path

import pytest

from nexus_resources.settings import DEFAULT_ROOT, Settings, read_settings
from omics_datastore.errors import InputError


def test_nothing_set_is_a_laptop() -> None:
    settings = read_settings({})
    assert (settings.deployment, settings.root, settings.tasks, settings.sensors) == ("local", DEFAULT_ROOT, 2, "on")
    assert settings.workers >= 1
    assert settings.root_path == Path.cwd() / DEFAULT_ROOT


def test_every_field_has_its_variable() -> None:
    values = {
        "deployment": "local",
        "root": "/data",
        "tasks": "3",
        "workers": "4",
        "task_memory_mb": "100",
        "bins_per_group": "7",
        "quiet_seconds": "0.5",
        "sensors": "off",
        "client_calls": "pipeline",
    }
    assert set(values) == set(Settings.model_fields)
    settings = read_settings({f"NEXUS_{name.upper()}": value for name, value in values.items()})
    assert {name: str(value) for name, value in settings.model_dump().items()} == values


def test_a_variable_that_is_empty_is_not_set() -> None:
    assert read_settings({"NEXUS_TASKS": "", "NEXUS_ROOT": ""}) == read_settings({})


def test_other_variables_are_not_ours() -> None:
    assert read_settings({"NEXUS_UNKNOWN": "x", "TASKS": "9"}) == read_settings({})


def test_the_root_may_begin_with_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = read_settings({"NEXUS_ROOT": "~/data"})
    assert settings.root_path == tmp_path / "data"
    assert settings.dagster_home == tmp_path / "data" / "dagster"


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
