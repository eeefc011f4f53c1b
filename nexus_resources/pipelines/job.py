"""What a caller asks of a runner: a pipeline job, its identity and its deterministic ids."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omics_datastore.keys import digest
from omics_datastore.storage.object_store import ObjectStore

MAX_JOB_ID = 128
"""Characters of a job id that Vertex AI takes; they are a-z, 0-9 and '-', the first a letter."""


@dataclass(frozen=True)
class JobIdentity:
    """Who asks: the root run stays the same over every retry and re-execution."""

    root_run: str
    step: str
    partition: str = "-"


@dataclass(frozen=True)
class PipelineJob:
    """A pipeline to run once for an identity.

    :param pipeline: Name of the pipeline, for ids and messages.
    :param spec: The compiled pipeline (YAML text).
    :param parameters: JSON values; integers inside lists do not survive kfp.local, so pass keys.
    :param identity: Who asks.
    :param labels: Labels of the job, shown where the runner can show them.
    :param timeout_seconds: Cancel the job when it is older than this; ``None`` for never.
    :param store: The store the tasks write to; needed to tell a user's error from ours and to see progress.
    :param result_keys: Keys of the tasks' results.
    :param messages_prefix: Prefix of the session of the tasks' messages, with a slash at its end.
    """

    pipeline: str
    spec: str
    parameters: Mapping[str, Any]
    identity: JobIdentity
    labels: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float | None = None
    store: ObjectStore | None = None
    result_keys: tuple[str, ...] = ()
    messages_prefix: str | None = None

    def job_id(self, attempt: int) -> str:
        """Name an attempt: the same request gives the same name in any process, at any time.

        :param attempt: Number of the attempt, from 1.
        :return: At most 128 of a-z, 0-9 and ``-``.
        """
        mark = digest(
            {
                "root_run": self.identity.root_run,
                "step": self.identity.step,
                "partition": self.identity.partition,
                "spec": hashlib.sha256(self.spec.encode()).hexdigest(),
                "parameters": dict(self.parameters),
            }
        )[:24]
        ending = f"-{mark}-a{attempt}"
        slug = re.sub(r"[^a-z0-9]+", "-", self.pipeline.lower()).strip("-")
        return f"nexus-{slug}"[: MAX_JOB_ID - len(ending)].rstrip("-") + ending
