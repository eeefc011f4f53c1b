"""The Cloud Storage client: how it is opened, how long it tries again, and what its errors say to people."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omics_datastore.errors import CorruptionError, InputError, UnavailableError
from omics_datastore.storage.cloud_storage_pace import SlowAnswers, keep_pause

SCHEME = "gs://"
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
EMULATOR = "STORAGE_EMULATOR_HOST"
"""Address of an emulator (``http://127.0.0.1:…``), for tests and demonstrations."""
TIMEOUT = (10, 60)
"""Seconds to connect, and to wait for the next bytes."""
FIRST_PAUSE = 0.5
"""Seconds that the first pause before sending again is long, at most; the next are longer."""
PATIENCE = 300.0
"""Seconds for which a request is sent again."""
_CONNECTIONS = 32
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def open_bucket(name: str) -> Any:
    """Return a bucket of a new client; nothing is asked of the service.

    :param name: Name of the bucket.
    :return: The bucket.
    :raise InputError: When there are no credentials.
    """
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud import storage
    from requests.adapters import HTTPAdapter

    with clear_errors(f"{SCHEME}{name}"):
        session = AuthorizedSession(_credentials())
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=_CONNECTIONS))
    session.hooks["response"] += [SlowAnswers().watch, _read_error, keep_pause]
    client = storage.Client(project=None, credentials=session.credentials, _http=session)
    return client.bucket(name)


def _read_error(response: Any, **_: Any) -> None:
    """Read the body of a download's error, which the client leaves unread: the connection is free again."""
    if response.status_code >= 400:
        response.content  # noqa: B018 - read for its effect


def _credentials() -> Any:
    import google.auth
    from google.auth.credentials import AnonymousCredentials

    if os.environ.get(EMULATOR):
        return AnonymousCredentials()  # type: ignore[no-untyped-call, unused-ignore]
    return google.auth.default(scopes=[_SCOPE])[0]


def retries() -> Any:
    """Return how a request that may be sent again is sent again: what is transient, with growing pauses.

    :return: A retry policy.
    """
    from google.cloud.storage.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_delay(initial=FIRST_PAUSE, maximum=30.0, multiplier=2.0).with_timeout(PATIENCE)


@contextmanager
def clear_errors(what: str) -> Iterator[None]:
    """Turn the client's errors into ours.

    :param what: Address of the object or the root, for messages.
    :raise FileNotFoundError: When there is no such object.
    :raise InputError: When the bucket, the credentials or a permission is missing, or the service is switched off.
    :raise CorruptionError: When a checksum does not match however often it is tried.
    :raise UnavailableError: When the service does not answer.
    """
    import requests
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.cloud.storage.exceptions import DataCorruption

    try:
        yield
    except auth.DefaultCredentialsError as error:
        raise InputError(
            f"there are no Google Cloud credentials for {what}: run 'gcloud auth application-default login', or give "
            "the machine a service account."
        ) from error
    except (auth.RefreshError, api.Unauthorized) as error:
        raise InputError(
            f"the Google Cloud credentials for {what} are refused ({first_line(error)}): run 'gcloud auth "
            "application-default login' again."
        ) from error
    except api.NotFound as error:
        if "bucket does not exist" in str(error):
            raise InputError(
                f"there is no bucket {what.removeprefix(SCHEME).partition('/')[0]}: make it, or correct NEXUS_ROOT."
            ) from error
        raise FileNotFoundError(f"there is no {what}") from error
    except api.Forbidden as error:
        raise InputError(_forbidden(what, error)) from error
    except api.BadRequest as error:
        if "CRC32C" not in str(error):
            raise
        raise CorruptionError(f"{what} does not match its CRC32C however often it is sent.") from error
    except DataCorruption as error:
        raise CorruptionError(f"{what} does not match its CRC32C however often it is fetched.") from error
    except (api.RetryError, api.TooManyRequests, api.ServerError, requests.RequestException) as error:
        raise UnavailableError(f"Cloud Storage does not answer for {what}: {first_line(error)}") from error


def _forbidden(what: str, error: Exception) -> str:
    text = str(error)
    if "accessNotConfigured" in text or "SERVICE_DISABLED" in text or "has not been used in project" in text:
        return f"the Cloud Storage API is off for {what}: run 'gcloud services enable storage.googleapis.com'."
    if "billing" in text.lower():
        return f"the project of {what} has no active billing account: link one in the Cloud Console."
    return (
        f"no permission for {what} ({first_line(error)}): grant this account roles/storage.objectAdmin on the bucket."
    )


def first_line(error: BaseException) -> str:
    """Return an error's message on one line, shortened.

    :param error: The error.
    :return: At most 300 characters.
    """
    text = " ".join(str(getattr(error, "message", "") or error).split())
    return text if len(text) <= 300 else f"{text[:297]}..."
