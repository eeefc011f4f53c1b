"""What a task says while it runs, as Dagster Pipes messages in the store. Colour only: nothing is decided by it.

A request for a pipeline is a session and has a prefix; every process that writes has a folder of its own below it,
``<task>-<microseconds since 1970>-<random>/``, and adds files of lines to it. So a task that is tried again, and tasks
that run side by side, never touch each other's messages. Needs the package dagster-pipes, not dagster.
"""

import json
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import dagster_pipes

from omics_datastore.storage.object_store import ObjectStore

Message = dagster_pipes.PipesMessage
_NOBODY: dagster_pipes.PipesContextData = {
    "asset_keys": None,
    "code_version_by_asset_key": None,
    "provenance_by_asset_key": None,
    "partition_key": None,
    "partition_key_range": None,
    "partition_time_window": None,
    "run_id": "",
    "job_name": None,
    "retry_number": 0,
    "extras": {},
}
"""A task knows its configuration, not the asset that waits for it."""


class StoreChannel(dagster_pipes.PipesMessageWriterChannel):
    """Collect messages and add them to the writer's folder, a file at each upload."""

    def __init__(self, store: ObjectStore, folder: str) -> None:
        self._store = store
        self._folder = folder
        self._lines: list[str] = []
        self._files = 0

    def write_message(self, message: Message) -> None:
        self._lines.append(json.dumps(message))

    def upload(self) -> None:
        """Write what was collected; what cannot be written is kept for the next time, for the task goes on."""
        if not self._lines:
            return
        key = f"{self._folder}{self._files:08d}.jsonl"
        try:
            self._store.write(key, "\n".join(self._lines).encode())
        except Exception as error:  # noqa: BLE001 - whatever the store says, messages never stand in the way
            logging.getLogger(__name__).warning("%s cannot be written: %s", self._store.uri(key), error)
            return
        self._files += 1
        self._lines.clear()


class _StoreWriter(dagster_pipes.PipesMessageWriter[StoreChannel]):
    def __init__(self, channel: StoreChannel) -> None:
        self._channel = channel

    @contextmanager
    def open(self, params: dagster_pipes.PipesParams) -> Iterator[StoreChannel]:  # noqa: ARG002
        try:
            yield self._channel
        finally:
            self._channel.upload()


class TaskMessages:
    """Say things; made by :func:`open_messages`."""

    def __init__(self, context: dagster_pipes.PipesContext | None, channel: StoreChannel | None) -> None:
        self._context = context
        self._channel = channel

    def report(self, payload: dict[str, int | str]) -> None:
        """Say something at once.

        :param payload: A JSON document.
        """
        if self._context is not None and self._channel is not None:
            self._context.report_custom_message(payload)
            self._channel.upload()


@contextmanager
def open_messages(store: ObjectStore, writer: str | None) -> Iterator[TaskMessages]:
    """Let a task say things while a ``with`` block runs; an exception that leaves the block is said last.

    :param store: Object store.
    :param writer: Prefix of the session and name of the task, ``<prefix>/0003``; ``None`` to say nothing.
    :return: A context manager that yields what to say them with.
    """
    if writer is None:
        yield TaskMessages(None, None)
        return
    channel = StoreChannel(store, f"{writer}-{time.time_ns() // 1000:016d}-{uuid.uuid4().hex[:8]}/")
    parameters = {
        dagster_pipes.DAGSTER_PIPES_CONTEXT_ENV_VAR: dagster_pipes.encode_param({"data": _NOBODY}),
        dagster_pipes.DAGSTER_PIPES_MESSAGES_ENV_VAR: dagster_pipes.encode_param({}),
    }
    with dagster_pipes.PipesContext(
        dagster_pipes.PipesMappingParamsLoader(parameters),
        dagster_pipes.PipesDefaultContextLoader(),
        _StoreWriter(channel),
    ) as context:
        yield TaskMessages(context, channel)
