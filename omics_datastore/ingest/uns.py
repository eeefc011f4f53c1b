"""The kept entries of ``uns`` as JSON values."""

from typing import Any

import h5py
import numpy as np

from omics_datastore.ingest.frame_values import whole_text
from omics_datastore.ingest.manifest import Finding
from omics_datastore.ingest.source_file import refuse_damage
from omics_datastore.keys import canonical_json
from omics_datastore.shown_text import masked

_MAX_BYTES = 2**20
_MAX_DEPTH = 8
_PER_ENTRY = 16


def read_uns(file: h5py.File, keep: tuple[str, ...]) -> tuple[dict[str, Any], list[Finding]]:
    """Read entries of ``uns``.

    :param file: The open file.
    :param keep: Names of the entries; missing ones are passed over.
    :return: JSON values by name, and a warning for each entry that was too large to keep.
    :raise RefusedSourceError: When the file is damaged there.
    """
    uns = file.get("uns")
    kept: dict[str, Any] = {}
    findings: list[Finding] = []
    if not isinstance(uns, h5py.Group):
        return kept, findings
    for name in keep:
        node = uns.get(name)
        if node is None:
            continue
        with refuse_damage(f"uns[{name!r}]"):
            value = _value(node, _MAX_DEPTH) if _size(node) <= _MAX_BYTES else None
        if value is None or len(canonical_json(value)) > _MAX_BYTES:
            message = f"uns[{name!r}] is empty or has more than {_MAX_BYTES} bytes and was not kept."
            findings.append(Finding(rule="uns_kept", severity="warning", message=message))
        else:
            kept[name] = value
    return kept, findings


def uns_text(file: h5py.File, name: str) -> str | None:
    """Return an entry of ``uns`` that is a single text.

    :param file: The open file.
    :param name: Name of the entry.
    :return: The text, or ``None`` when there is none of that kind.
    """
    kept, _ = read_uns(file, (name,))
    value = kept.get(name)
    return value if isinstance(value, str) else None


def _size(node: Any) -> int:
    """Return how large an entry is, or that it is larger than may be kept: links may make a group a part of itself."""
    size, open_nodes = 0, [(node, _MAX_DEPTH)]
    while open_nodes and size <= _MAX_BYTES:
        node, depth = open_nodes.pop()
        if isinstance(node, h5py.Dataset):
            size += int(node.size or 0) * max(1, int(node.dtype.itemsize))
        elif isinstance(node, h5py.Group) and depth:
            # Every entry counts for something, so that a group of very many is too large as well.
            size += _PER_ENTRY * len(node)
            open_nodes += [(child, depth - 1) for child in (node.values() if size <= _MAX_BYTES else ())]
    return size


def _value(node: Any, depth: int) -> Any:
    if isinstance(node, h5py.Group):
        if depth == 0:
            return None
        return {whole_text(str(name)): _value(child, depth - 1) for name, child in node.items()}
    if node is None or node.shape is None:
        return None
    return _json(node[()])


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, np.ndarray):
        return [_json(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        return _json(value.item())
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, int | float | bool) or value is None else str(value)
