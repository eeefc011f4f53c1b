"""The release of a curriculum and the metadata its readers need, as documents."""

from typing import Any, ClassVar

from pydantic import BaseModel

from omics_datastore.curriculum.plan_model import CellsLeftOut, ObsColumn, PinnedIngest
from omics_datastore.query.ontology import OntologyTerms
from omics_datastore.storage.documents import GrownModel, read_document
from omics_datastore.storage.layout import release_key
from omics_datastore.storage.object_store import ObjectStore


class ReleasedShard(GrownModel):
    """A shard: its file below the curriculum's folder, its content, its shuffle keys, and what its cells share."""

    later_fields: ClassVar[tuple[str, ...]] = ("split",)

    file: str
    cells: int
    group: dict[str, str | int | bool | None] | None
    split: str | None = None
    nnz: int
    size: int
    sha256: str
    min_key: int
    max_key: int


class ReleasedSplit(BaseModel):
    """A named part of a curriculum, which loads like a curriculum of its own.

    ``extract_metadata`` is its metadata file below the curriculum's folder, ``values`` what it holds of the column that
    was split by (``None`` when cells were split by themselves), ``loaders`` programs that load it.
    """

    name: str
    cells: int
    shards: int
    values: list[str | None] | None
    extract_metadata: str
    extract_metadata_sha256: str
    loaders: dict[str, str]


class CurriculumRelease(GrownModel):
    """``release.json``: what a curriculum was made of and what it consists of. No times, no facts of a machine.

    ``ontology`` has the version of the ontologies, and what the filter's ``descendant_of`` meant.
    """

    later_fields: ClassVar[tuple[str, ...]] = ("left_out_by_caps", "splits", "measured_genes_sha256")

    name: str
    version: int
    specification: dict[str, Any]
    specification_digest: str
    order: str
    seed: int
    ingests: list[PinnedIngest]
    citations: list[str]
    feature_schema: str
    feature_schema_digest: str | None
    features_digest: str
    feature_count: int
    obs_columns: list[ObsColumn]
    bin_size: int
    total_cells: int
    total_nnz: int
    shards: list[ReleasedShard]
    genes_sha256: str
    extract_metadata_sha256: str
    warnings: list[str]
    loaders: dict[str, str]
    ontology: OntologyTerms | None = None
    left_out_not_primary: int = 0
    left_out_by_caps: tuple[CellsLeftOut, ...] = ()
    splits: tuple[ReleasedSplit, ...] = ()
    measured_genes_sha256: str | None = None
    nexus_version: str

    @property
    def is_collection(self) -> bool:
        """Tell whether the shards are groups of one zarr collection."""
        return bool(self.specification["output"]["format"] == "zarr")


class ExtractMetadata(BaseModel):
    """``extract_metadata.json``: the keys of the system before, then those that spare a trainer arithmetic.

    ``filenames`` are relative to the curriculum's folder, which may be a path or a ``gs://`` address to put before
    them; ``limits`` are the cumulative ends of the shards. That of a split names its shards only.
    """

    total_bins: int
    last_bin_size: int
    total_cells: int
    filters: dict[str, Any]
    extract_bin_size: int
    category_metadata: dict[str, list[str]]
    filenames: list[str]
    limits: list[int]
    shard_size: int
    last_shard_size: int


def read_release(store: ObjectStore, name: str, version: int) -> CurriculumRelease:
    """Read the release of a version.

    :param store: Object store.
    :param name: Curriculum key.
    :param version: Version.
    :return: The release.
    :raise FileNotFoundError: When it was not released.
    :raise CorruptionError: When the document is not what was written.
    """
    return read_document(store, release_key(name, version), CurriculumRelease)


def released_ingests(store: ObjectStore, name: str, version: int) -> list[str] | None:
    """Return the ingests that a released version pins, so that it is made again from the same.

    :param store: Object store.
    :param name: Curriculum key.
    :param version: Version.
    :return: Ingest ids, or ``None`` when the version was not released.
    """
    try:
        return [ingest.ingest_id for ingest in read_release(store, name, version).ingests]
    except FileNotFoundError:
        return None


def released_terms(store: ObjectStore, name: str, version: int) -> OntologyTerms | None:
    """Return what ``descendant_of`` meant in a released version, so that it is made again from the same cells.

    :param store: Object store.
    :param name: Curriculum key.
    :param version: Version.
    :return: The terms, or ``None`` when there are none or the version was not released.
    """
    try:
        return read_release(store, name, version).ontology
    except FileNotFoundError:
        return None


def released_left_out(store: ObjectStore, name: str, version: int) -> int:
    """Return how many cells a released version left out since they are not primary.

    :param store: Object store.
    :param name: Curriculum key.
    :param version: Version.
    :return: Cells; 0 when the version was not released.
    """
    try:
        return read_release(store, name, version).left_out_not_primary
    except FileNotFoundError:
        return 0
