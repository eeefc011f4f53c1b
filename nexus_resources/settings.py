"""Settings of a deployment, read from the environment once, with one clear sentence for a wrong value."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from omics_datastore.errors import InputError
from omics_datastore.storage.documents import describe

PREFIX = "NEXUS_"
DEFAULT_ROOT = "nexus-data"


class Settings(BaseModel):
    """What the environment decides. Every field is read from ``NEXUS_<FIELD>``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deployment: Literal["local"] = Field("local", description="Where Nexus runs.")
    root: str = Field(DEFAULT_ROOT, description="Folder that holds everything.")
    tasks: int = Field(2, ge=1, description="Pipeline tasks side by side; kfp.local runs at most two.")
    workers: int = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 2) // 2), ge=1, description="Threads in each task."
    )
    task_memory_mb: int = Field(192, ge=16, description="Megabytes of cell data a task holds at once.")
    bins_per_group: int = Field(4, ge=1, description="Bins that are planned and extracted as one group.")
    quiet_seconds: float = Field(5.0, ge=0, description="How long a drop must not have changed before it is taken.")
    sensors: Literal["on", "off"] = Field("on", description="Whether sensors and schedules start switched on.")
    client_calls: Literal["dagster", "pipeline"] = Field(
        "dagster", description="Who loads and plans: the Dagster process itself, or a pipeline component."
    )

    @property
    def root_path(self) -> Path:
        """Return the root as an absolute path."""
        return Path(self.root).expanduser().resolve()

    @property
    def dagster_home(self) -> Path:
        """Return where Dagster keeps its instance."""
        return self.root_path / "dagster"


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    :param environment: Variables; those of the process by default.
    :return: The settings.
    :raise InputError: When a variable has a value it cannot have.
    """
    variables = os.environ if environment is None else environment
    values = {
        name: variables[PREFIX + name.upper()] for name in Settings.model_fields if variables.get(PREFIX + name.upper())
    }
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        name = PREFIX + str(error.errors()[0]["loc"][0]).upper()
        raise InputError(f"{name}={variables.get(name)!r}: {describe(error)}.") from error
