"""``nexus schema``: add, list and show feature schemas."""

from pathlib import Path

import click

from nexus_assets.cli.output import print_json, print_rows
from nexus_assets.cli.runs import load_job, run_job
from nexus_assets.cli.session import open_session
from nexus_assets.cli.suggestions import SuggestingGroup
from omics_datastore.errors import InputError

_FIRST = 10


@click.group(cls=SuggestingGroup)
def schema() -> None:
    """Manage feature schemas: named, ordered gene lists."""


@schema.command()
@click.argument("name")
@click.argument("csv", metavar="FILE.csv", type=click.Path(path_type=Path))
def add(name: str, csv: Path) -> None:
    """Add a feature schema from a CSV file with the columns ensembl_id and symbol."""
    from nexus_assets.partitions import FEATURE_SCHEMAS, add_partition
    from omics_datastore.curriculum.feature_schema import add_feature_schema

    session = open_session(writes=True)
    try:
        content = csv.read_bytes()
    except OSError as error:
        raise InputError(f"{csv} cannot be read: {error.strerror}.") from error
    added = add_feature_schema(session.store, name, content)
    add_partition(session.instance, FEATURE_SCHEMAS, name)
    run_job(session, load_job(session, "register_feature_schema"), name, {})
    click.echo(f"Feature schema {name}: {added.features.height:,} features.")


@schema.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def list_command(as_json: bool) -> None:
    """List the feature schemas."""
    from omics_datastore.curriculum.feature_schema import list_feature_schemas, load_feature_schema

    session = open_session()
    rows = []
    for name in list_feature_schemas(session.store):
        found = load_feature_schema(session.store, name)
        rows.append({"schema": name, "features": found.features.height, "digest": found.digest()[:12]})
    print_json(rows) if as_json else print_rows(
        rows, "no feature schemas yet; add one with nexus schema add NAME FILE.csv"
    )


@schema.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print all features as JSON.")
def show(name: str, as_json: bool) -> None:
    """Show the first features of a schema."""
    from omics_datastore.curriculum.feature_schema import load_feature_schema

    features = load_feature_schema(open_session().store, name).features
    if as_json:
        print_json(features.to_dicts())
        return
    print_rows(features.head(_FIRST).to_dicts(), "no features")
    if features.height > _FIRST:
        click.echo(f"… and {features.height - _FIRST:,} more")
