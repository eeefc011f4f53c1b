"""The last lines of a task's log from Cloud Logging: one plain call, and nothing when it cannot be made."""

import logging
from typing import Any

_SERVICE = "https://logging.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/logging.read"
_SECONDS = 20.0


def log_tail(project: str, job_id: str, number: str | None, lines: int, *, endpoint: str | None = None) -> list[str]:
    """Return the last lines.

    :param project: Project.
    :param job_id: Id of the pipeline job, whose own log is read when there is no task.
    :param number: Number of the custom job of a task.
    :param lines: How many lines at most.
    :param endpoint: Address of an emulator.
    :return: The lines, the oldest first; none when they cannot be had, whatever the reason.
    """
    own = f'resource.type="aiplatform.googleapis.com/PipelineJob" AND resource.labels.pipeline_job_id="{job_id}"'
    task = f'resource.type="ml_job" AND resource.labels.job_id="{number}"'
    query = {
        "resourceNames": [f"projects/{project}"],
        "filter": task if number else own,
        "orderBy": "timestamp desc",
        "pageSize": lines,
    }
    try:
        answer = _session(endpoint).post(f"{endpoint or _SERVICE}/v2/entries:list", json=query, timeout=_SECONDS)
        answer.raise_for_status()
        entries = answer.json().get("entries", [])
        texts = [_text(entry) for entry in reversed(entries)]
    except Exception as error:  # noqa: BLE001 - a log that cannot be read must not hide why the job failed
        logging.getLogger(__name__).warning("The log of %s cannot be read: %s", job_id, error)
        return []
    return [line for text in texts for line in text.splitlines() if line.strip()][-lines:]


def _session(endpoint: str | None) -> Any:
    import google.auth
    from google.auth.credentials import AnonymousCredentials
    from google.auth.transport.requests import AuthorizedSession

    if endpoint is not None:
        return AuthorizedSession(AnonymousCredentials())
    credentials, _ = google.auth.default(scopes=[_SCOPE])
    return AuthorizedSession(credentials)


def _text(entry: dict[str, Any]) -> str:
    payload = entry.get("jsonPayload", {})
    return str(entry.get("textPayload") or payload.get("message") or payload or "")
