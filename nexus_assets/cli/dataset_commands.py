"""``nexus datasets``: list and show what is in the warehouse, and retire a dataset."""

import sys

import click
import polars as pl

from nexus_assets.cli.examples import examples
from nexus_assets.cli.output import print_json, print_pairs, print_rows, say
from nexus_assets.cli.session import open_session
from nexus_assets.cli.suggestions import SuggestingGroup
from omics_datastore.errors import InputError


@click.group(
    cls=SuggestingGroup,
    epilog=examples(
        "nexus datasets list",
        "nexus datasets show lung --json",
        "nexus datasets retire lung --yes",
    ),
)
def datasets() -> None:
    """Look at the datasets in the warehouse, and retire one."""


@datasets.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def list_command(as_json: bool) -> None:
    """List the datasets."""
    from omics_datastore.ingest.sidecars import read_sidecars

    session = open_session()
    current = session.warehouse.ingests().filter(pl.col("is_current"))
    summed = current.group_by("dataset").agg(
        pl.len().alias("ingests"),
        pl.col("cell_count").sum().alias("cells"),
        pl.col("nnz").sum().alias("nonzeros"),
        pl.col("committed_at").max().dt.strftime("%Y-%m-%d %H:%M UTC").alias("last commit"),
    )
    said = {name: content.get("description") for name, content in read_sidecars(session.store).items()}
    rows = [{**row, "description": said.get(row["dataset"])} for row in summed.sort("dataset").to_dicts()]
    print_json(rows) if as_json else print_rows(rows, "no datasets yet; add one with nexus ingest FILE")


@datasets.command()
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def show(key: str, as_json: bool) -> None:
    """Show the ingests of a dataset, superseded ones too."""
    session = open_session()
    ingests = _ingests_of(session.warehouse.ingests(), key)
    if as_json:
        print_json(ingests.to_dicts())
        return
    current = ingests.filter(pl.col("is_current"))
    print_pairs(
        {
            "dataset": key,
            "cells": int(current["cell_count"].sum()),
            "nonzeros": int(current["nnz"].sum()),
            "organism": sorted({name for name in current["organism"].to_list() if name}),
        }
    )
    click.echo()
    state = (
        pl.when("is_current").then(pl.lit("current")).when(pl.col("retired_at").is_not_null()).then(pl.lit("retired"))
    )
    columns = ["ingest_id", "source_uri", "cell_count", "feature_count", "nnz", "state"]
    shown = ingests.with_columns(state=state.otherwise(pl.lit("superseded")))
    print_rows(shown.select(columns).to_dicts(), "")


@datasets.command()
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask; a script must say so.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def retire(key: str, yes: bool, as_json: bool) -> None:
    """Hide a dataset from new curricula and counts; ingest it again to bring it back."""
    from omics_datastore.curriculum.pins import pinned_ingests

    session = open_session()
    current = _ingests_of(session.warehouse.ingests(), key).filter("is_current")
    ids = set(current["ingest_id"].to_list())
    pinned = sorted(
        {name for ingest_id, names in pinned_ingests(session.store).items() if ingest_id in ids for name in names}
    )
    if ids and not yes:
        if not sys.stdin.isatty():
            raise InputError(f"retiring {key!r} hides {len(ids)} ingests; say --yes to do it.")
        cells = int(current["cell_count"].sum())
        click.confirm(f"Hide {len(ids)} ingests with {cells:,} cells from new curricula and counts?", abort=True)
    retired = session.warehouse.retire([key], session.store.now())
    if as_json:
        print_json({"dataset": key, "retired": list(retired), "still_pinned_by": pinned})
        return
    for name in pinned:
        say(f"{name} was made from it and can still be rebuilt.")
    click.echo(f"{key}: {len(retired)} ingests retired." if retired else f"{key} is retired already.")


def _ingests_of(everything: pl.DataFrame, key: str) -> pl.DataFrame:
    ingests = everything.filter(pl.col("dataset") == key)
    if ingests.is_empty():
        known = sorted(set(everything["dataset"].to_list()))
        raise InputError(f"there is no dataset {key!r} in the warehouse; there are {', '.join(known) or 'none'}.")
    return ingests
