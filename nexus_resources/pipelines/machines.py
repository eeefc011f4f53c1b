"""What machine each component gets on Vertex AI, how many run side by side, and as whom: one configuration.

default: {cpu: 4, memory: 16G}
extract_job: {cpu: 8, memory: 32G, parallelism: 64}
"""

import re
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from kfp_components.catalog import COMPONENTS
from omics_datastore.errors import InputError
from omics_datastore.storage.documents import describe
from omics_datastore.storage.yaml_text import load_yaml

DEFAULT = "default"
"""The entry for components that have none of their own."""

_MEMORY = re.compile(r"(\d+(?:\.\d+)?)(M|G|Mi|Gi)")
_BYTES = {"M": 10**6, "G": 10**9, "Mi": 2**20, "Gi": 2**30}
_CORES = (4, 8, 16, 32, 48, 64, 80)
"""Sizes of the N2 machines that custom jobs take."""
_GIGABYTES_A_CORE = {"standard": 4, "highmem": 8}


class Machine(BaseModel):
    """The machine of a component. ``memory`` is a number with ``M``, ``G``, ``Mi`` or ``Gi``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu: float | None = Field(None, gt=0, le=96, description="Cores.")
    memory: str | None = Field(None, description="Memory, 16G for example.")
    accelerator: str | None = Field(None, description="Type of accelerator, NVIDIA_TESLA_T4 for example.")
    accelerator_count: int = Field(1, ge=1, le=16)
    parallelism: int | None = Field(None, ge=1, description="Tasks of the component side by side.")
    service_account: str | None = Field(
        None,
        pattern=r"^[^@\s]+@[^@\s]+$",
        description="Account that the component acts as, in place of the deployment's.",
    )
    machine_type: str | None = Field(
        None, pattern=r"^[a-z0-9-]+$", description="Machine of a spot task; by default one that has cpu and memory."
    )

    @field_validator("memory")
    @classmethod
    def _check_memory(cls, value: str | None) -> str | None:
        if value is not None and not _MEMORY.fullmatch(value):
            raise ValueError(f"{value!r} is not a number with M, G, Mi or Gi")
        return value

    @property
    def memory_gigabytes(self) -> float | None:
        """Return the memory in units of 10⁹ bytes."""
        match = _MEMORY.fullmatch(self.memory or "")
        return None if match is None else float(match[1]) * _BYTES[match[2]] / 10**9

    def spot_machine_type(self) -> str:
        """Return the name of the smallest machine that has the cores and the memory.

        :return: ``machine_type`` when it is given.
        :raise InputError: When no machine is large enough.
        """
        if self.machine_type is not None:
            return self.machine_type
        memory = self.memory_gigabytes or 0.0
        for cores in _CORES:
            for family, gigabytes in _GIGABYTES_A_CORE.items():
                if cores >= (self.cpu or 0) and cores * gigabytes * 2**30 / 10**9 >= memory:
                    return f"n2-{family}-{cores}"
        raise InputError(f"no machine has {self.cpu or 0:g} cores and {self.memory}: give a machine_type.")


class Machines(BaseModel):
    """The machines of all components."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    components: dict[str, Machine] = {}

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for name in self.components:
            if name not in COMPONENTS and name != DEFAULT:
                raise ValueError(f"{name!r} is no component; there are {', '.join([DEFAULT, *COMPONENTS])}")
        return self

    def of(self, component: str) -> Machine:
        """Return the machine of a component.

        :param component: Its name.
        :return: Its own machine, or the default one; one without any wish when there is none.
        """
        return self.components.get(component) or self.components.get(DEFAULT) or Machine()


def parse_machines(text: str, where: str = "NEXUS_MACHINES") -> Machines:
    """Read machines from YAML or JSON.

    :param text: The text; empty for no wishes.
    :param where: The setting or file, for messages.
    :return: The machines.
    :raise InputError: When it is not what it should be; one sentence.
    """
    try:
        content: Any = load_yaml(text) if text.strip() else {}
    except ValueError as error:
        raise InputError(f"{where} {error}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{where} must map component names to machines, not be {type(content).__name__}.")
    try:
        return Machines.model_validate({"components": content})
    except ValidationError as error:
        raise InputError(f"{where}: {describe(error).replace('components.', '')}.") from error
