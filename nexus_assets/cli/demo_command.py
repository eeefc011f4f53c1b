"""``nexus demo``: from sample data to a curriculum, the way a user would go it."""

from pathlib import Path

import click
import yaml

from nexus_assets.cli.curriculum_commands import build_curriculum, read_named_release
from nexus_assets.cli.ingest_command import ingest_datasets
from nexus_assets.cli.output import print_rows, say
from nexus_assets.cli.session import Session, open_session
from nexus_assets.cli.source_paths import LocalPath, group_by_dataset
from omics_datastore.errors import NexusError

_SPECIFICATION = {
    "name": "demo",
    "filter": [{"column": "total_mrna_umis", "op": "gte", "value": 100}],
    "features": "union",
    "obs_columns": ["cell_type", "tissue", "donor_id", "assay", "dataset"],
    "bin_size": 500,
    "seed": 1,
}


@click.command()
@click.option("--cells", default=3000, show_default=True, help="Cells of the sample.")
def demo(cells: int) -> None:
    """Make sample data if there is none, ingest it and build a curriculum from it."""
    from omics_datastore.curriculum.loaders import placed_loader

    session = open_session(writes=True)
    folder = _sample(session, cells)
    folders = [LocalPath(path, str(path)) for path in sorted(folder.iterdir()) if path.is_dir()]
    datasets = group_by_dataset(folders, None)
    say(f"Ingesting {', '.join(datasets)}: {sum(map(len, datasets.values()))} source files …")
    for outcome in ingest_datasets(session, datasets, None, validate_only=False):
        if isinstance(outcome, NexusError):
            raise outcome
        say(f"  {outcome.dataset}: {sum(file.cell_count for file in outcome.files):,} cells are in the warehouse.")
    specification = folder / "demo.yaml"
    specification.write_text(yaml.safe_dump(_SPECIFICATION, sort_keys=False))
    say("Building the curriculum demo …")
    partition, _ = build_curriculum(session, specification)
    release = read_named_release(session, partition)
    print_rows(
        [
            {"shard": shard.file, "cells": shard.cells, "nonzeros": shard.nnz, "bytes": shard.size}
            for shard in release.shards
        ],
        "",
    )
    click.echo(
        f"\n{release.total_cells:,} cells x {release.feature_count:,} genes from {len(release.ingests)} source files"
    )
    click.echo(f"in {session.store.uri(f'extracts/{release.name}/v{release.version}')}\n\nLoad it:\n")
    click.echo(placed_loader(release, "anndata", session.store))
    click.echo("\nLook around: nexus up")


def _sample(session: Session, cells: int) -> Path:
    from nexus_assets.sample_data import make_sample

    folder = (session.settings.dagster_path if session.settings.is_gcp else session.settings.root_path) / "sample"
    done = folder / ".done"
    if not done.exists():
        say(f"Making sample data in {folder} …")
        make_sample(folder, cells)
        done.touch()
    return folder
