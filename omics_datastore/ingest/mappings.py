"""Column mappings that datasets share: ``mappings/<name>.yaml``, which a sidecar names with ``mapping: <name>``.

What a mapping says becomes part of the configuration of a dataset; its name does not, so renaming one changes no
ingest, and editing one makes new ingests.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from omics_datastore.errors import InputError
from omics_datastore.ingest.column_mapping import canonical_target
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.sidecars import read_sidecars
from omics_datastore.keys import KEY_PATTERN, check_key
from omics_datastore.storage.documents import parse_yaml, read_written
from omics_datastore.storage.layout import MAPPINGS, mapping_key
from omics_datastore.storage.object_store import ObjectStore

_FRAMES = ("obs_mapping", "var_mapping")
_SHOWN = 5


class SharedMapping(BaseModel):
    """Source columns (or ``index``) to warehouse columns, for obs and for var. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    obs_mapping: dict[str, str] = Field({}, description="Source obs column (or index) to warehouse column.")
    var_mapping: dict[str, str] = Field({}, description="Source var column (or index) to warehouse column.")

    @model_validator(mode="after")
    def _check_targets(self) -> Self:
        for frame, targets in _targets().items():
            sources: dict[str, str] = {}
            for source, spelled in getattr(self, frame).items():
                target = canonical_target(spelled)
                if target not in targets:
                    near = get_close_matches(target, targets, 3) or targets
                    raise ValueError(f"{frame} sends {source!r} to {spelled!r}, which is not one of {', '.join(near)}")
                if target in sources:
                    raise ValueError(f"{frame} sends both {sources[target]!r} and {source!r} to {target!r}")
                sources[target] = source
        if not self.obs_mapping and not self.var_mapping:
            raise ValueError("it maps nothing; give obs_mapping or var_mapping")
        return self


def add_mapping(store: ObjectStore, name: str, content: bytes, where: str) -> bool:
    """Keep a mapping under a name, in the place of the one before.

    :param store: Object store.
    :param name: Name of the mapping.
    :param content: The YAML.
    :param where: The file, for messages.
    :return: Whether this changed anything: there was none of that name, or another.
    :raise InputError: When the name or the mapping is wrong.
    """
    key = mapping_key(check_key("mapping", name))
    mapping = parse_yaml(SharedMapping, content, where)
    try:
        before: SharedMapping | None = load_mapping(store, name)
    except InputError:  # there is none, or one that cannot be used
        before = None
    if before != mapping:
        store.write(key, content)
    return before != mapping


def load_mapping(store: ObjectStore, name: str) -> SharedMapping:
    """Read a mapping.

    :param store: Object store.
    :param name: Name of the mapping.
    :return: The mapping.
    :raise InputError: When there is none of this name, or its file is wrong.
    """
    key = mapping_key(check_key("mapping", name))
    try:
        content = read_written(store, key)
    except FileNotFoundError:
        known = list_mappings(store)
        near = get_close_matches(name, known, 3) or known[:_SHOWN]
        hint = f"there are {', '.join(near)}" if near else "there are none yet"
        raise InputError(
            f"there is no column mapping {name!r}; {hint}; add it with nexus mapping add {name} FILE.yaml."
        ) from None
    return parse_yaml(SharedMapping, content, store.uri(key))


def list_mappings(store: ObjectStore) -> list[str]:
    """List the names of the mappings.

    :param store: Object store.
    :return: Names, sorted; files whose name breaks the key rule are left out.
    """
    names = [entry.key.removeprefix(MAPPINGS) for entry in store.entries(MAPPINGS)]
    stems = [name.removesuffix(".yaml") for name in names if name.endswith(".yaml")]
    return sorted(stem for stem in stems if KEY_PATTERN.fullmatch(stem))


def remove_mapping(store: ObjectStore, name: str) -> None:
    """Delete a mapping that no dataset of the inbox names.

    :param store: Object store.
    :param name: Name of the mapping.
    :raise InputError: When there is none, or a dataset's configuration names it.
    """
    if name not in list_mappings(store):
        load_mapping(store, name)
    users = mapping_users(store).get(name)
    if users:
        raise InputError(
            f"the column mapping {name!r} is named by the configuration of {', '.join(users)}; take the line "
            f"'mapping: {name}' out of it first."
        )
    store.delete(mapping_key(name))


def mapping_users(store: ObjectStore) -> dict[str, list[str]]:
    """Say which datasets of the inbox name which mapping.

    :param store: Object store.
    :return: Datasets by mapping, each in order.
    """
    users: dict[str, list[str]] = {}
    for dataset, content in read_sidecars(store).items():
        if isinstance(named := content.get("mapping"), str):
            users.setdefault(named, []).append(dataset)
    return users


def with_mapping(store: ObjectStore, config: DatasetConfig, where: str) -> DatasetConfig:
    """Put what the named mapping says into a configuration.

    :param store: Object store.
    :param config: The configuration as a person wrote it.
    :param where: Its file, for messages.
    :return: A configuration that names no mapping.
    :raise InputError: When there is no such mapping, or the two contradict each other.
    """
    if config.mapping is None:
        return config
    shared = load_mapping(store, config.mapping)
    merged = {frame: _merged(frame, getattr(shared, frame), config, where) for frame in _FRAMES}
    return config.model_copy(update={"mapping": None, **merged})


def _merged(frame: str, shared: Mapping[str, str], config: DatasetConfig, where: str) -> dict[str, str]:
    own: dict[str, str] = getattr(config, frame)
    said = {canonical_target(target): source for source, target in shared.items()}
    conflicts: list[str] = []
    for source, target in own.items():
        if source in shared and canonical_target(shared[source]) != canonical_target(target):
            conflicts.append(f"{source!r} goes to {shared[source]!r} there and to {target!r} here")
        elif said.get(canonical_target(target), source) != source:
            conflicts.append(f"{target!r} comes from {said[canonical_target(target)]!r} there and from {source!r} here")
    if conflicts:
        raise InputError(
            f"{where}: {frame} contradicts the mapping {config.mapping}: {'; '.join(conflicts)}; take one out."
        )
    return {**{source: target for source, target in shared.items() if source not in own}, **own}


def _targets() -> dict[str, tuple[str, ...]]:
    from omics_datastore.ingest.cells import TARGETS as OBS_TARGETS
    from omics_datastore.ingest.features import TARGETS as VAR_TARGETS

    return {"obs_mapping": OBS_TARGETS, "var_mapping": VAR_TARGETS}
