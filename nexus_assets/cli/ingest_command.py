"""``nexus ingest``: put sources into the inbox and run the ingest, or the validation alone."""

from collections.abc import Sequence
from pathlib import Path

import click

from nexus_assets.cli.examples import examples
from nexus_assets.cli.given_file import read_given
from nexus_assets.cli.output import print_json, print_rows, say
from nexus_assets.cli.runs import load_job, run_job
from nexus_assets.cli.session import Session, open_session
from nexus_assets.cli.source_paths import NamedSource, group_by_dataset
from nexus_assets.cli.source_urls import fetched
from omics_datastore.errors import InputError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.inbox import read_drop
from omics_datastore.ingest.mappings import with_mapping
from omics_datastore.ingest.placement import place_in_inbox
from omics_datastore.ingest.source_kinds import source_name
from omics_datastore.ingest.validation_report import ValidationReport, read_validation_report
from omics_datastore.storage.documents import parse_yaml
from omics_datastore.storage.layout import INBOX


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
    results, refused = [], []
    with fetched(session.store, paths) as local:
        for key, sources in group_by_dataset(local, dataset).items():
            try:
                report = ingest_dataset(session, key, sources, config, validate_only=validate_only)
            except InputError as error:  # the other datasets do not suffer from it
                refused.append(str(error))
                continue
            results.append(report)
            if not as_json:
                _print_report(report, validate_only=validate_only)
    if as_json and results:
        print_json([result.model_dump(mode="json") for result in results])
    if refused:
        raise InputError("\n".join(refused))


def ingest_dataset(
    session: Session, dataset: str, sources: Sequence[NamedSource], config: Path | None, *, validate_only: bool
) -> ValidationReport:
    """Put sources into the inbox and run the job over their dataset; refused files do not stay there.

    :param session: The session.
    :param dataset: Dataset key.
    :param sources: The sources.
    :param config: Configuration to put beside them.
    :param validate_only: Check only; the files do not stay in the inbox.
    :return: The report of all files of the dataset.
    :raise InputError: When a file is refused.
    """
    from nexus_assets.defs.ops.landing_sensor import observed_source_files
    from nexus_assets.partitions import DATASETS, add_partition
    from nexus_assets.policy import DROP

    job = load_job(session, "validate_dataset" if validate_only else "ingest_dataset")
    files = {name: file for source in sources for name, file in source.files.items()}
    placement = place_in_inbox(session.store, dataset, files, config)
    try:
        drop = read_drop(session.store, dataset)
        add_partition(session.instance, DATASETS, dataset)
        session.instance.report_runless_asset_event(observed_source_files(drop))
        run_job(session, job, dataset, {DROP: drop.digest})
    except InputError as error:
        placement.undo()
        raise InputError(_as_named(str(error), session, dataset, sources)) from error
    if validate_only:
        placement.undo()
    else:
        placement.keep()
    return read_validation_report(session.store, dataset)


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
