"""The errors Nexus raises on purpose.

An :class:`InputError` is somebody's input and is shown as one sentence (exit code 2); a
:class:`CorruptionError` is ours: stored bytes are not what was written; an :class:`UnavailableError` is a service's,
and may not happen again. Everything else is a bug.
"""

from omics_datastore.shown_text import masked


class NexusError(Exception):
    """Base of every error that Nexus raises on purpose; no secret is in its message."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(masked(part) if isinstance(part, str) else part for part in arguments))


class InputError(NexusError):
    """Say in one sentence what is wrong with an input, where, and how to mend it."""


class CorruptionError(NexusError):
    """Say that stored bytes differ from what was written."""


class UnavailableError(NexusError, OSError):
    """Say that a service does not answer, however often it is asked; later it may."""
