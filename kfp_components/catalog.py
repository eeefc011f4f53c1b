"""The pipelines as data: which component runs for which parameter, in which order, and the compiled YAML. No kfp."""

from dataclasses import dataclass
from importlib.resources import files

COMPILED = "compiled"
BASE_IMAGE = "nexus-worker:python3.11"
"""Stands for the worker image in the compiled YAML; a deployment puts its own in its place."""


@dataclass(frozen=True)
class Step:
    """A component of a pipeline and the parameter that holds its configuration's key, or keys when ``fan_out``."""

    component: str
    parameter: str
    fan_out: bool = False


PIPELINES: dict[str, tuple[Step, ...]] = {
    "ingest_data_pipeline": (
        Step("create_ingest_files_job", "create_config_keys", fan_out=True),
        Step("ingest_data_to_bigquery_job", "load_config_key"),
    ),
    "extract_data_pipeline": (
        Step("prepare_extract_job", "prepare_config_key"),
        Step("extract_job", "extract_config_keys", fan_out=True),
        Step("mark_curriculum_as_finished_job", "finish_config_key"),
    ),
    "validate_pipeline": (Step("validate_anndata_job", "config_keys", fan_out=True),),
}
"""For every pipeline its steps in order. A step whose key is ``""``, or whose list of keys is empty, does not run."""
COMPONENTS = tuple(step.component for steps in PIPELINES.values() for step in steps)
"""Names of all components."""


def compiled_pipeline(name: str) -> str:
    """Read a compiled pipeline.

    :param name: One of :data:`PIPELINES`.
    :return: The YAML that every runner runs.
    :raise KeyError: When there is no such pipeline.
    """
    if name not in PIPELINES:
        raise KeyError(name)
    return files("kfp_components").joinpath(COMPILED, f"{name}.yaml").read_text(encoding="utf-8")
