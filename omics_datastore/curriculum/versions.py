"""Versions of curricula: which number a build gets, which specification a number stands for, what there is."""

from typing import Literal, NamedTuple

import yaml

from omics_datastore.curriculum.feature_schema import COMPUTED, load_feature_schema
from omics_datastore.curriculum.plan import check_specification, read_plan
from omics_datastore.curriculum.release_model import CurriculumRelease, read_release
from omics_datastore.curriculum.released_files import read_released, released_files
from omics_datastore.curriculum.selection import Selection
from omics_datastore.curriculum.shard_files import count_shards, shard_sizes
from omics_datastore.curriculum.specification import CurriculumSpecification, with_written_defaults
from omics_datastore.curriculum.zarr_shard import collection_metadata
from omics_datastore.errors import CorruptionError, InputError
from omics_datastore.keys import KEY_PATTERN, check_key, make_curriculum_partition
from omics_datastore.storage.documents import parse_yaml, read_document, read_written, write_document
from omics_datastore.storage.layout import (
    EXTRACTS,
    SPECIFICATIONS,
    collection_key,
    curriculum_folder,
    pinned_specification_key,
    specification_key,
)
from omics_datastore.storage.object_store import AlreadyExistsError, ObjectStore
from omics_datastore.warehouse.warehouse import Warehouse


class Resolution(NamedTuple):
    """The version a build is to make, and what there is of it already."""

    version: int
    state: Literal["new", "resume", "complete"]


class CurriculumStatus(NamedTuple):
    """One version of a curriculum; ``cells`` and ``bins`` are ``None`` before it was planned."""

    name: str
    version: int
    state: Literal["claimed", "planned", "extracting", "released"]
    cells: int | None
    bins: int | None
    shards: int


def resolve_version(specification: CurriculumSpecification, warehouse: Warehouse, store: ObjectStore) -> Resolution:
    """Find the version that a build of a specification makes, and claim its number.

    The newest version is taken when it has the same specification and was not finished, or was finished from
    what the specification selects now; else the next number.

    :param specification: The specification.
    :param warehouse: The warehouse.
    :param store: Object store.
    :return: The version; ``complete`` when nothing is left to do.
    :raise InputError: When the specification is wrong or selects no cell; nothing is claimed then.
    """
    selection: Selection | None = None
    while True:
        newest = max(versions_of(store, specification.name), default=0)
        if newest and _claimed_by(store, specification, newest):
            release = _release_or_none(store, specification.name, newest)
            if release is None:
                return Resolution(newest, "resume")
            selection = selection or check_specification(specification, warehouse, store)
            if _same_content(release, selection, store):
                return Resolution(newest, "complete" if is_complete(store, release) else "resume")
        selection = selection or check_specification(specification, warehouse, store)
        try:
            _claim(store, specification, newest + 1)
        except AlreadyExistsError:  # somebody else took the number: look again
            continue
        return Resolution(newest + 1, "new")


def load_specification(store: ObjectStore, name: str, version: int) -> CurriculumSpecification:
    """Return the specification of a version.

    When the folder of the version was deleted, the specification under ``curricula/`` claims it again.

    :param store: Object store.
    :param name: Curriculum key.
    :param version: Version.
    :return: The specification.
    :raise InputError: When there is neither.
    :raise CorruptionError: When the document is not what was written.
    """
    try:
        return _pinned_specification(store, name, version)
    except FileNotFoundError:
        specification = read_dropped_specification(store, name)
    try:
        _claim(store, specification, version)
    except AlreadyExistsError:
        return _pinned_specification(store, name, version)
    return specification


def read_dropped_specification(store: ObjectStore, name: str) -> CurriculumSpecification:
    """Read the specification that somebody dropped under ``curricula/``.

    :param store: Object store.
    :param name: Curriculum key.
    :return: The specification.
    :raise InputError: When there is none, it is wrong, or it is of another name.
    """
    key = specification_key(check_key("curriculum", name))
    try:
        content = read_written(store, key)
    except FileNotFoundError:
        raise InputError(f"there is no curriculum {name}; put its specification at {store.uri(key)}.") from None
    return parse_specification(content, store.uri(key), name)


def parse_specification(content: str | bytes, where: str, name: str | None = None) -> CurriculumSpecification:
    """Read a specification from YAML.

    :param content: The YAML.
    :param where: The file, for messages.
    :param name: Name that the file stands for; a specification without name gets it.
    :return: The specification.
    :raise InputError: When it is wrong, or of another name; the message names each field.
    """
    specification = parse_yaml(CurriculumSpecification, content, where, with_written_defaults)
    if name is not None and specification.name != name:
        raise InputError(f"{where} holds the specification of {specification.name}; call the file or it {name}.")
    return specification


def drop_specification(store: ObjectStore, specification: CurriculumSpecification) -> None:
    """Keep a specification under ``curricula/``, as if somebody had dropped it there.

    :param store: Object store.
    :param specification: The specification; one of the same name is replaced.
    """
    content = specification.model_dump(mode="json", exclude_defaults=True)
    content["primary_only"] = specification.primary_only  # without it a reader would take it for true
    text = yaml.safe_dump({"name": specification.name, **content}, sort_keys=False, allow_unicode=True)
    store.write(specification_key(specification.name), text.encode())


def dropped_specifications(store: ObjectStore) -> list[CurriculumSpecification]:
    """Read every specification under ``curricula/`` that is right.

    :param store: Object store.
    :return: Specifications by name; files that are wrong are left out.
    """
    found: list[CurriculumSpecification] = []
    for entry in store.entries(SPECIFICATIONS):
        name = entry.key.removeprefix(SPECIFICATIONS).removesuffix(".yaml")
        if entry.key == specification_key(name) and KEY_PATTERN.fullmatch(name):
            try:
                found.append(read_dropped_specification(store, name))
            except InputError:
                continue
    return found


def versions_of(store: ObjectStore, name: str) -> list[int]:
    """List the versions of a curriculum that were claimed.

    :param store: Object store.
    :param name: Curriculum key.
    :return: Numbers, ascending.
    """
    numbers = [folder[1:] for folder in store.folders(f"{EXTRACTS}{name}/") if folder.startswith("v")]
    return sorted(int(number) for number in numbers if number.isdecimal() and not number.startswith("0"))


def list_curricula(store: ObjectStore, name: str | None = None) -> list[CurriculumStatus]:
    """List versions of curricula and how far they are.

    :param store: Object store.
    :param name: List those of this curriculum only.
    :return: By name and version.
    """
    names = store.folders(EXTRACTS) if name is None else [name]
    return [curriculum_status(store, each, version) for each in names for version in versions_of(store, each)]


def curriculum_status(store: ObjectStore, name: str, version: int) -> CurriculumStatus:
    """Tell how far a version is.

    :param store: Object store.
    :param name: Curriculum key.
    :param version: Version.
    :return: Its status; shards are counted, not checked.
    """
    shards = count_shards(store, curriculum_folder(name, version))
    release = _release_or_none(store, name, version)
    if release is not None:
        return CurriculumStatus(name, version, "released", release.total_cells, len(release.shards), shards)
    try:
        plan = read_plan(store, name, version)
    except (FileNotFoundError, CorruptionError):
        return CurriculumStatus(name, version, "claimed", None, None, shards)
    state: Literal["planned", "extracting"] = "extracting" if shards else "planned"
    return CurriculumStatus(name, version, state, plan.total_cells, len(plan.bins), shards)


def is_complete(store: ObjectStore, release: CurriculumRelease) -> bool:
    """Tell whether every shard of a release is there with its size, and what lies beside them with its checksum.

    :param store: Object store.
    :param release: The release.
    :return: Whether nothing is missing.
    """
    folder = curriculum_folder(release.name, release.version)
    sizes = shard_sizes(store, folder)
    if not all(sizes.get(shard.file) == shard.size for shard in release.shards):
        return False
    try:
        for file in released_files(release):
            read_released(store, folder, release, file)
        key = collection_key(release.name, release.version)
        return not release.is_collection or store.read(key) == collection_metadata()
    except (FileNotFoundError, CorruptionError):
        return False


def _same_content(release: CurriculumRelease, selection: Selection, store: ObjectStore) -> bool:
    pinned = {ingest.ingest_id: ingest.cells for ingest in release.ingests}
    if pinned != selection.counts():
        return False
    then, now = release.ontology, selection.terms
    if (then and then.terms) != (now and now.terms):
        return False
    if release.feature_schema in COMPUTED:
        return True
    return load_feature_schema(store, release.feature_schema).digest() == release.feature_schema_digest


def _pinned_specification(store: ObjectStore, name: str, version: int) -> CurriculumSpecification:
    return read_document(store, pinned_specification_key(name, version), CurriculumSpecification)


def _claimed_by(store: ObjectStore, specification: CurriculumSpecification, version: int) -> bool:
    """Tell whether a version is of a specification; one that lost its specification is nobody's."""
    try:
        return _pinned_specification(store, specification.name, version).digest() == specification.digest()
    except FileNotFoundError:
        return False


def _claim(store: ObjectStore, specification: CurriculumSpecification, version: int) -> None:
    write_document(store, pinned_specification_key(specification.name, version), specification, new=True)


def _release_or_none(store: ObjectStore, name: str, version: int) -> CurriculumRelease | None:
    try:
        return read_release(store, name, version)
    except FileNotFoundError:
        return None
    except CorruptionError as error:
        raise CorruptionError(f"{make_curriculum_partition(name, version)}: {error}") from error
