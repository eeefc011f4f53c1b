"""The request that creates a job on Vertex AI, as a document: everything a deployment says about a job comes together.

The document has the form of the REST interface, so that a dry run shows exactly what would be sent.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from kfp_components.catalog import PIPELINES
from kfp_components.parameters import shorten
from nexus_resources.pipelines import spec as specs
from nexus_resources.pipelines.job import PipelineJob
from nexus_resources.pipelines.labels import PROVISIONING, check_labels, fit_labels
from nexus_resources.pipelines.machines import Machines
from omics_datastore.errors import InputError

_FAILURE_POLICIES = {"fast": "PIPELINE_FAILURE_POLICY_FAIL_FAST", "slow": "PIPELINE_FAILURE_POLICY_FAIL_SLOW"}
_CACHING = {"on": True, "off": False, "as compiled": None}
_PROJECT = re.compile(r"[a-z][a-z0-9.:-]{1,62}")
_REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")


@dataclass(frozen=True)
class VertexOptions:
    """How jobs run in a project.

    :param project: Project that pays.
    :param region: Region of Vertex AI, ``europe-west4`` for example.
    :param pipeline_root: Folder of a bucket for what Vertex AI writes itself.
    :param worker_image: Image of the workers.
    :param service_account: Account that workers act as, but those whose component has its own in ``machines``; the
        project's default one when empty.
    :param network: Full name of a network to peer with.
    :param cmek_key: Full name of a key to encrypt with.
    :param spot: Run tasks on spot machines until one was preempted.
    :param spot_launcher_image: Image of the launcher of custom jobs; needed for spot.
    :param machines: Machines of the components.
    :param labels: Labels of every job.
    :param failure_policy: ``fast`` starts nothing after a failure, ``slow`` what does not depend on it.
    :param caching: ``on``, ``off`` or ``as compiled``.
    :raise InputError: When one cannot be.
    """

    project: str
    region: str
    pipeline_root: str
    worker_image: str
    service_account: str = ""
    network: str = ""
    cmek_key: str = ""
    spot: bool = False
    spot_launcher_image: str = ""
    machines: Machines = field(default_factory=Machines)
    labels: dict[str, str] = field(default_factory=dict)
    failure_policy: str = "fast"
    caching: str = "as compiled"

    def __post_init__(self) -> None:
        check_labels(self.labels)
        refusals = [
            (not _PROJECT.fullmatch(self.project), f"{self.project!r} is not the id of a project: set NEXUS_PROJECT."),
            (not _REGION.fullmatch(self.region), f"{self.region!r} is not a region: set NEXUS_REGION, europe-west4."),
            (not self.pipeline_root.startswith("gs://"), f"{self.pipeline_root!r} is not in a bucket: set NEXUS_ROOT."),
            (not self.worker_image, "there is no worker image: set NEXUS_WORKER_IMAGE."),
            (
                self.failure_policy not in _FAILURE_POLICIES,
                f"{self.failure_policy!r} is not a failure policy: choose fast or slow.",
            ),
            (self.caching not in _CACHING, f"{self.caching!r} is no caching: choose on, off or as compiled."),
            (
                self.spot and not self.spot_launcher_image,
                (
                    "spot machines need Google's launcher of custom jobs: set NEXUS_SPOT_LAUNCHER_IMAGE to an image of "
                    "google-cloud-pipeline-components, or NEXUS_SPOT=off."
                ),
            ),
        ]
        for refused, sentence in refusals:
            if refused:
                raise InputError(sentence)

    @property
    def parent(self) -> str:
        """Return the resource name that jobs are made under."""
        return f"projects/{self.project}/locations/{self.region}"


def create_request(options: VertexOptions, job_id: str, job: PipelineJob, *, spot: bool) -> dict[str, Any]:
    """Write the request that creates a job.

    :param options: How jobs run.
    :param job_id: Id of the job.
    :param job: The job.
    :param spot: Run its tasks on spot machines.
    :return: A ``CreatePipelineJobRequest`` in JSON form.
    """
    labels = {**options.labels, **fit_labels(job.labels), PROVISIONING: "spot" if spot else "on-demand"}
    parameters, _ = shorten(job.parameters)
    content: dict[str, Any] = {
        "displayName": job.pipeline[:128],
        "labels": dict(sorted(labels.items())),
        "pipelineSpec": tailored_spec(options, job, labels, spot=spot),
        "runtimeConfig": {
            "gcsOutputDirectory": options.pipeline_root,
            "parameterValues": parameters,
            "failurePolicy": _FAILURE_POLICIES[options.failure_policy],
        },
    }
    if account := service_account(options, job):
        content["serviceAccount"] = account
    if options.network:
        content["network"] = options.network
    if options.cmek_key:
        content["encryptionSpec"] = {"kmsKeyName": options.cmek_key}
    return {"parent": options.parent, "pipelineJobId": job_id, "pipelineJob": content}


def service_account(options: VertexOptions, job: PipelineJob) -> str:
    """Return the account that a job acts as: that of the components that run in it.

    :param options: How jobs run.
    :param job: The job; steps without a configuration's key do not run.
    :return: The account; empty for the project's default one.
    :raise InputError: When the components have different accounts; a job of Vertex AI acts as one.
    """
    running = [step.component for step in PIPELINES.get(job.pipeline, ()) if job.parameters.get(step.parameter)]
    accounts = {options.machines.of(name).service_account or options.service_account for name in running}
    if len(accounts) > 1:
        raise InputError(
            f"a job of Vertex AI acts as one account, and {', '.join(running)} have {len(accounts)}: give them the "
            "same service_account in NEXUS_MACHINES."
        )
    return accounts.pop() if accounts else options.service_account


def tailored_spec(options: VertexOptions, job: PipelineJob, labels: dict[str, str], *, spot: bool) -> dict[str, Any]:
    """Return the compiled pipeline of a job with what the deployment says in it.

    :param options: How jobs run.
    :param job: The job.
    :param labels: Labels of the job, for the custom jobs of spot tasks.
    :param spot: Run its tasks on spot machines.
    :return: The pipeline.
    """
    spec = specs.load_spec(job.spec)
    specs.put_image(spec, options.worker_image)
    specs.put_parallelism(spec, options.machines)
    caching = _CACHING[options.caching]
    if caching is not None:
        specs.put_caching(spec, enabled=caching)
    if spot:
        job_fields = {
            "service_account": service_account(options, job),
            "network": options.network,
            "cmek_key": options.cmek_key,
            "labels": labels,
        }
        specs.put_spot(spec, options.machines, options.spot_launcher_image, job_fields)
    else:
        specs.put_machines(spec, options.machines)
    return spec
