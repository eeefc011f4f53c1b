"""What goes wrong on Vertex AI, by what to do about it: errors of calls, and reasons of failed jobs."""

import re
from collections.abc import Iterable
from typing import Literal

from nexus_resources.pipelines.errors import JobExistsError, TransientServiceError
from omics_datastore.errors import InputError

_TRANSIENT_CODES = {4, 8, 10, 13, 14}
"""DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL and UNAVAILABLE of google.rpc.Code."""
_PREEMPTED = re.compile(r"preempt|stockout|spot (vm|instance)", re.IGNORECASE)
_LOST = re.compile(
    r"quota|resource[ _]exhausted|rate limit|internal error|internal_error|service unavailable|temporarily unavailable|"
    r"try again later|machine .*(lost|not responding)|status of \"?(9|15|137|143)\b",
    re.IGNORECASE,
)
_OUT_OF_MEMORY = re.compile(r"out of memory|\bOOM\b|memory limit", re.IGNORECASE)


def was_preempted(messages: Iterable[str]) -> bool:
    """Tell whether a job lost a machine that was cheap because it could be lost, or did not get one.

    :param messages: What the job and its tasks say.
    :return: Whether one of them says so.
    """
    return any(_PREEMPTED.search(message) for message in messages)


def failure_class(codes: Iterable[int], messages: Iterable[str]) -> Literal["retryable", "permanent"]:
    """Tell whether running a failed job again may help.

    :param codes: Codes (google.rpc.Code) of the job and its tasks.
    :param messages: What they say.
    :return: ``retryable`` after a quota, a preemption, an error of the service or a kill.
    """
    said = list(messages)
    if was_preempted(said):
        return "retryable"
    if any(_OUT_OF_MEMORY.search(message) for message in said):
        return "permanent"
    lost = any(code in _TRANSIENT_CODES for code in codes) or any(_LOST.search(message) for message in said)
    return "retryable" if lost else "permanent"


def call_error(error: Exception, parent: str) -> Exception:
    """Say what an error of a call means.

    :param error: What the client raised.
    :param parent: Where the call went.
    :return: The error to raise in its place; itself when it is not one of the service.
    """
    from google.api_core import exceptions
    from google.auth import exceptions as auth

    if isinstance(error, auth.DefaultCredentialsError):
        return InputError(
            "there are no Google Cloud credentials: run gcloud auth application-default login, or give the "
            f"service a service account; asked for {parent}."
        )
    if isinstance(error, exceptions.Conflict):
        aborted = isinstance(error, exceptions.Aborted) or "ABORTED" in str(error).upper()
        return TransientServiceError(_brief(error)) if aborted else JobExistsError(_brief(error))
    transient = (
        exceptions.ServerError,
        exceptions.TooManyRequests,
        exceptions.RetryError,
        auth.TransportError,
        OSError,  # what requests raises of connections
    )
    if isinstance(error, transient):
        return TransientServiceError(_brief(error))
    if isinstance(error, exceptions.ClientError):
        advice = {
            400: "what is configured for jobs does not fit; nexus doctor names the settings",
            401: "the credentials are not accepted",
            403: "enable the Vertex AI API in the project, and give the caller roles/aiplatform.user and the right "
            "to act as the service account of the workers",
            404: "check NEXUS_PROJECT and NEXUS_REGION",
        }.get(int(error.code or 0), "see the message")
        return InputError(f"Vertex AI refused the call for {parent}: {_brief(error)}; {advice}.")
    return error


def _brief(error: Exception) -> str:
    return " ".join(str(getattr(error, "message", None) or error).split())[:500].rstrip(".")
