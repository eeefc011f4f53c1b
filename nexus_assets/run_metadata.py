"""What the metadata of every materialization says of the run behind it: who asked, which pipeline job, how fast."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from nexus_assets.policy import REQUESTED_BY, AssetResult, os_user
from nexus_assets.report_metadata import place
from nexus_resources.pipelines.runner import PipelineResult
from nexus_resources.settings import read_settings

METADATA_JOB = "pipeline_job"
"""Metadata: id of the pipeline job that made something; the next run does not adopt it again."""


def asset_result(
    context: dg.AssetExecutionContext,
    metadata: Mapping[str, Any],
    *,
    asset: list[str] | None = None,
    data_version: str | None = None,
    checks: Sequence[dg.AssetCheckResult] = (),
) -> AssetResult:
    """Return the result of an asset; every asset gives its results with this.

    :param context: Context of the asset.
    :param metadata: What people see of it.
    :param asset: Key of the asset, when the step makes several.
    :param data_version: Version of the content, when it has one.
    :param checks: The checks that were made.
    :return: The result, whose metadata says who asked.
    """
    return dg.MaterializeResult(
        asset_key=asset,
        metadata={**metadata, "requested_by": who_asked(context)},
        data_version=dg.DataVersion(data_version) if data_version is not None else None,
        check_results=list(checks),
    )


def who_asked(context: dg.AssetExecutionContext) -> str:
    """Return who asked for the run: a person, a sensor or a schedule.

    A run that the web UI of a laptop started has no tag, and whoever runs the web UI asked for it.

    :param context: Context of the asset.
    :return: What the run's tag says, a name of this machine's, or ``unknown``.
    """
    tag = context.run.tags.get(REQUESTED_BY)
    return tag or ("unknown" if read_settings().is_gcp else os_user())


def pipeline_metadata(result: PipelineResult, cells: int, seconds: float) -> dict[str, Any]:
    """Show the pipeline job that made something.

    :param result: The job.
    :param cells: The cells it really wrote, not those it found.
    :param seconds: How long the run waited for it.
    :return: Its id and link; time and cells a second too, when all of it ran now.
    """
    shown: dict[str, Any] = {METADATA_JOB: result.job_id, "pipeline_link": place(result.link)}
    if result.how == "submitted":
        shown["pipeline_seconds"] = round(seconds, 1)
        if cells:
            shown["cells_per_second"] = round(cells / max(seconds, 0.001))
    return shown


def changes(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Compare numbers with what they were.

    :param before: The numbers as they were; one that is missing is not compared.
    :param after: The numbers now.
    :return: ``<name>_delta`` for each number of both.
    """
    return {f"{name}_delta": value - before[name] for name, value in after.items() if name in before}
