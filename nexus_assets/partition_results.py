"""Results of a step over one partition or many: each partition has its own materializations and checks.

Dagster derives one materialization a partition from the output of a step, all alike, those that failed included, and
leaves their checks without a partition. So a step over a range reports what was made itself, and its outputs, which
only say that what is downstream may begin, are marked as reported.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION as REPORTED

from nexus_assets.batches import batch_name
from nexus_assets.policy import INPUT_KIND, KIND, AssetResult, input_failure
from nexus_assets.run_metadata import asset_result, who_asked
from omics_datastore.errors import InputError

FAILED = "failed"
"""Metadata of the failure of a step over many partitions: what is wrong with each that failed."""
_SHOWN = 50

Event = AssetResult | dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output[None]
Events = Iterator[Event]


@dataclass(frozen=True)
class Made:
    """What was made of one asset for one partition: metadata, version of the content, checks."""

    asset: list[str]
    partition: str
    metadata: Mapping[str, Any]
    data_version: str | None = None
    checks: Sequence[dg.AssetCheckResult] = ()

    def failed_check(self) -> str:
        """Say which check does not hold; empty when all do."""
        for check in self.checks:
            if not check.passed:
                seen = ", ".join(f"{name} {value.value}" for name, value in check.metadata.items())
                return f"the check {check.check_name} of {'/'.join(self.asset)} does not hold ({seen})."
        return ""


class PartitionResults:
    """Report what a step makes, and in the end what it could not make.

    :param context: Context of the step.
    """

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._is_single = context.has_partition_key
        self.partitions = list(context.partition_keys)
        self.failures: dict[str, Exception] = {}

    @property
    def name(self) -> str:
        """Return what to call the partitions."""
        return batch_name(self.partitions)

    @property
    def remaining(self) -> list[str]:
        """Return the partitions that have not failed."""
        return [key for key in self.partitions if key not in self.failures]

    def is_selected(self, asset: list[str]) -> bool:
        """Tell whether an asset is to be made."""
        return dg.AssetKey(asset) in self._context.selected_asset_keys

    def report(self, made: Made) -> Events:
        """Report what was made, if it was asked for.

        :param made: What was made; a check that does not hold fails its partition.
        :return: Events to yield.
        """
        if failed := made.failed_check():
            self.failures.setdefault(made.partition, dg.Failure(failed, allow_retries=False))
        if not self.is_selected(made.asset):
            return
        if self._is_single:
            yield asset_result(
                self._context, made.metadata, asset=made.asset, data_version=made.data_version, checks=made.checks
            )
            return
        yield dg.AssetMaterialization(
            dg.AssetKey(made.asset),
            partition=made.partition,
            metadata={**made.metadata, "requested_by": who_asked(self._context)},
            tags={"dagster/data_version": made.data_version} if made.data_version else None,
        )
        for check in made.checks:
            yield dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(made.asset),
                check_name=str(check.check_name),
                passed=check.passed,
                metadata=check.metadata,
                severity=check.severity,
                blocking=True,
                partition=made.partition,
            )

    def finish(self) -> Events:
        """Fail when a partition did; otherwise let begin what is downstream.

        :return: Events to yield.
        :raise dagster.Failure: When a partition failed.
        """
        self.raise_failures()
        if self._is_single:
            return
        selected = self._context.op_execution_context.selected_output_names
        for output in self._context.op_execution_context.op_def.output_defs:
            if output.name in selected:
                yield dg.Output(None, output_name=output.name, metadata={REPORTED: True})

    def raise_failures(self) -> None:
        """Fail when a partition did, naming each with its reason; the reason alone in a run over one partition.

        :raise dagster.Failure: When a partition failed.
        """
        if not self.failures:
            return
        if len(self.partitions) == 1:
            (error,) = self.failures.values()
            if isinstance(error, InputError):
                raise input_failure(str(error)) from error
            raise error
        said = {key: _sentence(error) for key, error in self.failures.items()}
        lines = [f"{key}: {text}" for key, text in said.items()][:_SHOWN]
        if len(said) > _SHOWN:
            lines.append(f"… and {len(said) - _SHOWN} more; each is in the checks of its partition.")
        done = "none is done" if not self.remaining else f"the other {len(self.remaining)} are done"
        title = f"{len(said)} of {len(self.partitions)} datasets failed; {done}."
        is_input = all(isinstance(error, InputError) for error in self.failures.values())
        raise dg.Failure(
            "\n".join([title, *lines]),
            metadata={FAILED: dg.MetadataValue.json(said), **({KIND: INPUT_KIND} if is_input else {})},
            allow_retries=False,
        )


def _sentence(error: Exception) -> str:
    text = error.description if isinstance(error, dg.Failure) else str(error)
    return text or type(error).__name__
