"""The specification of a curriculum: the YAML that somebody writes, checked. Nothing is planned here."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from omics_datastore.curriculum.cap import Cap, read_caps
from omics_datastore.curriculum.split import Split
from omics_datastore.keys import check_key
from omics_datastore.query.filters import AnyOf, CellFilter
from omics_datastore.storage.documents import GrownModel, content_digest

DEFAULT_OBS_COLUMNS = (
    "cell_type",
    "cell_type_ontology_term_id",
    "tissue",
    "assay",
    "disease",
    "development_stage",
    "sex",
    "organism",
    "donor_id",
    "suspension_type",
    "dataset",
)
"""The obs columns of a specification that names none."""

PRIMARY = "is_primary_data"
PRIMARY_ONLY = "primary_only"

COMPRESSIONS = {"h5ad": ("gzip", "none"), "zarr": ("lz4", "zstd", "none")}
"""The compressions of a format, the usual one first."""


_PRIMARY = AnyOf.model_validate(
    {"any": [{"column": PRIMARY, "op": "eq", "value": True}, {"column": PRIMARY, "op": "is_null"}]}
)


def with_written_defaults(content: dict[str, Any]) -> dict[str, Any]:
    """Give what somebody wrote the defaults of new specifications, which pinned ones without the key do not have.

    :param content: The content of a specification.
    :return: The content, with ``primary_only`` when it says nothing of primary cells.
    """
    if PRIMARY_ONLY in content:
        return content
    try:
        cell_filter = CellFilter.model_validate(content.get("filter"))
    except ValidationError:  # said when the whole is validated
        return content
    return {**content, PRIMARY_ONLY: all(condition.column != PRIMARY for condition in cell_filter.leaves())}


class OutputConfig(BaseModel):
    """How shards are written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["h5ad", "zarr"] = "h5ad"
    compression: Literal["gzip", "lz4", "zstd", "none"] = "gzip"
    dtype: Literal["float32"] = "float32"

    @model_validator(mode="before")
    @classmethod
    def _usual_compression(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("format") == "zarr" and "compression" not in content:
            return {**content, "compression": COMPRESSIONS["zarr"][0]}
        return content

    @model_validator(mode="after")
    def _check_compression(self) -> "OutputConfig":
        known = COMPRESSIONS[self.format]
        if self.compression not in known:
            raise ValueError(f"{self.format} shards have no compression {self.compression}; use {' or '.join(known)}")
        return self


class CurriculumSpecification(GrownModel):
    """What a curriculum is made of (DESIGN section 5). Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    later_fields: ClassVar[tuple[str, ...]] = ("caps", "split")

    name: str = Field(description="Curriculum key; versions are <name>.v1, <name>.v2, …")
    filter: CellFilter = Field(CellFilter(), description="Conditions that all must hold.")
    primary_only: bool = Field(
        False,
        description="Leave out cells whose is_primary_data is false; those where it is null stay. A specification that "
        "somebody writes gets true, unless it says otherwise or its filter names is_primary_data.",
    )
    caps: tuple[Cap, ...] = Field((), description="Limits to the cells of groups, applied one after the other.")
    features: str = Field(
        "union", description="A feature schema's name, or union or intersection of the selected ingests."
    )
    obs_columns: tuple[str, ...] = Field(DEFAULT_OBS_COLUMNS, description="Warehouse columns that become obs columns.")
    metadata_extra_columns: tuple[str, ...] = Field((), description="Keys of metadata_extra that become obs columns.")
    bin_size: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    group_by: tuple[str, ...] = Field(
        (), description="Columns whose values all cells of a bin share; their order is always the seed's own."
    )
    order: Literal["store", "exact"] = Field(
        "store", description="store: ranges of shuffle keys; exact: an order of the seed's own."
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    split: Split | None = Field(None, description="Named parts, each a curriculum of its own.")
    output: OutputConfig = OutputConfig()
    category_limit: Annotated[int, Field(ge=1)] = 2000
    refresh: Literal["never", "weekly"] = Field(
        "never", description="weekly: rebuilt by the schedule when data changed."
    )

    @field_validator("split", mode="before")
    @classmethod
    def _read_split(cls, split: Any) -> Any:
        return split or None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return check_key("curriculum", name)

    @field_validator("features")
    @classmethod
    def _check_features(cls, features: str) -> str:
        return features if features in ("union", "intersection") else check_key("feature schema", features)

    @field_validator("caps", mode="before")
    @classmethod
    def _check_caps(cls, caps: Any) -> Any:
        return read_caps(caps)

    @field_validator("group_by", mode="before")
    @classmethod
    def _check_groups(cls, group_by: Any) -> Any:
        if not isinstance(group_by, str | list | tuple | None):
            raise ValueError("it must be a list of columns")  # noqa: TRY004 - Pydantic lets a TypeError through
        columns = (group_by,) if isinstance(group_by, str) else tuple(group_by or ())
        twice = sorted({str(column) for column in columns if columns.count(column) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is named twice; leave one out")
        return columns

    @property
    def cell_filter(self) -> CellFilter:
        """Return the filter with what ``primary_only`` adds to it, as the last condition."""
        return CellFilter(conditions=(*self.filter.conditions, _PRIMARY)) if self.primary_only else self.filter

    @property
    def is_scattered(self) -> bool:
        """Tell whether the cells of a bin lie anywhere in the warehouse, not in ranges of shuffle keys."""
        return self.order == "exact" or bool(self.group_by)

    def digest(self) -> str:
        """Return the digest of the specification; ``refresh`` decides when, not what, and filters mean what they mean.

        :return: 64 hexadecimal digits.
        """
        return content_digest(self.model_copy(update={"refresh": "never", "filter": self.filter.normal()}))
