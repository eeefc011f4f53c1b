"""Put what BigQuery and the credentials answer into one sentence of ours: what, where, how to mend it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from omics_datastore.errors import InputError, UnavailableError
from omics_datastore.warehouse.bigquery_address import BigQueryAddress

LOST_REASONS = (
    "rateLimitExceeded",
    "backendError",
    "internalError",
    "jobRateLimitExceeded",
    "jobBackendError",
    "jobInternalError",
    "tableUnavailable",
)
"""Reasons for which BigQuery's documentation says to run a failed job again."""


@contextmanager
def explained(address: BigQueryAddress) -> Iterator[None]:
    """Turn errors that somebody can mend into :class:`InputError` while a ``with`` block runs; let others through.

    :param address: The warehouse.
    :return: A context manager.
    :raise InputError: For missing credentials or rights, an API that is off, a wrong project or location, a quota, or
        the limit of bytes billed.
    :raise UnavailableError: When the service does not do what it should.
    """
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import DefaultCredentialsError, RefreshError

    try:
        yield
    except DefaultCredentialsError as error:
        raise InputError(
            "there are no Google Cloud credentials: run 'gcloud auth application-default login', or name a key or "
            "configuration file in GOOGLE_APPLICATION_CREDENTIALS."
        ) from error
    except RefreshError as error:
        raise InputError(
            f"Google Cloud refused the credentials ({first_line(error)}): run 'gcloud auth application-default login'."
        ) from error
    except (GoogleAPICallError, RetryError) as error:
        cause = error.cause if isinstance(error, RetryError) and error.cause is not None else error
        sentence = _sentence(cause, address)
        if sentence is not None:
            raise InputError(sentence) from error
        if isinstance(error, RetryError) or reason_of(cause) in LOST_REASONS or (getattr(cause, "code", 0) or 0) >= 500:
            raise UnavailableError(
                f"BigQuery does not answer as it should in project {address.project} ({first_line(cause)}): run again."
            ) from error
        raise


def reason_of(error: Exception) -> str:
    """Return BigQuery's name of an error's reason.

    :param error: An error of the client.
    :return: For example ``quotaExceeded``, or an empty text.
    """
    errors = getattr(error, "errors", None) or []
    first = errors[0] if errors else {}
    reason = first.get("reason", "") if isinstance(first, dict) else ""
    return str(reason or getattr(error, "reason", None) or "")


@dataclass(frozen=True)
class _Rule:
    """What an error is known by, a reason, a phrase of its text or a status, and what is said then."""

    sentence: str
    reasons: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()


_RULES = (
    _Rule(
        "the query was not run: {told} The limit is NEXUS_MAXIMUM_BYTES_BILLED={limit}; ask for less or raise it.",
        ("bytesBilledLimitExceeded",),
        ("exceeded limit for bytes billed",),
    ),
    _Rule(
        "an API of BigQuery is off in project {project}: run 'gcloud services enable bigquery.googleapis.com "
        "bigquerystorage.googleapis.com --project {project}'.",
        ("accessNotConfigured", "SERVICE_DISABLED"),
        ("has not been used in project", "has not enabled bigquery"),
    ),
    _Rule(
        "a quota of project {project} is used up ({told}): wait, or ask for more; see the runbook on quotas.",
        ("quotaExceeded", "rateLimitExceeded", "RATE_LIMIT_EXCEEDED"),
        ("quota exceeded",),
    ),
    _Rule("project {project} has no billing account: link one in the Cloud console.", ("billingNotEnabled",)),
    _Rule(
        "BigQuery dataset {project}.{dataset}, its bucket and NEXUS_LOCATION={location} are not in one location "
        "({told}): set NEXUS_LOCATION to where the dataset is.",
        phrases=("different locations", "was not found in location", "cannot read in location"),
    ),
    _Rule(
        "there is no Google Cloud project {project} for these credentials: check NEXUS_PROJECT.",
        phrases=("not found: project", "unknown project", "invalid project id"),
    ),
    _Rule(
        "these credentials may not do this in project {project} ({told}): see the table of IAM roles.",
        ("accessDenied",),
        codes=(403,),
    ),
    _Rule("Google Cloud refused the credentials: run 'gcloud auth application-default login'.", codes=(401,)),
)
"""In the order they are tried."""


def _sentence(error: Exception, address: BigQueryAddress) -> str | None:
    text, reason, code = first_line(error), reason_of(error), getattr(error, "code", None)
    for rule in _RULES:
        if reason in rule.reasons or code in rule.codes or any(phrase in text.lower() for phrase in rule.phrases):
            return rule.sentence.format(
                told=text.split("; reason:")[0].rstrip(". ") + ".",
                project=address.project,
                dataset=address.dataset,
                location=address.location,
                limit=address.maximum_bytes_billed,
            )
    return None


def first_line(error: Exception) -> str:
    """Return what an error says, without what follows its first line.

    :param error: An error of the client.
    :return: The line.
    """
    return str(getattr(error, "message", None) or error).strip().split("\n")[0]
