"""The configuration of every component: Pydantic models passed as YAML files through the object store.

A component gets two strings, the root of the store and the key of its configuration; everything else is here.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from omics_datastore.ingest.cellxgene_gate import CellxgeneEnvironment
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.manifest import FileReport, SourceFile
from omics_datastore.warehouse.parquet_layout import ParquetLayout


class TaskConfig(BaseModel):
    """What every task needs: where its result goes, how much memory and how many workers it may use."""

    model_config = ConfigDict(extra="forbid")

    result_key: str = Field(description="Key of the digest-checked result document.")
    messages: str | None = Field(None, description="Where the task's messages go: prefix of the session and its name.")
    memory_limit_bytes: int = Field(256 * 2**20, gt=0, description="Bytes of cell data a task may hold at once.")
    workers: int = Field(1, gt=0, description="Threads a task may use.")


class ReadLimits(BaseModel):
    """What reading source files may take; a file that takes more, or crashes what reads it, is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: float = Field(300, gt=0, description="Seconds that one read from a source file may take.")
    memory_mb: int = Field(8192, gt=0, description="Megabytes that the process that reads may hold.")


class DatasetSources(BaseModel):
    """Source files of a dataset, and how they are read."""

    model_config = ConfigDict(extra="forbid")

    dataset: str
    sources: list[SourceFile]
    config: DatasetConfig


class IngestTaskConfig(TaskConfig):
    """Source files that one task reads, of one or several datasets; used to make ingest files and to validate only."""

    datasets: list[DatasetSources]
    parquet: ParquetLayout = ParquetLayout()
    cellxgene: CellxgeneEnvironment | None = Field(None, description="Where cellxgene-schema is, if it is asked for.")
    limits: ReadLimits | None = Field(
        None, description="What reading may take, in a process of its own; without, the task's own process reads."
    )


class IngestTaskResult(BaseModel):
    """Reports of the files of a task. A refused file is a result, not a failure of the task."""

    reports: list[FileReport]


class LoadTaskConfig(TaskConfig):
    """Ingests to load and commit: named, or those that the tasks with these results made.

    With ``create_result_keys`` one refused file refuses the load: a dataset becomes visible whole or not at all.
    """

    warehouse_uri: str
    ingest_ids: list[str] = []
    create_result_keys: list[str] = []


class LoadTaskResult(BaseModel):
    """What a load did (see ``LoadResult``)."""

    committed: list[str]
    unchanged: list[str]
    rows: dict[str, int]


class PrepareExtractTaskConfig(TaskConfig):
    """A curriculum version to plan."""

    warehouse_uri: str
    name: str
    version: int
    bins_per_group: int = Field(gt=0)


class PrepareExtractTaskResult(BaseModel):
    """Where the plan is and how much it holds."""

    plan_key: str
    total_cells: int
    bins: int
    groups: int


class Share(BaseModel):
    """One of ``of`` equal shares of the groups of a plan: those whose number leaves ``part`` when divided by ``of``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    part: int = Field(ge=0)
    of: int = Field(gt=0)


class ExtractTaskConfig(TaskConfig):
    """Groups of bins of a curriculum that one task extracts: named, or a share while there is no plan to name them."""

    warehouse_uri: str
    name: str
    version: int
    groups: list[int] | None = None
    share: Share | None = None

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        if (self.groups is None) == (self.share is None):
            raise ValueError("give either groups or share")
        return self

    def chosen(self, groups: list[int]) -> list[int]:
        """Return the numbers of the groups to extract.

        :param groups: Numbers of all groups of the plan.
        :return: The task's own, in the order of the plan.
        """
        if self.share is not None:
            return [group for group in groups if group % self.share.of == self.share.part]
        return [group for group in groups if group in set(self.groups or [])]


class ExtractTaskResult(BaseModel):
    """Bins whose shard was written now, and bins whose shard was there already."""

    written: list[int]
    kept: list[int]


class FinishTaskConfig(TaskConfig):
    """A curriculum version to release."""

    name: str
    version: int


class FinishTaskResult(BaseModel):
    """Key of the release and digest of its content."""

    release_key: str
    digest: str
