"""The errors Nexus raises on purpose.

An :class:`InputError` is somebody's input and is shown as one sentence (exit code 2); a
:class:`CorruptionError` is ours: stored bytes are not what was written; an :class:`UnavailableError` is a service's,
and may not happen again. Everything else is a bug.
"""

from omics_datastore.shown_text import masked

_LONGEST = 2000
"""Characters of a sentence; what is cut out of a longer one is its middle, which somebody's input has filled."""


class NexusError(Exception):
    """Base of every error that Nexus raises on purpose; no secret is in its message."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(masked(part) if isinstance(part, str) else part for part in arguments))


class InputError(NexusError):
    """Say in one sentence what is wrong with an input, where, and how to mend it.

    :param sentences: The sentence; one a line where several inputs are wrong. What an input has put into one can be
        shown anywhere, see :func:`one_line`.
    """

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(map(one_line, sentences)))


class CorruptionError(NexusError):
    """Say that stored bytes differ from what was written."""


class UnavailableError(NexusError, OSError):
    """Say that a service does not answer, however often it is asked; later it may."""


def one_line(text: str) -> str:
    """Write text that holds names and values of inputs so that it can be shown.

    :param text: Any text.
    :return: The text without line ends, control characters, characters that turn the direction of writing, and
        surrogates, which become escapes as Python writes them; the middle of a very long one is left out.
    """
    if len(text) > _LONGEST:
        half = _LONGEST // 2
        text = f"{text[:half]} … {text[-half:]}"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == " " else repr(char)[1:-1] for char in text)
