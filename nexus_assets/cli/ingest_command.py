"""``nexus ingest``: put sources into the inbox and run the ingest, or the validation alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nexus_assets.cli.examples import examples
from nexus_assets.cli.given_file import read_given
from nexus_assets.cli.output import print_json, print_rows, say
from nexus_assets.cli.runs import RunFailedError, load_job, partition_failures, run_job
from nexus_assets.cli.session import Session, open_session
from nexus_assets.cli.source_paths import NamedSource, group_by_dataset
from nexus_assets.cli.source_urls import fetched
from omics_datastore.errors import InputError, NexusError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.inbox import Drop, read_drop
from omics_datastore.ingest.mappings import with_mapping
from omics_datastore.ingest.placement import Placement, place_in_inbox
from omics_datastore.ingest.source_kinds import source_name
from omics_datastore.ingest.validation_report import ValidationReport, read_validation_report
from omics_datastore.storage.documents import parse_yaml
from omics_datastore.storage.layout import INBOX

if TYPE_CHECKING:
    import dagster as dg


@click.command(
    epilog=examples(
        "nexus ingest lung.h5ad blood.h5ad",
        "nexus ingest run7/ --dataset atlas --config atlas.yaml",
        'nexus ingest "gs://my-bucket/atlas/*.zarr" --dataset atlas',
        "nexus ingest run7/ --validate-only",
    )
)
@click.argument("paths", nargs=-1, required=True, metavar="FILE|FOLDER|URL…")
@click.option("--dataset", metavar="KEY", help="Dataset of all the files; by default the folder's or the file's name.")
@click.option(
    "--config", metavar="FILE", type=click.Path(path_type=Path), help="Configuration to put beside the files."
)
@click.option("--validate-only", is_flag=True, help="Check the files and ingest nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def ingest(paths: Sequence[str], dataset: str | None, config: Path | None, validate_only: bool, as_json: bool) -> None:
    """Ingest .h5ad files, or folders of them, into the warehouse.

    Also .h5ad.gz, 10x .h5, matrix-market folders, AnnData .zarr and .zarr.zip; gs:// and file:// URLs, with * in
    them, and keys of the store.
    """
    session = open_session(writes=True)
    if config is not None:
        with_mapping(
            session.store, parse_yaml(DatasetConfig, read_given(config, "configuration"), str(config)), str(config)
        )
    results, failed = [], []
    with fetched(session.store, paths) as local:
        for outcome in ingest_datasets(session, group_by_dataset(local, dataset), config, validate_only=validate_only):
            if isinstance(outcome, NexusError):  # the other datasets do not suffer from it
                failed.append(outcome)
                continue
            results.append(outcome)
            if not as_json:
                _print_report(outcome, validate_only=validate_only)
    if as_json and results:
        print_json([result.model_dump(mode="json") for result in results])
    if failed:
        sentences = [line for error in failed for line in str(error).splitlines()]
        if all(isinstance(error, InputError) for error in failed):
            raise InputError(*sentences)
        raise RunFailedError("\n".join(sentences))


def ingest_datasets(
    session: Session, datasets: Mapping[str, Sequence[NamedSource]], config: Path | None, *, validate_only: bool
) -> Iterator[ValidationReport | NexusError]:
    """Put sources into the inbox and run the job over their datasets; refused files do not stay there.

    :param session: The session.
    :param datasets: The sources of each dataset.
    :param config: Configuration to put beside them.
    :param validate_only: Check only; the files do not stay in the inbox.
    :return: The report of all files of each dataset, or why it failed.
    """
    from nexus_assets.batches import divide
    from nexus_assets.defs.ops.landing_sensor import observed_source_files
    from nexus_assets.partitions import DATASETS, add_partitions

    job = load_job(session, "validate_dataset" if validate_only else "ingest_dataset")
    placed: dict[str, _Placed] = {}
    for dataset, sources in datasets.items():
        try:
            placed[dataset] = _place(session, dataset, sources, config)
        except InputError as error:
            yield InputError(*_as_named(str(error), session, dataset, sources).splitlines())
    if not placed:
        return
    add_partitions(session.instance, DATASETS, sorted(placed))
    for each in placed.values():
        session.instance.report_runless_asset_event(observed_source_files(each.drop))
    sizes = {dataset: sum(source.size for source in each.drop.sources) for dataset, each in placed.items()}
    for batch in divide(session.instance.get_dynamic_partitions(str(DATASETS.name)), sizes):
        lost = _run(session, job, {dataset: placed[dataset] for dataset in batch})
        failed = partition_failures(lost, batch) if lost is not None else {}
        for dataset in filter(set(batch).__contains__, datasets):  # in the order in which they were named
            if dataset not in failed:
                (placed[dataset].files.undo if validate_only else placed[dataset].files.keep)()
                yield read_validation_report(session.store, dataset)
            elif lost is not None:
                if isinstance(lost, InputError):
                    placed[dataset].files.undo()
                said = _as_named(failed[dataset], session, dataset, datasets[dataset])
                yield InputError(*said.splitlines()) if isinstance(lost, InputError) else RunFailedError(said)


@dataclass(frozen=True)
class _Placed:
    """A dataset that was put into the inbox."""

    files: Placement
    drop: Drop


def _place(session: Session, dataset: str, sources: Sequence[NamedSource], config: Path | None) -> _Placed:
    files = {name: file for source in sources for name, file in source.files.items()}
    placement = place_in_inbox(session.store, dataset, files, config)
    try:
        return _Placed(placement, read_drop(session.store, dataset))
    except InputError:
        placement.undo()
        raise


def _run(session: Session, job: "dg.JobDefinition", batch: Mapping[str, _Placed]) -> NexusError | None:
    """Run the job over datasets, and return why it failed."""
    from nexus_assets.batches import batch_tags
    from nexus_assets.policy import DROP

    names = list(batch)
    try:
        if len(names) == 1:
            run_job(session, job, names[0], {DROP: batch[names[0]].drop.digest})
        else:
            run_job(session, job, None, batch_tags(names))
    except (InputError, RunFailedError) as error:
        return error
    return None


def _as_named(message: str, session: Session, dataset: str, sources: Sequence[NamedSource]) -> str:
    """Name sources as the user did, not as they were called in the inbox for a moment."""
    for source in sources:
        message = message.replace(session.store.uri(f"{INBOX}{dataset}/{source.name}"), source.shown)
    return message


def _print_report(report: ValidationReport, *, validate_only: bool) -> None:
    rows = [
        {
            "file": source_name(file.source.key),
            "ingest": file.ingest_id,
            "cells": file.cell_count,
            "features": file.feature_count,
            "nonzeros": file.nnz,
            "counts from": file.counts_from,
        }
        for file in report.files
    ]
    for file in report.files:
        for finding in file.findings:
            say(f"{finding.severity}: {source_name(file.source.key)}: {finding.message}")
    print_rows(rows, "no files")
    cells = sum(file.cell_count for file in report.files)
    done = "is valid" if validate_only else "is in the warehouse"
    click.echo(f"\nDataset {report.dataset} {done}: {cells:,} cells from {len(report.files)} files.")
