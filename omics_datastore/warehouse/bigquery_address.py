"""The address of a warehouse in BigQuery: ``bigquery://<project>/<dataset>?location=EU&maximum_bytes_billed=…``."""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlsplit

from omics_datastore.errors import InputError

SCHEME = "bigquery"
DEFAULT_LOCATION = "US"

_PROJECT = re.compile(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
_DATASET = re.compile(r"[A-Za-z0-9_]{1,1024}")
_LOCATION = re.compile(r"[A-Za-z]+(?:-[A-Za-z0-9]+)*")
_LABEL = re.compile(r"([a-z][a-z0-9_-]{0,62})=([a-z0-9_-]{0,63})")
_OPTIONS = ("location", "maximum_bytes_billed", "labels")
_FORM = "write bigquery://<project>/<dataset>?location=EU"


@dataclass(frozen=True)
class BigQueryAddress:
    """A project, a dataset, where it lies, the most bytes one query may bill, and labels of the dataset and of jobs."""

    project: str
    dataset: str
    location: str = DEFAULT_LOCATION
    maximum_bytes_billed: int | None = None
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """Return the address as text."""
        options = [f"location={self.location}"]
        if self.maximum_bytes_billed is not None:
            options.append(f"maximum_bytes_billed={self.maximum_bytes_billed}")
        if self.labels:
            options.append("labels=" + quote(",".join(f"{key}={value}" for key, value in sorted(self.labels.items()))))
        return f"{SCHEME}://{self.project}/{self.dataset}?{'&'.join(options)}"

    def table(self, name: str) -> str:
        """Return the full name of a table, as the client takes it.

        :param name: Table name.
        :return: ``project.dataset.name``.
        """
        return f"{self.project}.{self.dataset}.{name}"


def parse_address(uri: str) -> BigQueryAddress:
    """Read an address.

    :param uri: The address.
    :return: Its parts.
    :raise InputError: When a part is missing or cannot be right; the message names it.
    """
    parts = urlsplit(uri)
    project, dataset = parts.netloc, parts.path.strip("/")
    if parts.scheme != SCHEME or not project:
        raise InputError(f"{uri!r} names no Google Cloud project: {_FORM} (NEXUS_PROJECT).")
    if not _PROJECT.fullmatch(project):
        raise InputError(f"{project!r} is not the id of a Google Cloud project: {_FORM} (NEXUS_PROJECT).")
    if not _DATASET.fullmatch(dataset):
        raise InputError(
            f"{dataset!r} is not the name of a BigQuery dataset: use letters, digits and underscores "
            "(NEXUS_BIGQUERY_DATASET)."
        )
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise InputError(f"{uri!r} has an unknown option {unknown[0]!r}: use {', '.join(_OPTIONS)}.")
    location = options.get("location", DEFAULT_LOCATION)
    if not _LOCATION.fullmatch(location):
        raise InputError(f"{location!r} is not a BigQuery location: write EU, US or a region (NEXUS_LOCATION).")
    return BigQueryAddress(project, dataset, location, _limit(options), _labels(options))


def _limit(options: dict[str, str]) -> int | None:
    text = options.get("maximum_bytes_billed")
    if text is None:
        return None
    if not text.isdecimal() or not int(text):
        raise InputError(
            f"{text!r} is not a number of bytes: write a whole number above zero (NEXUS_MAXIMUM_BYTES_BILLED)."
        )
    return int(text)


def _labels(options: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in filter(None, options.get("labels", "").split(",")):
        match = _LABEL.fullmatch(text)
        if match is None:
            raise InputError(
                f"{text!r} is not a label: write key=value in lower-case letters, digits, '_' and '-' (NEXUS_LABELS)."
            )
        found[match[1]] = match[2]
    return found
