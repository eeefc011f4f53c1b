"""``nexus sql``: one statement in the BigQuery dialect over the warehouse; it can only read."""

import click
import polars as pl

from nexus_assets.cli.output import print_json, print_rows, say
from nexus_assets.cli.session import open_session
from omics_datastore.errors import InputError
from omics_datastore.shown_text import spreadsheet_text


@click.command()
@click.argument("statement")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(min=1), help="Rows to print at most.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV, with an apostrophe before formulas.")
def sql(statement: str, limit: int, as_json: bool, as_csv: bool) -> None:
    """Ask the warehouse in the SQL of BigQuery; only reading is allowed.

    The tables are ingest_info, cell_info, feature_info and raw_counts, and the view raw_counts_coo with one row a
    nonzero count.
    """
    if as_json and as_csv:
        raise InputError("--json and --csv exclude each other; choose one.")
    result = open_session().warehouse.sql(statement, limit)
    rows = result.rows
    if as_csv:
        nested = [name for name, kind in rows.schema.items() if kind.is_nested()]
        if nested:
            raise InputError(f"{nested[0]} holds lists, which CSV cannot; use --json or UNNEST it.")
        texts = [name for name, kind in rows.schema.items() if kind == pl.String]
        click.echo(
            rows.with_columns(pl.col(texts).map_elements(spreadsheet_text, pl.String) if texts else []).write_csv(),
            nl=False,
        )
    elif as_json:
        print_json(rows.to_dicts())
    else:
        print_rows(rows.to_dicts(), "no rows")
    if result.is_cut:
        say(f"nexus: only the first {limit} rows; there are more (--limit).")
