"""What all the sidecars of the inbox say, as it was written: who names what. Nothing here validates them."""

from typing import Any

from omics_datastore.errors import InputError
from omics_datastore.storage.documents import read_written
from omics_datastore.storage.layout import INBOX
from omics_datastore.storage.object_store import ObjectStore
from omics_datastore.storage.yaml_text import load_yaml


def read_sidecars(store: ObjectStore) -> dict[str, dict[str, Any]]:
    """Read the sidecars of all datasets; what is no YAML mapping is passed over.

    :param store: Object store.
    :return: Content by dataset, ordered by dataset.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in store.entries(INBOX):
        folder, _, name = entry.key.removeprefix(INBOX).rpartition("/")
        stem, dot, suffix = name.rpartition(".")
        if f"{dot}{suffix}" not in (".yaml", ".yml") or folder not in ("", stem):
            continue
        try:
            content = load_yaml(read_written(store, entry.key))
        except (FileNotFoundError, InputError, ValueError):
            continue
        if isinstance(content, dict):
            found[stem] = content
    return dict(sorted(found.items()))
