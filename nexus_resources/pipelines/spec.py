"""The compiled pipeline as a document: what a deployment changes in it, and the names of its tasks.

The same YAML runs everywhere; the worker image, machines, parallelism, caching and spot machines are put in here.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from kfp_components.catalog import BASE_IMAGE
from nexus_resources.pipelines.machines import Machines

Spec = dict[str, Any]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_EXECUTOR_INPUT = "{{$}}"
_ESCAPED_EXECUTOR_INPUT = "{{$.json_escape[1]}}"
_LAUNCHER = ["python3", "-u", "-m", "google_cloud_pipeline_components.container.v1.custom_job.launcher"]


def load_spec(text: str) -> Spec:
    """Read a compiled pipeline.

    :param text: The YAML.
    :return: The document.
    """
    spec: Spec = next(iter(yaml.load_all(text, _LOADER)))
    return spec


def put_image(spec: Spec, image: str) -> None:
    """Put the worker image in the place of the one that stands for it.

    :param spec: The pipeline; it is changed.
    :param image: The image.
    """
    for _, container in _containers(spec):
        if container["image"] == BASE_IMAGE:
            container["image"] = image


def put_machines(spec: Spec, machines: Machines) -> None:
    """Say which machine each component gets.

    :param spec: The pipeline; it is changed.
    :param machines: The machines.
    """
    for label, container in _containers(spec):
        machine = machines.of(_component(label, container))
        resources: dict[str, Any] = {}
        if machine.cpu is not None:
            resources |= {"cpuLimit": machine.cpu, "resourceCpuLimit": f"{machine.cpu:g}"}
        if machine.memory_gigabytes is not None:
            resources |= {"memoryLimit": machine.memory_gigabytes, "resourceMemoryLimit": machine.memory}
        if machine.accelerator is not None:
            kind, count = machine.accelerator, str(machine.accelerator_count)
            resources["accelerator"] = {"type": kind, "count": count, "resourceType": kind, "resourceCount": count}
        if resources:
            container["resources"] = resources


def put_parallelism(spec: Spec, machines: Machines) -> None:
    """Bound how many tasks of a loop run side by side.

    :param spec: The pipeline; it is changed.
    :param machines: The machines.
    """
    containers = dict(_containers(spec))
    for task in _all_tasks(spec).values():
        if "parameterIterator" in task:
            labels = _executors_below(spec, task["componentRef"]["name"])
            wishes = [machines.of(_component(label, containers[label])).parallelism for label in labels]
            limits = [wish for wish in wishes if wish is not None]
            if limits:
                task["iteratorPolicy"] = {"parallelismLimit": min(limits)}


def put_caching(spec: Spec, *, enabled: bool) -> None:
    """Switch the caching of every task.

    :param spec: The pipeline; it is changed.
    :param enabled: Whether a task may be left out when the same ran before.
    """
    for task in _all_tasks(spec).values():
        task["cachingOptions"] = {"enableCache": True} if enabled else {}


def put_spot(spec: Spec, machines: Machines, launcher: str, job: Mapping[str, Any]) -> None:
    """Run every task as a custom job on spot machines, which containers of a pipeline cannot have themselves.

    :param spec: The pipeline; it is changed.
    :param machines: The machines.
    :param launcher: Image of the launcher of custom jobs in google-cloud-pipeline-components, which Vertex AI
        runs without a machine of its own.
    :param job: ``service_account``, ``network``, ``cmek_key`` and ``labels`` of the custom jobs; empty for none.
    """
    rest = {name: job[name] for name in ("service_account", "network") if job.get(name)}
    outside: dict[str, Any] = {"labels": job.get("labels", {})}
    if job.get("cmek_key"):
        outside["encryption_spec"] = {"kms_key_name": job["cmek_key"]}
    for label, container in _containers(spec):
        component = _component(label, container)
        machine = machines.of(component)
        machine_spec: dict[str, Any] = {"machine_type": machine.spot_machine_type()}
        if machine.accelerator is not None:
            machine_spec |= {
                "accelerator_type": machine.accelerator,
                "accelerator_count": machine.accelerator_count,
            }
        pool = {
            "machine_spec": machine_spec,
            "replica_count": 1,
            "container_spec": {
                "image_uri": container["image"],
                "command": [_escaped(part) for part in container.get("command", [])],
                "args": [_escaped(part) for part in container.get("args", [])],
            },
        }
        payload = {
            "display_name": component,
            "job_spec": {"worker_pool_specs": [pool], "scheduling": {"strategy": "SPOT"}, **rest},
            **outside,
        }
        spec["deploymentSpec"]["executors"][label]["container"] = {
            "image": launcher,
            "command": _LAUNCHER,
            "args": [
                "--type", "CustomJob",
                "--payload", json.dumps(payload),
                "--project", "{{$.pipeline_google_cloud_project_id}}",
                "--location", "{{$.pipeline_google_cloud_location}}",
                "--gcp_resources", "{{$.outputs.parameters['gcp_resources'].output_file}}",
            ],
        }  # fmt: skip
    for component_spec in spec["components"].values():
        if "executorLabel" in component_spec:
            outputs = component_spec.setdefault("outputDefinitions", {}).setdefault("parameters", {})
            outputs["gcp_resources"] = {"parameterType": "STRING"}


def take_spot_away(spec: Spec) -> list[dict[str, Any]]:
    """Undo :func:`put_spot`, for who runs the tasks elsewhere.

    :param spec: The pipeline; it is changed.
    :return: The payloads of the custom jobs.
    """
    payloads: list[dict[str, Any]] = []
    for label, container in _containers(spec):
        if container.get("command") != _LAUNCHER:
            continue
        payload = json.loads(container["args"][container["args"].index("--payload") + 1])
        inner = payload["job_spec"]["worker_pool_specs"][0]["container_spec"]
        spec["deploymentSpec"]["executors"][label]["container"] = {
            "image": inner["image_uri"],
            "command": [_unescaped(part) for part in inner["command"]],
            "args": [_unescaped(part) for part in inner["args"]],
        }
        payloads.append(payload)
    for component_spec in spec["components"].values():
        if payloads and "executorLabel" in component_spec:
            del component_spec["outputDefinitions"]
    return payloads


def container_tasks(spec: Mapping[str, Any]) -> dict[str, bool]:
    """Return the names of the tasks that run a container, and whether each is in a loop.

    :param spec: The pipeline.
    :return: Whether it may run several times, by the task's name.
    """
    found: dict[str, bool] = {}

    def walk(dag: Mapping[str, Any], *, looped: bool) -> None:
        for name, task in dag.get("tasks", {}).items():
            component = spec["components"][task["componentRef"]["name"]]
            inside = looped or "parameterIterator" in task
            if "dag" in component:
                walk(component["dag"], looped=inside)
            else:
                found[name] = found.get(name, False) or inside

    walk(spec.get("root", {}).get("dag", {}), looped=False)
    return found


def _containers(spec: Spec) -> Iterator[tuple[str, dict[str, Any]]]:
    for label, executor in list(spec.get("deploymentSpec", {}).get("executors", {}).items()):
        if "container" in executor:
            yield label, executor["container"]


def _component(label: str, container: Mapping[str, Any]) -> str:
    arguments = container.get("args", [])
    if "--function_to_execute" in arguments[:-1]:
        return str(arguments[arguments.index("--function_to_execute") + 1])
    return label.removeprefix("exec-").replace("-", "_")


def _all_tasks(spec: Spec) -> dict[tuple[str, str], dict[str, Any]]:
    dags = {"root": spec["root"], **spec["components"]}
    return {
        (place, name): task
        for place, component in dags.items()
        for name, task in component.get("dag", {}).get("tasks", {}).items()
    }


def _executors_below(spec: Spec, component: str) -> set[str]:
    content = spec["components"][component]
    if "dag" not in content:
        return {content["executorLabel"]}
    tasks = content["dag"]["tasks"].values()
    return {label for task in tasks for label in _executors_below(spec, task["componentRef"]["name"])}


def _escaped(part: str) -> str:
    return _ESCAPED_EXECUTOR_INPUT if part == _EXECUTOR_INPUT else part


def _unescaped(part: str) -> str:
    return _EXECUTOR_INPUT if part == _ESCAPED_EXECUTOR_INPUT else part
