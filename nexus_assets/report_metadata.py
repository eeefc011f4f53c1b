"""Dagster metadata people read: tables of the first rows, links, and small plots."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

FIRST = 50
"""Rows of a long list that are shown."""


def table(rows: Sequence[Mapping[str, Any]]) -> dg.MetadataValue[Any]:
    """Show the first rows of a list.

    :param rows: Rows with the same keys.
    :return: A table, or a note that there is nothing.
    """
    if not rows:
        return dg.MetadataValue.text("none")
    records = [dg.TableRecord({key: _cell(value) for key, value in row.items()}) for row in rows[:FIRST]]
    columns = [dg.TableColumn(name, _kind(rows[0][name])) for name in rows[0]]
    return dg.MetadataValue.table(records=records, schema=dg.TableSchema(columns=columns))


def place(address: str) -> dg.MetadataValue[Any]:
    """Show where something is: a path, or a link when the address is one.

    :param address: Path or URL.
    :return: The value.
    """
    return dg.MetadataValue.url(address) if "://" in address else dg.MetadataValue.path(address)


def picture(png: bytes) -> dg.MetadataValue[Any]:
    """Show a picture.

    :param png: A small PNG.
    :return: Markdown with the picture in it.
    """
    import base64

    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(png).decode()})")


def _cell(value: Any) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def _kind(value: Any) -> str:
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float")):
        if isinstance(value, kind):
            return name
    return "string"
