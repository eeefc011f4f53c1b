"""Labels of pipeline jobs: made fit for Google Cloud, and the names of those that Nexus gives."""

import hashlib
import re
from collections.abc import Mapping

from omics_datastore.errors import InputError

PARTITION = "nexus-partition"
"""The dataset or the version of a curriculum that a job works for."""
RUN = "nexus-run"
ROOT_RUN = "nexus-root-run"
STEP = "nexus-step"
INSTANCE = "nexus-instance"
"""Id of the Dagster instance whose run asked; jobs of another instance are none of ours."""
PROVISIONING = "nexus-provisioning"
"""``spot`` or ``on-demand``."""

MAX_LENGTH = 63
"""Characters of a key or a value. Vertex AI documents 64, resources behind it 63."""
_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_NOT_ALLOWED = re.compile(r"[^a-z0-9_-]+")


def fit_label(value: str) -> str:
    """Turn any text into the value of a label.

    :param value: The text.
    :return: At most 63 of ``a-z0-9_-``; a text that was too long ends in eight digits of its digest.
    """
    fit = _NOT_ALLOWED.sub("-", value.lower())
    if len(fit) <= MAX_LENGTH:
        return fit
    return f"{fit[: MAX_LENGTH - 9]}-{hashlib.sha256(value.encode()).hexdigest()[:8]}"


def fit_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Make the labels fit that Nexus gives.

    :param labels: Labels whose keys are fit.
    :return: The labels with fit values.
    """
    return {key: fit_label(value) for key, value in labels.items()}


def check_labels(labels: Mapping[str, str], where: str = "NEXUS_LABELS") -> dict[str, str]:
    """Check the labels that somebody configured.

    :param labels: The labels.
    :param where: The setting, for messages.
    :return: The labels.
    :raise InputError: When one is not what Google Cloud takes.
    """
    for key, value in labels.items():
        if not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            raise InputError(
                f"{where}: {key}={value} is not a label; keys and values have at most 63 of a-z, 0-9, '_' and '-', "
                "and keys begin with a letter."
            )
        if key.startswith("nexus-"):
            raise InputError(f"{where}: {key} is a label that Nexus gives itself; choose another name.")
    return dict(labels)
