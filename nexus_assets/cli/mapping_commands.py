"""``nexus mapping``: column mappings that datasets share by name."""

from pathlib import Path

import click

from nexus_assets.cli.examples import examples
from nexus_assets.cli.given_file import read_given
from nexus_assets.cli.output import print_json, print_rows
from nexus_assets.cli.session import open_session
from nexus_assets.cli.suggestions import SuggestingGroup


@click.group(
    cls=SuggestingGroup,
    epilog=examples(
        "nexus mapping add atlas atlas.yaml",
        "nexus mapping list",
        "nexus mapping show atlas",
    ),
)
def mapping() -> None:
    """Manage column mappings that datasets share: a sidecar names one with 'mapping: NAME'."""


@mapping.command(
    epilog="FILE.yaml holds obs_mapping: {celltype: cell_type, index: original_id} and var_mapping: {gene_ids: "
    "ensembl_id}, either or both: source column (or index) to warehouse column."
)
@click.argument("name")
@click.argument("file", metavar="FILE.yaml", type=click.Path(path_type=Path))
def add(name: str, file: Path) -> None:
    """Add a column mapping from a YAML file, or put another in its place."""
    from omics_datastore.ingest.mappings import add_mapping, load_mapping, mapping_users

    session = open_session(writes=True)
    content = read_given(file, "column mapping")
    changed = add_mapping(session.store, name, content, str(file))
    added = load_mapping(session.store, name)
    click.echo(
        f"Column mapping {name}: {len(added.obs_mapping)} columns of obs, {len(added.var_mapping)} of var"
        f"{'' if changed else ', as it was'}."
    )
    users = mapping_users(session.store).get(name, [])
    if changed and users:
        click.echo(f"Named by {', '.join(users)}: ingest these datasets again to make use of it.")


@mapping.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def list_command(as_json: bool) -> None:
    """List the column mappings and the datasets of the inbox that name them."""
    from omics_datastore.ingest.mappings import list_mappings, load_mapping, mapping_users

    store = open_session().store
    users = mapping_users(store)
    rows = []
    for name in list_mappings(store):
        found = load_mapping(store, name)
        sizes = {"obs columns": len(found.obs_mapping), "var columns": len(found.var_mapping)}
        rows.append({"mapping": name, **sizes, "datasets": users.get(name, [])})
    print_json(rows) if as_json else print_rows(
        rows, "no column mappings yet; add one with nexus mapping add NAME FILE.yaml"
    )


@mapping.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def show(name: str, as_json: bool) -> None:
    """Show which source column a mapping sends where."""
    from omics_datastore.ingest.mappings import load_mapping

    found = load_mapping(open_session().store, name)
    if as_json:
        print_json(found.model_dump())
        return
    pairs = (("obs", found.obs_mapping), ("var", found.var_mapping))
    rows = [
        {"frame": frame, "source column": source, "warehouse column": target}
        for frame, columns in pairs
        for source, target in columns.items()
    ]
    print_rows(rows, "nothing")


@mapping.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a column mapping that no dataset of the inbox names."""
    from omics_datastore.ingest.mappings import remove_mapping

    remove_mapping(open_session(writes=True).store, name)
    click.echo(f"Column mapping {name} is removed; ingests made with it stay as they are.")
