"""The plan of one version of a curriculum as documents: what was pinned, which obs columns, which bins.

A plan decides everything a shard's bytes depend on. ``plan.json`` is written after the files it names.
"""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from omics_datastore.query.ontology import OntologyTerms
from omics_datastore.storage.documents import GrownModel


class PinnedIngest(BaseModel):
    """An ingest that a curriculum takes cells from, and how many of the curriculum's features it measured.

    One of which caps left no cell is pinned too, with 0 cells and features: its cells decide which others stay.
    """

    ingest_id: str
    dataset: str
    source_uri: str
    source_sha256: str
    cells: int
    features_measured: int
    citation: str | None


class ObsColumn(BaseModel):
    """An obs column as every shard holds it.

    ``category`` columns have one list of categories in all shards, nulls being code -1; ``string``
    columns (over the category limit) hold ``""`` for null; ``float64`` is also used for integers where
    any is null, ``boolean`` for booleans where any is null.
    """

    name: str
    kind: Literal["category", "string", "int64", "float64", "bool", "boolean"]
    categories: list[str] | None = None


class PlannedBin(GrownModel):
    """A bin: its number, its cells, their counts, the smallest and largest shuffle key, and a digest.

    ``first_position`` is the place of its first cell in the curriculum, ``group`` the values that its cells share,
    ``split`` the split that they are of.

    ``counts`` is the sum of ``n_features`` over the cells: at least the nonzeros of the shard. ``digest`` covers the
    rows of the cells file: which cells, in which order, with which obs values.
    """

    later_fields: ClassVar[tuple[str, ...]] = ("split",)

    bin: int
    first_position: int
    cells: int
    counts: int
    group: dict[str, str | int | bool | None] | None
    split: str | None = None
    min_key: int
    max_key: int
    digest: str


class PlannedGroup(BaseModel):
    """Neighbouring bins that one task extracts, and the file that lists their cells, a row group a bin.

    The file's columns: ``bin``, ``position`` (place in the curriculum, ascending), ``ingest_id``,
    ``cell_index``, ``shuffle_key``, ``n_features``, and ``obs.<name>`` for each obs column of the plan.
    """

    group: int
    first_bin: int
    last_bin: int
    key: str
    size: int
    sha256: str


class CellsLeftOut(BaseModel):
    """How many cells a cap left out, and the cap in words."""

    by: str
    cells: int


class PlannedSplit(BaseModel):
    """A split: its name, cells and bins, and the values that it holds (``None`` when cells are split by themselves)."""

    name: str
    cells: int
    bins: int
    values: list[str | None] | None


class CurriculumPlan(GrownModel):
    """Everything that was decided before extraction.

    ``features_digest`` covers ids and names of the features in order, ``features_sha256`` the file that lists them.
    ``ontology`` is what the filter's ``descendant_of`` meant, ``left_out_not_primary`` the cells that ``primary_only``
    left out, ``left_out_by_caps`` the cells that each cap left out of those that had come so far, ``splits`` the
    named parts in the order of their bins.
    ``measured_sha256`` is of the table of measured genes, which plans of earlier versions of Nexus lack.
    """

    later_fields: ClassVar[tuple[str, ...]] = ("left_out_by_caps", "splits", "measured_sha256")

    name: str
    version: int
    specification: dict[str, Any]
    specification_digest: str
    ingests: list[PinnedIngest]
    feature_schema: str
    feature_schema_digest: str | None
    features_digest: str
    features_sha256: str
    feature_count: int
    obs_columns: list[ObsColumn]
    bin_size: int
    total_cells: int
    bins: list[PlannedBin]
    groups: list[PlannedGroup]
    warnings: list[str]
    ontology: OntologyTerms | None = None
    left_out_not_primary: int = 0
    left_out_by_caps: tuple[CellsLeftOut, ...] = ()
    splits: tuple[PlannedSplit, ...] = ()
    measured_sha256: str | None = None
    nexus_version: str

    @property
    def file_format(self) -> str:
        """Return the format of the shards, ``h5ad`` or ``zarr``."""
        return str(self.specification["output"]["format"])

    def bins_of(self, split: str | None = None) -> list[PlannedBin]:
        """Return the bins of a split in order.

        :param split: Its name; by default all bins.
        :return: Neighbouring bins.
        """
        return self.bins if split is None else [item for item in self.bins if item.split == split]


class ShardRecord(BaseModel):
    """What a shard's writer says of it. ``planned_digest`` names the plan's share that decided the bytes."""

    bin: int
    planned_digest: str
    cells: int
    nnz: int
    size: int
    sha256: str
    min_key: int
    max_key: int
