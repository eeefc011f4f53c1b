"""``nexus ingest``: put files into the inbox and run the ingest, or the validation alone."""

from collections.abc import Sequence
from pathlib import Path

import click

from nexus_assets.cli.output import print_json, print_rows, say
from nexus_assets.cli.runs import load_job, run_job
from nexus_assets.cli.session import Session, open_session
from omics_datastore.errors import InputError
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.inbox import SUFFIX, read_drop
from omics_datastore.ingest.placement import place_in_inbox
from omics_datastore.ingest.validation_report import ValidationReport, read_validation_report
from omics_datastore.keys import check_key
from omics_datastore.storage.documents import parse_yaml
from omics_datastore.storage.layout import INBOX


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE|FOLDER…", type=click.Path(path_type=Path))
@click.option("--dataset", metavar="KEY", help="Dataset of all the files; by default the folder's or the file's name.")
@click.option(
    "--config", metavar="FILE", type=click.Path(path_type=Path), help="Configuration to put beside the files."
)
@click.option("--validate-only", is_flag=True, help="Check the files and ingest nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def ingest(paths: Sequence[Path], dataset: str | None, config: Path | None, validate_only: bool, as_json: bool) -> None:
    """Ingest .h5ad files, or folders of them, into the warehouse."""
    session = open_session(writes=True)
    if config is not None:
        parse_yaml(DatasetConfig, _content(config), str(config))
    results = []
    for key, files in group_by_dataset(paths, dataset).items():
        report = ingest_dataset(session, key, files, config, validate_only=validate_only)
        results.append(report)
        if not as_json:
            _print_report(report, validate_only=validate_only)
    if as_json:
        print_json([result.model_dump(mode="json") for result in results])


def ingest_dataset(
    session: Session, dataset: str, files: Sequence[Path], config: Path | None, *, validate_only: bool
) -> ValidationReport:
    """Put files into the inbox and run the job over their dataset; refused files do not stay there.

    :param session: The session.
    :param dataset: Dataset key.
    :param files: Source files.
    :param config: Configuration to put beside them.
    :param validate_only: Check only; the files do not stay in the inbox.
    :return: The report of all files of the dataset.
    :raise InputError: When a file is refused.
    """
    from nexus_assets.defs.ops.landing_sensor import observed_source_files
    from nexus_assets.partitions import DATASETS, add_partition
    from nexus_assets.policy import DROP

    job = load_job(session, "validate_dataset" if validate_only else "ingest_dataset")
    placement = place_in_inbox(session.store, dataset, files, config)
    try:
        drop = read_drop(session.store, dataset)
        add_partition(session.instance, DATASETS, dataset)
        session.instance.report_runless_asset_event(observed_source_files(drop))
        run_job(session, job, dataset, {DROP: drop.digest})
    except InputError as error:
        placement.undo()
        raise InputError(_as_named(str(error), session, dataset, files)) from error
    if validate_only:
        placement.undo()
    else:
        placement.keep()
    return read_validation_report(session.store, dataset)


def group_by_dataset(paths: Sequence[Path], dataset: str | None) -> dict[str, list[Path]]:
    """Say which files belong to which dataset.

    :param paths: Files and folders as somebody named them.
    :param dataset: Dataset of all of them, if given.
    :return: Files by dataset key, each list in order.
    :raise InputError: When a path is not there or of another kind, or a name is no key.
    """
    grouped: dict[str, list[Path]] = {}
    for path in paths:
        if path.is_dir():
            files = sorted(file for file in path.rglob(f"*{SUFFIX}") if not file.name.startswith("."))
            if not files:
                raise InputError(f"the folder {path} holds no {SUFFIX} file.")
            name = path.resolve().name
        elif path.is_file():
            if path.suffix != SUFFIX:
                raise InputError(f"{path} is not an {SUFFIX} file; convert it with anndata's write_h5ad.")
            files, name = [path], path.stem
        else:
            raise InputError(f"there is no file or folder {path}.")
        try:
            key = check_key("dataset", dataset if dataset is not None else name)
        except InputError as error:
            raise InputError(f"{str(error).rstrip('.')}; name the dataset with --dataset.") from error
        grouped.setdefault(key, []).extend(files)
    for key, files in grouped.items():
        names = [file.name for file in files]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"two files of the dataset {key!r} are called {twice}; rename one.")
    return grouped


def _as_named(message: str, session: Session, dataset: str, files: Sequence[Path]) -> str:
    """Name files as the user did, not as they were called in the inbox for a moment."""
    for file in files:
        message = message.replace(session.store.uri(f"{INBOX}{dataset}/{file.name}"), str(file))
    return message


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"the configuration {path} cannot be read: {error.strerror}.") from error


def _print_report(report: ValidationReport, *, validate_only: bool) -> None:
    rows = [
        {
            "file": Path(file.source.key).name,
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
            say(f"{finding.severity}: {Path(file.source.key).name}: {finding.message}")
    print_rows(rows, "no files")
    cells = sum(file.cell_count for file in report.files)
    done = "is valid" if validate_only else "is in the warehouse"
    click.echo(f"\nDataset {report.dataset} {done}: {cells:,} cells from {len(report.files)} files.")
