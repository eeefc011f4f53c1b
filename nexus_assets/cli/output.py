"""What commands print: tables for people, JSON for machines, and nothing else on standard output."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from omics_datastore.shown_text import printable


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output.

    :param value: A JSON value; dates become text.
    """
    click.echo(printable(json.dumps(value, indent=2, ensure_ascii=False, default=str), keep="\n"))


def print_rows(rows: Sequence[Mapping[str, Any]], empty: str) -> None:
    """Print rows as a table.

    :param rows: Rows with the same keys.
    :param empty: What to say when there are none.
    """
    if not rows:
        click.echo(empty)
        return
    names = list(rows[0])
    cells = [[_text(row[name]) for name in names] for row in rows]
    widths = [max(len(name), *(len(row[place]) for row in cells)) for place, name in enumerate(names)]
    numeric = [all(isinstance(row[name], int | float) or row[name] is None for row in rows) for name in names]
    click.echo(_line(names, widths, numeric))
    click.echo("  ".join("─" * width for width in widths))
    for row in cells:
        click.echo(_line(row, widths, numeric))


def print_pairs(pairs: Mapping[str, Any]) -> None:
    """Print names and values below each other.

    :param pairs: Values by name.
    """
    width = max(len(name) for name in pairs)
    for name, value in pairs.items():
        click.echo(f"{printable(name).ljust(width)}  {_text(value)}")


def say(message: str) -> None:
    """Tell a person something on standard error.

    :param message: One line.
    """
    click.echo(printable(message, keep="\n"), file=sys.stderr)


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    parts = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return "  ".join(parts).rstrip()


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value)
    return printable(str(value))
