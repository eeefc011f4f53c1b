"""What a deployment puts into a request: machines, labels, spot, image; and which options are refused."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kfp_components.catalog import BASE_IMAGE, PIPELINES, compiled_pipeline
from kfp_components.parameters import LIMIT, resolve, shorten
from nexus_resources.pipelines import spec as specs
from nexus_resources.pipelines.job import JobIdentity, PipelineJob
from nexus_resources.pipelines.labels import check_labels, fit_label
from nexus_resources.pipelines.machines import Machine, parse_machines
from nexus_resources.pipelines.vertex_errors import failure_class, was_preempted
from nexus_resources.pipelines.vertex_request import VertexOptions, create_request
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.storage.folder import FolderStore

OPTIONS = VertexOptions("nexus-test", "europe-west4", "gs://nexus-test/pipelines", "worker:1")
MACHINES = """
default: {cpu: 2, memory: 8G}
extract_job: {cpu: 8, memory: 60Gi, parallelism: 16, accelerator: NVIDIA_TESLA_T4}
"""


def _job(pipeline: str = "extract_data_pipeline", **parameters: Any) -> PipelineJob:
    return PipelineJob(pipeline, compiled_pipeline(pipeline), parameters, JobIdentity("run", "step"))


def _executors(options: VertexOptions, *, spot: bool = False) -> dict[str, Any]:
    document = create_request(options, "nexus-x-a1", _job(), spot=spot)
    executors = document["pipelineJob"]["pipelineSpec"]["deploymentSpec"]["executors"]
    return {label.removeprefix("exec-"): executor["container"] for label, executor in executors.items()}


def test_every_component_has_the_worker_image_and_its_machine() -> None:
    containers = _executors(replace(OPTIONS, machines=parse_machines(MACHINES)))
    assert {container["image"] for container in containers.values()} == {"worker:1"}
    for label in ("extract-job", "extract-job-2"):
        assert containers[label]["resources"] == {
            "cpuLimit": 8.0,
            "resourceCpuLimit": "8",
            "memoryLimit": 60 * 2**30 / 10**9,
            "resourceMemoryLimit": "60Gi",
            "accelerator": {
                "type": "NVIDIA_TESLA_T4",
                "count": "1",
                "resourceType": "NVIDIA_TESLA_T4",
                "resourceCount": "1",
            },
        }
    assert containers["prepare-extract-job"]["resources"]["resourceMemoryLimit"] == "8G"
    assert "resources" not in _executors(OPTIONS)["extract-job"]


def test_only_the_loops_over_a_component_have_its_parallelism() -> None:
    options = replace(OPTIONS, machines=parse_machines(MACHINES))
    spec = create_request(options, "nexus-x-a1", _job(), spot=False)["pipelineJob"]["pipelineSpec"]
    limits = {
        (place, name): task.get("iteratorPolicy")
        for place, component in {"root": spec["root"], **spec["components"]}.items()
        for name, task in component.get("dag", {}).get("tasks", {}).items()
    }
    assert {key: limit for key, limit in limits.items() if limit} == {
        ("comp-extract-bins", "for-loop-1"): {"parallelismLimit": 16},
        ("comp-extract-bins-2", "for-loop-1"): {"parallelismLimit": 16},
    }


def test_spot_tasks_are_custom_jobs_that_run_the_same_command() -> None:
    spot = replace(
        OPTIONS,
        spot=True,
        spot_launcher_image="launcher:1",
        machines=parse_machines(MACHINES),
        service_account="worker@nexus-test",
        cmek_key="key",
    )
    document = create_request(spot, "nexus-x-a1", _job(), spot=True)
    spec = document["pipelineJob"]["pipelineSpec"]
    executors = spec["deploymentSpec"]["executors"]
    assert {executor["container"]["image"] for executor in executors.values()} == {"launcher:1"}
    assert "{{$}}" not in str(spec)
    payloads = {payload["display_name"]: payload for payload in specs.take_spot_away(spec)}
    pool = payloads["extract_job"]["job_spec"]["worker_pool_specs"][0]
    assert pool["machine_spec"] == {
        "machine_type": "n2-highmem-8",
        "accelerator_type": "NVIDIA_TESLA_T4",
        "accelerator_count": 1,
    }
    assert payloads["extract_job"]["job_spec"]["scheduling"] == {"strategy": "SPOT"}
    assert payloads["extract_job"]["job_spec"]["service_account"] == "worker@nexus-test"
    assert "network" not in payloads["extract_job"]["job_spec"]
    assert payloads["extract_job"]["encryption_spec"] == {"kms_key_name": "key"}
    assert payloads["prepare_extract_job"]["labels"] == document["pipelineJob"]["labels"]
    plain = specs.load_spec(_job().spec)
    specs.put_image(plain, "worker:1")
    specs.put_parallelism(plain, spot.machines)
    assert spec == plain


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        ({}, "n2-standard-4"),
        ({"cpu": 4, "memory": "16Gi"}, "n2-standard-4"),
        ({"cpu": 4, "memory": "17Gi"}, "n2-highmem-4"),
        ({"cpu": 2, "memory": "40G"}, "n2-highmem-8"),
        ({"machine_type": "e2-standard-4"}, "e2-standard-4"),
    ],
)
def test_the_smallest_machine_that_is_large_enough(machine: dict[str, Any], name: str) -> None:
    assert Machine.model_validate(machine).spot_machine_type() == name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("extract: {cpu: 2}", "NEXUS_MACHINES: 'extract' is no component; there are default, "),
        ("extract_job: {cores: 2}", "NEXUS_MACHINES: extract_job.cores is not a known key"),
        ("extract_job: {memory: 16}", "NEXUS_MACHINES: extract_job.memory: "),
        ("extract_job: {memory: 16GB}", "'16GB' is not a number with M, G, Mi or Gi"),
        ("extract_job: {cpu: 0}", "greater than 0"),
        ("[1]", "must map component names to machines, not be list"),
        ("{", "NEXUS_MACHINES is not YAML"),
    ],
)
def test_machines_that_cannot_be_are_said(text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)) as caught:
        parse_machines(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"project": ""},
        {"region": "EU"},
        {"pipeline_root": "/data"},
        {"worker_image": ""},
        {"failure_policy": "never"},
        {"caching": "maybe"},
        {"spot": True},
        {"labels": {"Team": "a"}},
        {"labels": {"team": "A B"}},
        {"labels": {"nexus-run": "a"}},
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        replace(OPTIONS, **changes)


@given(st.text(max_size=200))
def test_any_text_becomes_a_label(text: str) -> None:
    assert check_labels({"k": fit_label(text)}) == {"k": fit_label(text)}
    assert fit_label(fit_label(text)) == fit_label(text)


def test_texts_that_differ_only_at_their_end_stay_apart() -> None:
    assert fit_label("a" * 100) != fit_label("a" * 101)


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text()) | st.integers(), max_size=4), st.integers(0, 60))
def test_short_parameters_stand_for_the_long_ones(parameters: dict[str, Any], limit: int) -> None:
    short, files = shorten(parameters, limit=limit)

    class Files(FolderStore):
        def read(self, key: str) -> bytes:
            return files[key]

    store = Files("unused")
    for name, value in parameters.items():
        if isinstance(value, list):
            assert [resolve(store, item) for item in short[name]] == value
        else:
            assert (resolve(store, short[name]) if isinstance(value, str) else short[name]) == value


def test_a_changed_file_of_parameters_is_noticed(tmp_path: Any) -> None:
    store = FolderStore(tmp_path)
    short, files = shorten({"key": "x" * (LIMIT + 1)})
    for key in files:
        store.write(key, b'"y"')
    with pytest.raises(CorruptionError, match="does not match its name"):
        resolve(store, short["key"])


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (8, "", "retryable"),
        (13, "", "retryable"),
        (14, "", "retryable"),
        (9, "The replica workerpool0-0 exited with a non-zero status of 1.", "permanent"),
        (9, "The replica workerpool0-0 exited with a non-zero status of 137.", "retryable"),
        (9, "exited with a non-zero status of 137: it ran out of memory", "permanent"),
        (9, "Quota exceeded for aiplatform.googleapis.com/custom_model_training_cpus", "retryable"),
        (9, "Internal error occurred. Please retry in a few minutes.", "retryable"),
        (9, "The VM was preempted.", "retryable"),
        (3, "Invalid image", "permanent"),
        (7, "Permission denied on the bucket", "permanent"),
    ],
)
def test_what_may_help_is_tried_again_and_what_cannot_is_not(code: int, message: str, kind: str) -> None:
    assert failure_class([code], [message]) == kind
    assert was_preempted([message]) is ("preempted" in message)


def test_tasks_of_loops_are_known_by_the_specification() -> None:
    found = {name: specs.container_tasks(specs.load_spec(compiled_pipeline(name))) for name in PIPELINES}
    assert found == {
        "ingest_data_pipeline": {"create-ingest-files-job": True, "ingest-data-to-bigquery-job": False},
        "extract_data_pipeline": {
            "prepare-extract-job": False,
            "extract-job": True,
            "mark-curriculum-as-finished-job": False,
        },
        "validate_pipeline": {"validate-anndata-job": True},
    }
    assert all(BASE_IMAGE in compiled_pipeline(name) for name in PIPELINES)


def test_a_job_acts_as_the_account_of_the_components_that_run_in_it() -> None:
    machines = parse_machines("extract_job: {service_account: extract@nexus-test}")
    options = replace(OPTIONS, service_account="worker@nexus-test", machines=machines)

    def account(**parameters: Any) -> str:
        job = create_request(options, "nexus-x-a1", _job(**parameters), spot=False)["pipelineJob"]
        return str(job["serviceAccount"])

    assert account(prepare_config_key="", extract_config_keys=["a", "b"], finish_config_key="") == "extract@nexus-test"
    assert account(prepare_config_key="a", extract_config_keys=[], finish_config_key="") == "worker@nexus-test"
    with pytest.raises(InputError, match="prepare_extract_job, extract_job have 2: give them the same"):
        account(prepare_config_key="a", extract_config_keys=["b"], finish_config_key="")
    with pytest.raises(InputError, match="NEXUS_MACHINES"):
        parse_machines("extract_job: {service_account: nobody}")
