"""The settings that only a deployment on Google Cloud has, and what must hold of them."""

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, Field

from nexus_resources.pipelines.labels import check_labels
from nexus_resources.pipelines.machines import parse_machines
from omics_datastore.errors import InputError

SCHEME = "gs://"
DEFAULTS = {
    "tasks": "32",
    "workers": "4",
    "task_memory_mb": "1024",
    "bins_per_group": "32",
    "quiet_seconds": "30",
    "cellxgene_python": "/opt/cellxgene/bin/python",
}
"""Defaults that differ from a laptop's: many machines of four cores, drops that take longer to upload, and a path in
the worker image."""

_REQUIRED = {
    "project": "the id of the Google Cloud project",
    "location": "where bucket and BigQuery dataset lie, EU for example",
    "region": "where pipelines run, europe-west4 for example",
    "worker_image": "the image of pipeline tasks in the Artifact Registry",
}
_FORMS = {
    "project": (r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", "the id of a Google Cloud project"),
    "location": (r"[A-Za-z]+(?:-[A-Za-z0-9]+)*", "a location; give EU, US or a region"),
    "region": (r"[a-z]+-[a-z]+\d+", "a region; give one like europe-west4"),
    "bigquery_dataset": (r"[A-Za-z0-9_]{1,1024}", "the name of a BigQuery dataset; use letters, digits and '_'"),
    "service_account": (r"[^@\s]+@[^@\s]+", "the e-mail address of a service account"),
    "network": (r"projects/[^/]+/global/networks/[^/]+", "a network; give projects/<number>/global/networks/<name>"),
    "cmek_key": (
        r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+",
        "a key; give projects/<p>/locations/<l>/keyRings/<r>/cryptoKeys/<k>",
    ),
    "vertex_endpoint": (r"https?://\S+", "an address; give http://127.0.0.1:<port>"),
}


class GcpSettings(BaseModel):
    """What the environment decides on Google Cloud."""

    project: str = Field("", description="Google Cloud project.")
    location: str = Field("", description="Location of the bucket and of the BigQuery dataset, EU for example.")
    region: str = Field("", description="Region of Vertex AI, europe-west4 for example.")
    bigquery_dataset: str = Field("nexus", description="BigQuery dataset of the warehouse.")
    worker_image: str = Field("", description="Image of pipeline tasks.")
    service_account: str = Field("", description="Service account of pipeline tasks; the project's own by default.")
    network: str = Field("", description="Network that pipeline tasks are peered with.")
    cmek_key: str = Field("", description="Key that encrypts what pipelines keep.")
    spot: Literal["on", "off"] = Field("off", description="Whether tasks run on spot machines, then on others.")
    spot_launcher_image: str = Field("", description="Image of Google's launcher of custom jobs, for spot machines.")
    machines: str = Field("", description="YAML or JSON: component to {cpu, memory, accelerator, parallelism}.")
    maximum_bytes_billed: int | None = Field(None, ge=1, description="Bytes that one query may bill at most.")
    labels: str = Field("", description="k=v,k=v: labels of jobs and tables, for billing.")
    caching: Literal["on", "off", "as compiled"] = Field("as compiled", description="Vertex AI's cache of tasks.")
    failure_policy: Literal["fast", "slow"] = Field("fast", description="Whether other tasks end with the first.")
    vertex_endpoint: str = Field("", description="Address of an emulator of Vertex AI.")

    @property
    def label_map(self) -> dict[str, str]:
        """Return the labels by key.

        :raise InputError: When one is not ``key=value``, or not what Google Cloud takes.
        """
        labels: dict[str, str] = {}
        for text in filter(None, (part.strip() for part in self.labels.split(","))):
            key, equals, value = text.partition("=")
            if not equals:
                raise InputError(f"NEXUS_LABELS={self.labels!r}: {text!r} is not key=value.")
            labels[key.strip()] = value.strip()
        return check_labels(labels)


def check_gcp(root: str, settings: GcpSettings, given: Mapping[str, str]) -> None:
    """Refuse settings with which nothing can run on Google Cloud.

    :param root: The root of the store.
    :param settings: The settings.
    :param given: What the environment says, by field.
    :raise InputError: When one is missing or cannot be; one sentence.
    """
    if "root" not in given:
        raise InputError("NEXUS_ROOT is not set: give gs://<bucket>/<prefix>, below which everything is kept.")
    if not root.startswith(SCHEME) or not root.removeprefix(SCHEME).strip("/"):
        raise InputError(f"NEXUS_ROOT={root!r} is not in a bucket: give gs://<bucket>/<prefix>.")
    for name, what in _REQUIRED.items():
        if not getattr(settings, name):
            raise InputError(f"NEXUS_{name.upper()} is not set: give {what}.")
    for name, (form, what) in _FORMS.items():
        value = getattr(settings, name)
        if value and not re.fullmatch(form, value):
            raise InputError(f"NEXUS_{name.upper()}={value!r} is not {what}.")
    if settings.spot == "on" and not settings.spot_launcher_image:
        raise InputError(
            "NEXUS_SPOT=on needs NEXUS_SPOT_LAUNCHER_IMAGE, an image of google-cloud-pipeline-components; set it, or "
            "NEXUS_SPOT=off."
        )
    parse_machines(settings.machines)
    settings.label_map  # noqa: B018 - read for its check


def check_local(root: str, _settings: GcpSettings, given: Mapping[str, str]) -> None:
    """Refuse settings of Google Cloud in a local deployment, which somebody believed to be another one.

    :param root: The root of the store.
    :param _settings: The settings.
    :param given: What the environment says, by field.
    :raise InputError: When one is set; one sentence.
    """
    if "://" in root:
        raise InputError(f"NEXUS_ROOT={root!r} is not a folder: set NEXUS_DEPLOYMENT=gcp to keep data in a bucket.")
    for name in GcpSettings.model_fields:
        if name in given:
            raise InputError(
                f"NEXUS_{name.upper()} is of Google Cloud, and NEXUS_DEPLOYMENT is local: set NEXUS_DEPLOYMENT=gcp, or "
                f"unset NEXUS_{name.upper()}."
            )


def warehouse_address(settings: GcpSettings) -> str:
    """Return the address of the warehouse.

    :param settings: Settings of a deployment on Google Cloud.
    :return: ``bigquery://<project>/<dataset>?location=…``.
    """
    from omics_datastore.warehouse.bigquery_address import BigQueryAddress

    dataset, location = settings.bigquery_dataset, settings.location
    return BigQueryAddress(settings.project, dataset, location, settings.maximum_bytes_billed, settings.label_map).uri
