"""``nexus datasets``: list and show what is in the warehouse."""

import click
import polars as pl

from nexus_assets.cli.output import print_json, print_pairs, print_rows
from nexus_assets.cli.session import open_session
from nexus_assets.cli.suggestions import SuggestingGroup
from omics_datastore.errors import InputError


@click.group(cls=SuggestingGroup)
def datasets() -> None:
    """Look at the datasets in the warehouse."""


@datasets.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def list_command(as_json: bool) -> None:
    """List the datasets."""
    current = open_session().warehouse.ingests().filter(pl.col("is_current"))
    summed = current.group_by("dataset").agg(
        pl.len().alias("ingests"),
        pl.col("cell_count").sum().alias("cells"),
        pl.col("nnz").sum().alias("nonzeros"),
        pl.col("committed_at").max().dt.strftime("%Y-%m-%d %H:%M UTC").alias("last commit"),
    )
    rows = summed.sort("dataset").to_dicts()
    print_json(rows) if as_json else print_rows(rows, "no datasets yet; add one with nexus ingest FILE")


@datasets.command()
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def show(key: str, as_json: bool) -> None:
    """Show the ingests of a dataset, superseded ones too."""
    session = open_session()
    everything = session.warehouse.ingests()
    ingests = everything.filter(pl.col("dataset") == key)
    if ingests.is_empty():
        known = sorted(set(everything["dataset"].to_list()))
        raise InputError(f"there is no dataset {key!r} in the warehouse; there are {', '.join(known) or 'none'}.")
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
    columns = ["ingest_id", "source_uri", "cell_count", "feature_count", "nnz", "is_current"]
    print_rows(ingests.select(columns).to_dicts(), "")
