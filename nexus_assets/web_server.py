"""Dagster's web server behind :mod:`nexus_assets.web_guard`: ``python -m nexus_assets.web_server``.

``nexus up`` starts it on a laptop, and it is the command of the web UIs of a deployment. In read-only mode every
mutation is refused before it is executed: Dagster's own mode leaves those without a permission of their own.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import click
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster_webserver.webserver import DagsterWebserver
from graphql import ASTValidationRule, GraphQLError, OperationDefinitionNode, OperationType
from starlette.middleware import Middleware

from nexus_assets.web_guard import WebGuard, own_names

_POLL_MILLISECONDS = 2_000
_STATEMENT_MILLISECONDS, _POOL_RECYCLE_SECONDS, _POOL_OVERFLOW = 15_000, 3_600, 20
"""What ``dagster-webserver`` gives its database by default."""


class NoMutations(ASTValidationRule):
    """Refuse every operation that changes something."""

    def enter_operation_definition(self, node: OperationDefinitionNode, *_: Any) -> None:
        """Look at an operation."""
        if node.operation is OperationType.MUTATION:
            self.report_error(GraphQLError("This web UI is read-only.", node))


class GuardedWebserver(DagsterWebserver[WorkspaceProcessContext, WorkspaceRequestContext]):
    """Serve Dagster's web UI to its own pages and to programs.

    :param context: The code locations and the instance.
    :param names: Names that the server answers to, of :func:`~nexus_assets.web_guard.own_names`.
    :param read_only: Whether nothing may be changed; the context must have been made so too.
    """

    def __init__(self, context: WorkspaceProcessContext, names: frozenset[str], *, read_only: bool) -> None:
        self._names = names
        self._read_only = read_only
        super().__init__(context, live_data_poll_rate=_POLL_MILLISECONDS)

    def build_middleware(self) -> list[Middleware]:
        """Return what stands before the routes."""
        return [Middleware(WebGuard, names=self._names, read_only=self._read_only), *super().build_middleware()]

    def build_graphql_validation_rules(self) -> Collection[type[ASTValidationRule]]:
        """Return what holds for an operation before it is executed."""
        rules = super().build_graphql_validation_rules()
        return [*rules, NoMutations] if self._read_only else rules


@click.command(name="python -m nexus_assets.web_server")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, help="Port to listen on.")
@click.option("--workspace", type=click.Path(path_type=Path, exists=True), required=True, help="The workspace.yaml.")
@click.option("--read-only", is_flag=True, help="Refuse whatever changes something.")
def main(host: str, port: int, workspace: Path, read_only: bool) -> None:  # noqa: FBT001
    """Serve the web UI of the instance in DAGSTER_HOME."""
    import dagster as dg
    import uvicorn
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster._utils.interrupts import setup_interrupt_handlers
    from dagster._utils.log import configure_loggers

    configure_loggers(log_level="INFO")
    setup_interrupt_handlers()
    names = own_names(host, os.environ.get("NEXUS_WEB_ADDRESS", ""))
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_STATEMENT_MILLISECONDS, _POOL_RECYCLE_SECONDS, _POOL_OVERFLOW)
        target = WorkspaceFileTarget([str(workspace)])
        with WorkspaceProcessContext(instance, target, read_only=read_only) as context:
            app = GuardedWebserver(context, names, read_only=read_only).create_asgi_app()
            uvicorn.run(app, host=host, port=port, log_level="warning")


if __name__ == "__main__":
    main()
