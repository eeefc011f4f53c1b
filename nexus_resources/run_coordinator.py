"""The run queue of a deployment behind Identity-Aware Proxy: every run says who asked for it. Nothing else differs.

The proxy sets the header on what it lets through and strips it from what browsers send, and nothing else reaches the
web server (https://cloud.google.com/iap/docs/identity-howto).
"""

from dagster import DagsterRun
from dagster._core.run_coordinator import QueuedRunCoordinator, SubmitRunContext

REQUESTED_BY = "nexus/requested_by"
"""Run tag: who asked for a run."""
_HEADER = "X-Goog-Authenticated-User-Email"


class RequestedByRunCoordinator(QueuedRunCoordinator):
    """Tag a run that somebody started in the web UI with their e-mail address, then queue it."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Queue a run; the person at the web UI takes the place of whoever asked for the run it repeats."""
        email = (context.get_request_header(_HEADER) or "").removeprefix("accounts.google.com:")
        if email:
            self._instance.add_run_tags(context.dagster_run.run_id, {REQUESTED_BY: email})
        return super().submit_run(context)
