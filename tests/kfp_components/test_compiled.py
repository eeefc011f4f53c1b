"""The compiled pipelines are current, the same wherever they are compiled, and made of the components that exist."""

from pathlib import Path

import pytest
import yaml

from kfp_components.catalog import PIPELINES, compiled_pipeline
from kfp_components.compile_pipelines import compile_pipelines


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    compile_pipelines(folder)
    return folder


@pytest.mark.parametrize("name", PIPELINES)
def test_the_compiled_pipeline_is_current(compiled: Path, name: str) -> None:
    assert (compiled / f"{name}.yaml").read_text() == compiled_pipeline(name), (
        "run: python -m kfp_components.compile_pipelines"
    )


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_is_what_the_catalog_says(name: str) -> None:
    from kfp_components import components

    spec = yaml.safe_load(compiled_pipeline(name))
    containers = [executor["container"] for executor in spec["deploymentSpec"]["executors"].values()]
    functions = {container["args"][container["args"].index("--function_to_execute") + 1] for container in containers}
    assert functions == {step.component for step in PIPELINES[name]}
    assert all(hasattr(components, function) for function in functions)
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert set(parameters) == {"root", *(step.parameter for step in PIPELINES[name])}
    for step in PIPELINES[name]:
        assert parameters[step.parameter]["parameterType"] == ("LIST" if step.fan_out else "STRING")
        assert step.fan_out or parameters[step.parameter]["defaultValue"] == ""


@pytest.mark.parametrize("name", PIPELINES)
def test_nothing_is_cached_installed_or_bound_to_a_machine(name: str) -> None:
    text = compiled_pipeline(name)
    assert "enableCache" not in text
    assert "pip install" not in text
    assert str(Path.home()) not in text
    assert str(Path(__file__).parents[2]) not in text


def test_there_is_no_other_pipeline() -> None:
    with pytest.raises(KeyError):
        compiled_pipeline("../configurations")
