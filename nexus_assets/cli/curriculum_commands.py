"""``nexus curriculum``: build, list, show, diff."""

from pathlib import Path
from typing import Any

import click

from nexus_assets.cli.examples import examples
from nexus_assets.cli.given_file import read_given
from nexus_assets.cli.output import print_json, print_pairs, print_rows, say
from nexus_assets.cli.runs import load_job, run_job
from nexus_assets.cli.session import Session, open_session
from nexus_assets.cli.suggestions import SuggestingGroup
from omics_datastore.errors import InputError
from omics_datastore.keys import make_curriculum_partition, parse_curriculum_partition
from omics_datastore.storage.layout import release_key, specification_key


@click.group(
    cls=SuggestingGroup,
    epilog=examples(
        "nexus curriculum build lung.yaml",
        "nexus curriculum list",
        "nexus curriculum show lung.v2 --json",
        "nexus curriculum diff lung",
    ),
)
def curriculum() -> None:
    """Build curricula and look at them."""


@curriculum.command()
@click.argument("specification", metavar="SPEC.yaml", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def build(specification: Path, as_json: bool) -> None:
    """Build the curriculum of a specification and print the path of its release."""
    session = open_session(writes=True)
    partition, state = build_curriculum(session, specification)
    release = session.store.uri(release_key(*parse_curriculum_partition(partition)))
    made = read_named_release(session, partition)
    left_out = made.left_out_not_primary
    if as_json:
        by_caps = [one.model_dump() for one in made.left_out_by_caps]
        left = {"left_out_not_primary": left_out, "left_out_by_caps": by_caps}
        print_json({"curriculum": partition, "state": state, "release": release, **left})
        return
    if left_out:
        say(f"{left_out:,} cells with is_primary_data false were left out; primary_only: false takes them.")
    for one in made.left_out_by_caps:
        say(f"{one.cells:,} cells were left out by a cap: {one.by}.")
    if state == "complete":
        say(f"{partition} is this specification on this data already; nothing was made again.")
    click.echo(release)


@curriculum.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def list_command(as_json: bool) -> None:
    """List curricula and their versions."""
    from omics_datastore.curriculum.versions import list_curricula

    session = open_session()
    rows = [_row(session, entry) for entry in list_curricula(session.store)]
    print_json(rows) if as_json else print_rows(
        rows, "no curricula yet; build one with nexus curriculum build SPEC.yaml"
    )


@curriculum.command()
@click.argument("name", metavar="NAME[.vN]")
@click.option("--split", metavar="SPLIT", help="Show how to load this split.")
@click.option(
    "--loader",
    metavar="LIBRARY",
    help="Print the program that loads it with this library, and nothing else: anndata, nexus, cellarium-ml, annbatch "
    "(of zarr shards), or measured-genes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the release as JSON.")
def show(name: str, split: str | None, loader: str | None, as_json: bool) -> None:
    """Show the release of a curriculum: its newest version, or the one that is named."""
    from omics_datastore.curriculum.loaders import placed_loader

    session = open_session()
    release = read_named_release(session, name)
    if as_json:
        print_json(release.model_dump(mode="json"))
        return
    program = placed_loader(release, loader or "anndata", session.store, split)
    if loader:
        click.echo(program)
        return
    folder = session.store.uri(release_key(release.name, release.version)).removesuffix("/release.json")
    print_pairs(
        {
            "curriculum": make_curriculum_partition(release.name, release.version),
            "folder": folder,
            "cells": release.total_cells,
            "left out, not primary": release.left_out_not_primary,
            **{f"left out, cap {n}": f"{one.cells} ({one.by})" for n, one in enumerate(release.left_out_by_caps, 1)},
            "shards": len(release.shards),
            "genes": release.feature_count,
            "features": release.feature_schema,
            "order": f"{release.order}, seed {release.seed}",
            "sources": len(release.ingests),
            "bytes": sum(shard.size for shard in release.shards),
        }
    )
    if release.splits:
        shown = ("name", "cells", "shards", "extract_metadata")
        rows = [{key: getattr(each, key) for key in shown} for each in release.splits]
        click.echo()
        print_rows([{"split": row.pop("name"), **row} for row in rows], "no splits")
    click.echo(f"\n{program}")


@curriculum.command()
@click.argument("name")
@click.argument("specification", metavar="[SPEC.yaml]", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def diff(name: str, specification: Path | None, as_json: bool) -> None:
    """Say what a new version would add or lose, without building it."""
    from omics_datastore.curriculum.difference import curriculum_difference, flat_rows
    from omics_datastore.curriculum.versions import parse_specification, read_dropped_specification

    session = open_session()
    if specification is None:
        asked = read_dropped_specification(session.store, name)
    else:
        asked = parse_specification(read_given(specification, "specification"), str(specification), name)
    found = curriculum_difference(asked, session.warehouse, session.store)
    if as_json:
        print_json({**found.model_dump(mode="json"), "changed": not found.is_empty})
        return
    if found.is_empty:
        click.echo(f"A new version would be {found.against} again.")
        return
    print_rows(flat_rows(found), "nothing")
    changed = f"; changed in the specification: {', '.join(found.specification_changed)}"
    click.echo(
        f"\n{found.against or 'No version'}: {found.total_cells[0]:,} cells in {found.bins[0]:,} bins; a new version: "
        f"{found.total_cells[1]:,} cells in {found.bins[1]:,} bins{changed if found.specification_changed else ''}."
    )


def build_curriculum(session: Session, path: Path) -> tuple[str, str]:
    """Build the curriculum of a specification file.

    :param session: The session.
    :param path: The specification.
    :return: Partition, and ``complete`` when it was there already or ``built``.
    :raise InputError: When the specification is wrong or selects nothing.
    """
    from nexus_assets.partitions import CURRICULA, add_partition
    from omics_datastore.curriculum.versions import parse_specification, resolve_version

    content = read_given(path, "specification")
    specification = parse_specification(content, str(path))
    version, state = resolve_version(specification, session.warehouse, session.store)
    partition = make_curriculum_partition(specification.name, version)
    if state != "complete":
        add_partition(session.instance, CURRICULA, partition)
        run_job(session, load_job(session, "build_curriculum"), partition, {})
    key = specification_key(specification.name)
    if session.store.stat(key) is None or session.store.read(key) != content:
        session.store.write(key, content)
    return partition, "complete" if state == "complete" else "built"


def read_named_release(session: Session, name: str) -> Any:
    """Read a release by curriculum, with or without its version.

    :param session: The session.
    :param name: ``NAME`` or ``NAME.vN``.
    :return: The release.
    :raise InputError: When there is no such release.
    """
    from omics_datastore.curriculum.release_model import read_release
    from omics_datastore.curriculum.versions import list_curricula

    entries = list_curricula(session.store)
    known = [entry for entry in entries if name in (entry.name, make_curriculum_partition(entry.name, entry.version))]
    released = [entry for entry in known if entry.state == "released"]
    if not released:
        names = sorted({entry.name for entry in entries})
        what = "is not released yet" if known else "does not exist"
        raise InputError(f"the curriculum {name!r} {what}; there are {', '.join(names) or 'none'}.")
    newest = max(released, key=lambda entry: entry.version)
    return read_release(session.store, newest.name, newest.version)


def _asker(session: Session, partition: str) -> str | None:
    """Return who asked for a version last, as far as this instance remembers."""
    if not session.has_instance:
        return None
    from nexus_assets.policy import REQUESTED_BY
    from nexus_assets.run_lookup import latest_run

    run = latest_run(session.instance, "build_curriculum", partition)
    return run.tags.get(REQUESTED_BY) if run is not None else None


def _row(session: Session, entry: Any) -> dict[str, Any]:
    partition = make_curriculum_partition(entry.name, entry.version)
    return {
        "curriculum": partition,
        "state": entry.state,
        "cells": entry.cells,
        "shards": f"{entry.shards} of {entry.bins}" if entry.bins is not None else None,
        "asked_by": _asker(session, partition),
    }
