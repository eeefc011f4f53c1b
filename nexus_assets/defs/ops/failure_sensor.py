"""The sensor that tells a webhook of failed runs."""

import dagster as dg

from nexus_assets.failure_message import failure_message
from nexus_resources.settings import read_settings

_SECONDS = 10.0


@dg.run_failure_sensor(
    name="run_failure",
    minimum_interval_seconds=30,
    monitor_all_code_locations=False,
    default_status=(
        dg.DefaultSensorStatus.RUNNING
        if read_settings().sensors == "on" and read_settings().webhook
        else dg.DefaultSensorStatus.STOPPED
    ),
    description="Tell a webhook (NEXUS_WEBHOOK, Slack's JSON) of each run that failed, with the reason and links.",
)
def run_failure(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
    """Send one message.

    :raise dagster.Failure: When the webhook does not take it; the tick fails, and the next one sends it again.
    """
    settings = read_settings()
    if not settings.webhook:
        return dg.SkipReason("NEXUS_WEBHOOK is not set, so nobody is told")
    steps = {event.step_key: _said(event) for event in context.get_step_failure_events() if event.step_key}
    message = failure_message(context.dagster_run, steps, context.failure_event.message or "", settings.web_address)
    _send(settings.webhook, message)
    return None


def _said(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    failure, error = data.user_failure_data, data.error
    if failure is not None and failure.description:
        return failure.description
    cause = error.cause if error is not None and error.cause is not None else error
    return cause.message if cause is not None else event.message or "no reason was given"


def _send(address: str, message: dict[str, object]) -> None:
    import requests

    # The address of a webhook is a secret: whoever has it may post. No message of requests is let through.
    try:
        answer = requests.post(address, json=message, timeout=_SECONDS)
    except requests.RequestException as error:
        raise dg.Failure(f"the webhook of NEXUS_WEBHOOK did not answer ({type(error).__name__})") from None
    if not answer.ok:
        raise dg.Failure(f"the webhook of NEXUS_WEBHOOK answered {answer.status_code}")
