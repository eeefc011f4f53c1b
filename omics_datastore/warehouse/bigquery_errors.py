"""Put what BigQuery and the credentials answer into one sentence of ours: what, where, how to mend it."""

from collections.abc import Iterator
from contextlib import contextmanager

from omics_datastore.errors import InputError
from omics_datastore.warehouse.bigquery_address import BigQueryAddress

_APIS = "bigquery.googleapis.com bigquerystorage.googleapis.com"


@contextmanager
def explained(address: BigQueryAddress) -> Iterator[None]:
    """Turn errors that somebody can mend into :class:`InputError` while a ``with`` block runs; let others through.

    :param address: The warehouse.
    :return: A context manager.
    :raise InputError: For missing credentials or rights, an API that is off, a wrong project or location, a quota, or
        the limit of bytes billed.
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
            f"Google Cloud refused the credentials ({_first_line(error)}): run 'gcloud auth application-default login'."
        ) from error
    except (GoogleAPICallError, RetryError) as error:
        cause = error.cause if isinstance(error, RetryError) and error.cause is not None else error
        sentence = _sentence(cause, address)
        if sentence is None:
            raise
        raise InputError(sentence) from error


def reason_of(error: Exception) -> str:
    """Return BigQuery's name of an error's reason.

    :param error: An error of the client.
    :return: For example ``quotaExceeded``, or an empty text.
    """
    errors = getattr(error, "errors", None) or []
    first = errors[0] if errors else {}
    reason = first.get("reason", "") if isinstance(first, dict) else ""
    return str(reason or getattr(error, "reason", None) or "")


def _sentence(error: Exception, address: BigQueryAddress) -> str | None:
    text, reason = _first_line(error), reason_of(error)
    lower = text.lower()
    project = address.project
    if reason == "bytesBilledLimitExceeded" or "exceeded limit for bytes billed" in lower:
        return (
            f"the query was not run: {_told(text)} The limit is NEXUS_MAXIMUM_BYTES_BILLED="
            f"{address.maximum_bytes_billed}; ask for less or raise it."
        )
    if reason in ("accessNotConfigured", "SERVICE_DISABLED") or "has not been used in project" in lower:
        return f"an API of BigQuery is off in project {project}: run 'gcloud services enable {_APIS} --project {project}'."
    if reason in ("quotaExceeded", "rateLimitExceeded", "RATE_LIMIT_EXCEEDED") or "quota exceeded" in lower:
        return f"a quota of project {project} is used up ({_told(text)}): wait, or ask for more; see the quota runbook."
    if reason == "billingNotEnabled":
        return f"project {project} has no billing account: link one in the Cloud console."
    if "different locations" in lower or "was not found in location" in lower or "cannot read in location" in lower:
        return (
            f"BigQuery dataset {project}.{address.dataset}, its bucket and NEXUS_LOCATION={address.location} are not in "
            f"one location ({_told(text)}): set NEXUS_LOCATION to where the dataset is."
        )
    if "not found: project" in lower or "unknown project" in lower or "invalid project id" in lower:
        return f"there is no Google Cloud project {project} for these credentials: check NEXUS_PROJECT."
    code = getattr(error, "code", None)
    if reason == "accessDenied" or code == 403:
        return f"these credentials may not do this in project {project} ({_told(text)}): see the table of IAM roles."
    if code == 401:
        return "Google Cloud refused the credentials: run 'gcloud auth application-default login'."
    return None


def _first_line(error: Exception) -> str:
    return str(getattr(error, "message", None) or error).strip().split("\n")[0]


def _told(text: str) -> str:
    return text.split("; reason:")[0].rstrip(". ") + "."
