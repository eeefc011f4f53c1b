"""Names and ids: the key rule, ingest ids, curriculum versions, digests of JSON values.

Everything that decides how a thing is called is here; where a thing is stored is in
:mod:`omics_datastore.storage.layout`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from omics_datastore.errors import InputError

KEY_PATTERN = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_PARTITION_PATTERN = re.compile(r"([a-z0-9][a-z0-9._-]{0,127})\.v([1-9][0-9]{0,8})")
_INGEST_ID_PATTERN = re.compile(r"([a-z0-9][a-z0-9._-]{0,127})@([0-9a-f]{12})")


def check_key(kind: str, key: str) -> str:
    """Return a key unchanged when it follows the key rule.

    :param kind: What the key names, for the message ("dataset", "curriculum", "feature schema").
    :param key: The key to check.
    :return: The key.
    :raise InputError: When the key breaks the rule; the message proposes one that does not.
    """
    if isinstance(key, str) and KEY_PATTERN.fullmatch(key):
        return key
    raise InputError(
        f"{key!r} is not a {kind} name: use 1 to 128 of a-z, 0-9, '.', '_' and '-', "
        f"starting with a letter or digit; for example {propose_key(str(key))!r}."
    )


def propose_key(text: str) -> str:
    """Turn any text into a key that follows the rule.

    :param text: Any text, for example a file name without its suffix.
    :return: A valid key; ``"dataset"`` when nothing of the text can be kept.
    """
    kept = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:128]
    return kept or "dataset"


def canonical_json(value: Any) -> str:
    """Write a JSON value in the one form that digests are taken of.

    :param value: A JSON-serialisable value without NaN.
    :return: JSON with sorted keys, no spaces and no escapes beyond the necessary.
    :raise ValueError: When the value holds NaN or infinity.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value.

    :param value: A JSON-serialisable value.
    :return: 64 lowercase hexadecimal digits.
    """
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def make_ingest_id(dataset: str, source_sha256: str, config_digest: str) -> str:
    """Name an ingest by its content: one source file with one configuration.

    :param dataset: Dataset key.
    :param source_sha256: SHA-256 of the source file, 64 hexadecimal digits.
    :param config_digest: Digest of the part of the configuration that decides the data.
    :return: ``"<dataset>@<12 hex>"``.
    """
    parts: Mapping[str, str] = {"dataset": dataset, "source": source_sha256, "config": config_digest}
    return f"{dataset}@{digest(parts)[:12]}"


def parse_ingest_id(ingest_id: str) -> tuple[str, str]:
    """Split an ingest id into its dataset and its twelve digits.

    :param ingest_id: ``"<dataset>@<12 hex>"``.
    :return: Dataset key and hexadecimal digits.
    :raise InputError: When the text is not an ingest id.
    """
    match = _INGEST_ID_PATTERN.fullmatch(ingest_id)
    if match is None:
        raise InputError(f"{ingest_id!r} is not an ingest id: it has the form <dataset>@<12 hex digits>.")
    return match[1], match[2]


def make_curriculum_partition(name: str, version: int) -> str:
    """Name one version of a curriculum, as its Dagster partition does.

    :param name: Curriculum key.
    :param version: Version, from 1.
    :return: ``"<name>.v<version>"``.
    """
    return f"{name}.v{version}"


def parse_curriculum_partition(partition: str) -> tuple[str, int]:
    """Split ``<name>.v<version>``.

    :param partition: Partition key.
    :return: Curriculum key and version.
    :raise InputError: When the text has another form.
    """
    match = _PARTITION_PATTERN.fullmatch(partition)
    if match is None:
        raise InputError(f"{partition!r} is not a curriculum version: it has the form <name>.v<number>.")
    return match[1], int(match[2])
