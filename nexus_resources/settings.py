"""Settings of a deployment, read from the environment once, with one clear sentence for a wrong value."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from nexus_resources.gcp_settings import DEFAULTS, GcpSettings, check_gcp, check_local
from omics_datastore.errors import InputError
from omics_datastore.shown_text import SECRET_VARIABLES
from omics_datastore.storage.documents import describe

PREFIX = "NEXUS_"
DEFAULT_ROOT = "nexus-data"


class Settings(GcpSettings):
    """What the environment decides. Every field is read from ``NEXUS_<FIELD>``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deployment: Literal["local", "gcp"] = Field("local", description="Where Nexus runs.")
    root: str = Field(DEFAULT_ROOT, description="Folder, or gs://<bucket>/<prefix> in gcp, that holds everything.")
    dagster_home: str = Field("", description="Folder of the Dagster instance; dagster/ below a local root by default.")
    tasks: int = Field(2, ge=1, description="Pipeline tasks side by side; kfp.local runs at most two.")
    workers: int = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 2) // 2), ge=1, description="Threads in each task."
    )
    task_memory_mb: int = Field(192, ge=16, description="Megabytes of cell data a task holds at once.")
    bins_per_group: int = Field(32, ge=1, description="Bins of a group at most; a group has about 10,000 cells.")
    quiet_seconds: float = Field(5.0, ge=0, description="How long a drop must not have changed before it is taken.")
    sensors: Literal["on", "off"] = Field("on", description="Whether sensors and schedules start switched on.")
    keep_run_days: float = Field(
        90.0,
        ge=0,
        description="Days for which old runs are remembered that made nothing that is still there; 0: always.",
    )
    webhook: str = Field(
        "", pattern=r"^(https?://\S+)?$", description="Address that is told of failed runs, in Slack's JSON; a secret."
    )
    web_address: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="Address of the web UI: for links to runs, and the name it answers to.",
    )
    source_url: str = Field(
        "", pattern=r"^(https?://\S+)?$", description="Web page of this code's folder, for links from assets to code."
    )
    client_calls: Literal["dagster", "pipeline"] = Field(
        "dagster", description="Who loads and plans: the Dagster process itself, or a pipeline component."
    )
    cellxgene_python: str = Field(
        default_factory=lambda: str(Path(__file__).parents[1] / ".venv-cellxgene/bin/python"),
        description="Python that has cellxgene-schema; the one of make cellxgene by default.",
    )
    cellxgene_memory_mb: int = Field(8192, ge=1, description="Megabytes that cellxgene-schema may use.")
    cellxgene_seconds: float = Field(3600, gt=0, description="Seconds that cellxgene-schema may take for a file.")

    read_seconds: float = Field(
        300, gt=0, description="Seconds that one read from a source file may take; the file is refused then."
    )
    read_memory_mb: int = Field(
        8192,
        ge=512,
        description="Megabytes that the process that reads source files may hold; the file is refused then.",
    )

    @property
    def is_gcp(self) -> bool:
        """Return whether Nexus runs on Google Cloud."""
        return self.deployment == "gcp"

    @property
    def store_root(self) -> str:
        """Return the root of the object store: an absolute path, or ``gs://<bucket>/<prefix>``."""
        return self.root.rstrip("/") if self.is_gcp else str(self.root_path)

    @property
    def root_path(self) -> Path:
        """Return the root of a local deployment as an absolute path.

        :raise InputError: When the root is a bucket.
        """
        if self.is_gcp:
            raise InputError(f"{self.root} is a bucket, and this needs a folder: set NEXUS_DEPLOYMENT=local.")
        return Path(self.root).expanduser().resolve()

    @property
    def dagster_path(self) -> Path:
        """Return where Dagster keeps its instance.

        :raise InputError: When nothing says where, in gcp.
        """
        if self.dagster_home:
            return Path(self.dagster_home).expanduser().resolve()
        if self.is_gcp:
            raise InputError("NEXUS_DAGSTER_HOME is not set: give the folder that holds Dagster's dagster.yaml.")
        return self.root_path / "dagster"


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings.

    :param environment: Variables; those of the process by default.
    :return: The settings.
    :raise InputError: When a variable has a value it cannot have, or one is missing.
    """
    variables = os.environ if environment is None else environment
    values = {
        name: variables[PREFIX + name.upper()] for name in Settings.model_fields if variables.get(PREFIX + name.upper())
    }
    defaults = DEFAULTS if values.get("deployment") == "gcp" else {}
    try:
        settings = Settings.model_validate({**defaults, **values})
    except ValidationError as error:
        name = PREFIX + str(error.errors()[0]["loc"][0]).upper()
        if name in SECRET_VARIABLES:
            raise InputError(f"{name}: the value is not an address.") from None
        raise InputError(f"{name}={variables.get(name)!r}: {describe(error)}.") from error
    (check_gcp if settings.is_gcp else check_local)(settings.root, settings, values)
    return settings
