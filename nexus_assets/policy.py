"""What holds for every definition: owners, the form of checks, who asked for a run."""

import getpass
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.execution.plan.objects import UserFailureData

from omics_datastore.errors import InputError
from omics_datastore.shown_text import masked, printable
from omics_datastore.storage.disk_errors import clear_disk_errors

if TYPE_CHECKING:
    AssetResult = dg.MaterializeResult[None]
else:
    # Dagster reads annotations and knows the class, not its parametrised form.
    AssetResult = dg.MaterializeResult

OWNERS = ["team:nexus"]
PARTITION = "dagster/partition"
"""Run tag of Dagster's own: the partition of a run."""
REQUESTED_BY = "nexus/requested_by"
DROP = "nexus/drop"
"""Run tag: digest of the drop that a run was started for."""
DRY_RUN = "nexus/dry_run"
"""Run tag, whatever its value: pipeline jobs are described in the failure of their step, not submitted."""
PIPELINE_JOB = "nexus/pipeline_job"
"""Run tag: id of the pipeline job a run submitted last."""
PIPELINE_LINK = "nexus/pipeline_link"
"""Run tag: console link of that job, or the path of its log."""


_CLOUD_KINDS = {"duckdb": "bigquery", "file": "gcs"}


def apply_policy(spec: dg.AssetSpec, *, is_gcp: bool = False) -> dg.AssetSpec:
    """Give a spec what every asset has.

    :param spec: Spec of an asset, with the kinds it has on a laptop.
    :param is_gcp: Whether the deployment is on Google Cloud.
    :return: The spec with owners, tags, and the kinds of the deployment.
    """
    kinds = {_CLOUD_KINDS.get(kind, kind) for kind in spec.kinds} if is_gcp else spec.kinds
    if "bigquery" in kinds and "table" in kinds:
        kinds = kinds - {"parquet"}
    tags = {"nexus/domain": spec.group_name or "", "nexus/work": "pipeline" if "kfp" in kinds else "dagster"}
    return spec.replace_attributes(owners=OWNERS, kinds=kinds, tags=tags)


def blocking_check(
    name: str, asset: list[str], description: str, partitions: dg.PartitionsDefinition[str] | None
) -> dg.AssetCheckSpec:
    """Specify a check that stops what is downstream.

    :param name: Name of the check.
    :param asset: Key of the asset.
    :param description: What must hold.
    :param partitions: Partitions of the asset.
    :return: The spec.
    """
    with warnings.catch_warnings():
        # Partitioned checks are preview in Dagster 1.13, which is why the version is pinned.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name, asset=dg.AssetKey(asset), description=description, blocking=True, partitions_def=partitions
        )


def check_result(name: str, asset: list[str], *, passed: bool, **seen: int | str) -> dg.AssetCheckResult:
    """Report a check with the numbers it saw.

    :param name: Name of the check.
    :param asset: Key of the asset.
    :param passed: Whether it holds.
    :param seen: What was compared.
    :return: The result.
    """
    shown = {key: printable(masked(value)) if isinstance(value, str) else value for key, value in seen.items()}
    return dg.AssetCheckResult(check_name=name, asset_key=dg.AssetKey(asset), passed=passed, metadata=shown)


def os_user() -> str:
    """Return the name of the person this process runs for."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


KIND = "kind"
"""Metadata of a failure: :data:`INPUT_KIND` when somebody's input is at fault."""
INPUT_KIND = "input"


def input_failure(message: str) -> dg.Failure:
    """Return the failure of a step over somebody's input; running again does not help.

    :param message: What is wrong and how to mend it.
    :return: A failure without retries, marked for the command line.
    """
    return dg.Failure(message, metadata={KIND: INPUT_KIND}, allow_retries=False)


@contextmanager
def input_failures() -> Iterator[None]:
    """Turn an input error inside the block, or that of a full or closed disk, into :func:`input_failure`.

    :raise dagster.Failure: In place of an :class:`~omics_datastore.errors.InputError`.
    """
    try:
        with clear_disk_errors():
            yield
    except InputError as error:
        raise input_failure(str(error)) from error


def is_input_failure(failure: dg.Failure | UserFailureData) -> bool:
    """Tell whether a failure was made by :func:`input_failure`.

    :param failure: The failure, or its record in the event log.
    :return: Whether it was.
    """
    kind = failure.metadata.get(KIND)
    return kind is not None and kind.value == INPUT_KIND
