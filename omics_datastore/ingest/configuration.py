"""The configuration of a dataset: the sidecar ``<dataset>.yaml`` next to the drop."""

import re
from fnmatch import fnmatchcase
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from omics_datastore.keys import digest

INGEST_FORMAT = 1
"""Changes when the same source and configuration would give other ingest files."""

DEFAULT_UNS_KEEP = ("citation", "schema_reference", "schema_version", "title", "batch_condition")
_LAYER = re.compile(r"layers/[^/\0]+")


class ValidationConfig(BaseModel):
    """What a source file must fulfil beyond being readable counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_file_bytes: int | None = Field(None, gt=0, description="Refuse larger source files.")
    cellxgene_schema: Literal["off", "warn", "block"] = Field(
        "off", description="Run cellxgene-schema over .h5ad files, and warn of its errors or refuse files for them."
    )
    required_obs: tuple[str, ...] = Field((), description="obs columns that must exist after mapping and hold no null.")

    @field_validator("cellxgene_schema", mode="before")
    @classmethod
    def _take_a_bare_off(cls, value: object) -> object:
        return "off" if value is False else value  # what YAML 1.1 makes of it


class DatasetConfig(BaseModel):
    """How the source files of a dataset are read. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str | None = Field(None, description="What the dataset is, for people; no part of the data.")
    tag: str | None = Field(None, description="Free text, kept with every cell.")
    tags: dict[str, str] = Field({}, description="Source file (or pattern with *) to the tag of its cells.")
    counts_from: str = Field(
        "auto", description="auto (the first of raw.X, X that holds counts), X, raw.X or layers/<name>."
    )
    mapping: str | None = Field(None, description="Name of a shared column mapping, to which the next two add.")
    obs_mapping: dict[str, str] = Field({}, description="Source obs column (or index) to warehouse column.")
    var_mapping: dict[str, str] = Field({}, description="Source var column (or index) to warehouse column.")
    uns_keep: tuple[str, ...] = Field(DEFAULT_UNS_KEEP, description="Entries of uns that are kept.")
    feature_ids: Literal["ensembl", "any"] = Field("ensembl", description="Whether feature ids must be Ensembl ids.")
    duplicate_features: Literal["error", "sum"] = Field(
        "error", description="Refuse two features with one id, or sum their counts."
    )
    validation: ValidationConfig = ValidationConfig()

    @field_validator("counts_from")
    @classmethod
    def _check_counts_from(cls, value: str) -> str:
        if value not in ("auto", "X", "raw.X") and not _LAYER.fullmatch(value):
            raise ValueError(f"{value!r} is not one of auto, X, raw.X, layers/<name>")
        return value

    def of_source(self, name: str) -> Self:
        """Return the configuration of one source file: with the tag of its own, without what is of the dataset only.

        :param name: Name of the source below the dataset's folder.
        :return: A configuration without ``tags`` and ``description``.
        """
        own = self.tags.get(name)
        if own is None:
            own = next((tag for pattern, tag in self.tags.items() if fnmatchcase(name, pattern)), self.tag)
        return self.model_copy(update={"tag": own, "tags": {}, "description": None})

    def data_digest(self) -> str:
        """Return the digest of what decides the data; ``validation`` only decides whether it may enter.

        :return: 64 hexadecimal digits.
        :raise ValueError: When a shared mapping, or the tag of the source file, is still to be put in.
        """
        if self.mapping is not None or self.tags:
            raise ValueError(f"the mapping {self.mapping} is not resolved" if self.mapping else "tags are not resolved")
        said = self.model_dump(mode="json", exclude={"validation", "mapping", "tags", "description"})
        return digest({"format": INGEST_FORMAT, **said})
