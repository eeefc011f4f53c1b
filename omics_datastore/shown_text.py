"""Text of others, made fit to be shown or kept: secrets masked, nothing that steers a terminal or a spreadsheet.

What a file, a service or a person wrote comes into messages, tables and logs. Markdown and links for the web UI are
in ``nexus_assets/markdown_text.py``.
"""

import os
import re
import unicodedata

SECRET_VARIABLES = ("NEXUS_WEBHOOK", "DAGSTER_POSTGRES_PASSWORD", "PGPASSWORD")
"""Variables whose value is never shown, kept, or handed to a task."""

MASK = "***"
_SHORTEST = 6
"""Characters of a secret that is masked wherever it stands; a shorter one would mask ordinary words."""
_USER = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/{1,2})[^\s/?#\"'<>]+@")
_PARAMETER = re.compile(
    r"([?&;#](?:[\w.-]*(?:signature|credential|token|secret|passw|api[_-]?key|accessid|accesskeyid|session)[\w.-]*"
    r"|sig|key|auth|code)=)[^&;\s\"'<>)\]}]+",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(\bauthorization\s*[:=]\s*[\"']?(?:\w+ )?|\bbearer )[^\s\"',}]+", re.IGNORECASE)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of what follows: a name may look like another one with them."""


def masked(text: str) -> str:
    """Take secrets out of a text: the user of an address, its signatures and tokens, and what the environment hides.

    :param text: Any text.
    :return: The text with ``***`` in their place.
    """
    for name in SECRET_VARIABLES:
        secret = os.environ.get(name, "")
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    if ":/" in text:  # as a path, an address has lost a slash
        text = _USER.sub(rf"\1{MASK}@", text)
    if "=" in text:
        text = _PARAMETER.sub(rf"\1{MASK}", text)
    return _HEADER.sub(rf"\1{MASK}", text)


def printable(text: str, keep: str = "") -> str:
    r"""Write characters that steer a terminal, or that no terminal can show, as ``\u....``, as JSON does.

    :param text: Any text, lone surrogates of undecodable file names too.
    :param keep: Control characters to leave as they are.
    :return: The text; unchanged when it has none of them.
    """
    if text.isprintable():  # the usual case; spaces but no other separators
        return text
    return "".join(
        f"\\u{ord(char):04x}" if char not in keep and (_is_control(char) or char in _DIRECTIONS) else char
        for char in text
    )


def spreadsheet_text(text: str) -> str:
    """Write text so that a spreadsheet does not take it for a formula, as OWASP advises ("CSV injection").

    :param text: Text of a cell.
    :return: The text, with an apostrophe before it where it begins as formulas do.
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def without_secrets(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment of a process that needs no secret.

    :param environment: Variables by name.
    :return: Those that are no secret.
    """
    return {name: value for name, value in environment.items() if name not in SECRET_VARIABLES}


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
