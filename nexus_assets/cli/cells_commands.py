"""``nexus cells``: count, describe and list values of the cells in the warehouse, before anything is built."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import polars as pl
from pydantic import ValidationError

from nexus_assets.cli.examples import examples
from nexus_assets.cli.given_file import read_given
from nexus_assets.cli.output import print_json, print_pairs, print_rows, say
from nexus_assets.cli.session import Session, open_session
from nexus_assets.cli.suggestions import SuggestingGroup
from omics_datastore.errors import InputError
from omics_datastore.query.filter_text import parse_filter, parse_part
from omics_datastore.query.filters import CellFilter, Part
from omics_datastore.storage.documents import describe as in_words
from omics_datastore.storage.yaml_text import load_yaml

if TYPE_CHECKING:
    import ibis.expr.types as ir

_WHERE = click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help='For example "tissue == lung", or nested "{any: [{tissue__eq: lung}, {donor_id__is_null: true}]}"; repeat '
    "for more, all must hold.",
)
_FILTER = click.option(
    "--filter",
    "filter_file",
    metavar="FILE.yaml",
    type=click.Path(path_type=Path),
    help="A filter, or a curriculum's specification: its filter and primary_only are taken, not its caps and split; "
    "--where adds to it.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group(
    cls=SuggestingGroup,
    epilog=examples(
        "nexus cells columns",
        'nexus cells count --where "tissue in lung, blood" --by dataset',
        "nexus cells describe --filter lung.yaml",
        'nexus cells values cell_type --where "donor_id is not null"',
        "nexus cells duplicates",
    ),
)
def cells() -> None:
    """Ask about the cells in the warehouse."""


@cells.command()
@_WHERE
@_FILTER
@click.option("--by", multiple=True, metavar="COLUMN", help="Count for every value of a column; repeat for more.")
@_JSON
def count(where: Sequence[str], filter_file: Path | None, by: Sequence[str], as_json: bool) -> None:
    """Count cells."""
    from omics_datastore.query.cells import count_by, count_cells

    session = open_session()
    chosen = select(session, where, filter_file)
    if by:
        rows = session.warehouse.query(count_by(chosen, by)).to_dicts()
        print_json(rows) if as_json else print_rows(rows, "no cells")
        return
    number = int(session.warehouse.query(count_cells(chosen))["cells"][0])
    print_json({"cells": number}) if as_json else click.echo(number)


@cells.command()
@_WHERE
@_FILTER
@_JSON
def describe(where: Sequence[str], filter_file: Path | None, as_json: bool) -> None:
    """Sum cells up: how many, from where, how deep."""
    from omics_datastore.query.cells import describe_cells

    session = open_session()
    row = session.warehouse.query(describe_cells(select(session, where, filter_file))).to_dicts()[0]
    print_json(row) if as_json else print_pairs({name.replace("_", " "): value for name, value in row.items()})


@cells.command()
@click.argument("column")
@_WHERE
@_FILTER
@_JSON
def values(column: str, where: Sequence[str], filter_file: Path | None, as_json: bool) -> None:
    """List the values of a column with their cells."""
    from omics_datastore.query.cells import column_values

    session = open_session()
    rows = session.warehouse.query(column_values(select(session, where, filter_file), column)).to_dicts()
    print_json(rows) if as_json else print_rows(rows, "no cells")


@cells.command()
@_JSON
def columns(as_json: bool) -> None:
    """List the columns that a filter may name, with their types and the operators they take."""
    from omics_datastore.query.columns import filter_columns

    rows = filter_columns()
    print_json(rows) if as_json else print_rows(rows, "no columns")


@cells.command()
@click.option("--min-genes", default=20, show_default=True, help="Compare cells with at least so many genes.")
@_JSON
def duplicates(min_genes: int, as_json: bool) -> None:
    """Find the same cell in two datasets, by its counts; reads all counts."""
    from omics_datastore.duplicates import find_shared_cells

    found = find_shared_cells(open_session().warehouse, least_features=min_genes)
    if as_json:
        print_json([pair.model_dump() for pair in found])
        return
    rows = [{**pair.model_dump(exclude={"examples"}), "for example": " = ".join(pair.examples[0])} for pair in found]
    print_rows(rows, "no two datasets share a cell")


def select(session: Session, where: Sequence[str], filter_file: Path | None = None) -> "ir.Table":
    """Select cells of the current ingests.

    :param session: The session.
    :param where: Conditions as somebody wrote them; all must hold.
    :param filter_file: File with a filter that must hold too.
    :return: The cells, as an expression.
    :raise InputError: When a condition cannot be read.
    """
    from omics_datastore.query.cells import selected_cells

    given = CellFilter() if filter_file is None else _read(filter_file)
    conditions = (*given.conditions, *(_part(text) for text in where))
    current = session.warehouse.ingests().filter(pl.col("is_current"))["ingest_id"].to_list()
    return selected_cells(CellFilter(conditions=conditions), current)


def _read(path: Path) -> CellFilter:
    from omics_datastore.curriculum.versions import parse_specification

    text = read_given(path, "filter")
    try:
        content = load_yaml(text)
    except ValueError:
        content = None  # said below
    if not isinstance(content, dict) or "name" not in content:
        return parse_filter(text, str(path))
    specification = parse_specification(text, str(path))
    if specification.caps or specification.split:
        name = specification.name
        say(f"The caps and the split of {name} are not applied; nexus curriculum diff {name} {path} does that.")
    return specification.cell_filter


def _part(text: str) -> Part:
    try:
        return parse_part(text)
    except ValidationError as error:
        raise InputError(f"{in_words(error)}.") from error
    except ValueError as error:
        raise InputError(f"{error}.") from error
