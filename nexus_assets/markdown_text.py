"""Markdown for the web UI: whatever is not ours goes through here, and every link leads to http or https."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from omics_datastore.shown_text import masked, printable

_ACTIVE = re.compile(r"([!-/:-@\[-`{-~])")
"""ASCII punctuation, which CommonMark lets a backslash precede, and which alone means something to it."""
_UNSAFE_IN_LINK = re.compile(r"[\x00-\x20\x7f-\xa0\s<>()\\`\"'\[\]|{}^]")


def markdown_text(text: str) -> str:
    """Write text so that Markdown and HTML show it as it is, on one line.

    :param text: Any text.
    :return: Markdown.
    """
    line = " ".join(text.split())
    return _ACTIVE.sub(r"\\\1", printable(masked(line)))


def markdown_list(texts: Iterable[str]) -> str:
    """Write texts below each other.

    :param texts: Any texts.
    :return: Markdown; ``none`` when there are none.
    """
    return "\n".join(f"* {markdown_text(text)}" for text in texts) or "none"


def markdown_link(label: str, address: str) -> str:
    """Write a link.

    :param label: Any text.
    :param address: Where it leads.
    :return: Markdown; the label alone when the address is not one that :func:`web_link` takes.
    """
    link = web_link(address)
    return markdown_text(label) if link is None else f"[{markdown_text(label)}]({link})"


def markdown_program(source: str, language: str) -> str:
    """Write a program as a block of code, whatever is in it.

    :param source: The program.
    :param language: Its language.
    :return: Markdown.
    """
    longest = max((len(run) for run in re.findall(r"`+", source)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{source}\n{fence}"


def web_link(address: str) -> str | None:
    """Return an address as a link may hold it.

    :param address: An address.
    :return: The address without secrets and with what could end a link encoded; ``None`` unless it is http or https.
    """
    try:
        if not re.match(r"https?://", address, re.IGNORECASE) or not urlsplit(address).hostname:
            return None
    except ValueError:
        return None
    return _UNSAFE_IN_LINK.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), masked(address))
