"""``nexus schema``: add, list, show, export and remove feature schemas."""

from pathlib import Path

import click

from nexus_assets.cli.examples import examples
from nexus_assets.cli.given_file import read_given
from nexus_assets.cli.output import print_json, print_rows
from nexus_assets.cli.runs import load_job, run_job
from nexus_assets.cli.session import open_session
from nexus_assets.cli.suggestions import SuggestingGroup
from omics_datastore.errors import InputError

_FIRST = 10


@click.group(
    cls=SuggestingGroup,
    epilog=examples(
        "nexus schema add protein-coding genes.csv",
        "nexus schema show protein-coding",
        "nexus schema export protein-coding genes.csv",
        "nexus schema remove protein-coding",
    ),
)
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
    content = read_given(csv, "feature schema")
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
@click.option("--json", "as_json", is_flag=True, help="Print all features, and what was measured, as JSON.")
def show(name: str, as_json: bool) -> None:
    """Show the first features of a schema, and how many of its genes each dataset measured."""
    from omics_datastore.curriculum.feature_schema import load_feature_schema
    from omics_datastore.curriculum.schema_measured import measured_by_dataset

    session = open_session()
    found = load_feature_schema(session.store, name)
    features = found.features
    measured = measured_by_dataset(found, session.warehouse).to_dicts()
    if as_json:
        print_json({"features": features.to_dicts(), "measured": measured})
        return
    print_rows(features.head(_FIRST).to_dicts(), "no features")
    if features.height > _FIRST:
        click.echo(f"… and {features.height - _FIRST:,} more; nexus schema export {name} writes all")
    click.echo()
    print_rows(
        [
            {
                "dataset": row["dataset"],
                "ingests": row["ingests"],
                "measured": row["measured"],
                "measured by all ingests": row["measured_by_all"],
                "of": features.height,
            }
            for row in measured
        ],
        "no datasets yet that could have measured them",
    )


@schema.command()
@click.argument("name")
@click.argument("csv", metavar="[FILE.csv]", required=False, type=click.Path(path_type=Path))
def export(name: str, csv: Path | None) -> None:
    """Write a schema as CSV, in its order, to a file or to standard output."""
    from omics_datastore.curriculum.feature_schema import feature_schema_csv, load_feature_schema

    found = load_feature_schema(open_session().store, name)
    text = feature_schema_csv(found)
    if csv is None:
        click.echo(text, nl=False)
        return
    try:
        csv.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{csv} cannot be written: {error.strerror}.") from error
    click.echo(f"{csv}: {found.features.height:,} features.")


@schema.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a schema; curricula that were planned with it stay, and can be built again."""
    from nexus_assets.partitions import FEATURE_SCHEMAS
    from nexus_assets.run_lookup import unfinished_run
    from omics_datastore.curriculum.feature_schema import remove_feature_schema

    session = open_session(writes=True)
    if unfinished_run(session.instance, "register_feature_schema", name) is not None:
        raise InputError(f"a run over the feature schema {name} has not ended; wait for it.")
    users = remove_feature_schema(session.store, name)
    session.instance.delete_dynamic_partition(str(FEATURE_SCHEMAS.name), name)
    click.echo(f"Feature schema {name} is removed.")
    if users:
        click.echo(f"New versions of {', '.join(users)} would need it; those there are have their genes.")
