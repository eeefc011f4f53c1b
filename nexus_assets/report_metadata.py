"""Dagster metadata people read: tables of the first rows, links, and small plots."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import dagster as dg

from nexus_assets.markdown_text import web_link
from omics_datastore.shown_text import masked, printable

_CONSOLE = "https://console.cloud.google.com"
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


def place(address: str, *, folder: bool = False) -> dg.MetadataValue[Any]:
    """Show where something is: a path, or a link; what is in a bucket or in BigQuery opens in the Cloud Console.

    :param address: Path, URL, ``gs://…`` or ``bigquery://…``.
    :param folder: Whether an address in a bucket is a folder's.
    :return: The value; text where the address is of another kind, which nobody should follow.
    """
    if "://" not in address:
        return dg.MetadataValue.path(printable(address))
    link = web_link(console_link(address, folder=folder))
    return dg.MetadataValue.text(printable(masked(address))) if link is None else dg.MetadataValue.url(link)


def console_link(address: str, *, folder: bool) -> str:
    """Return the page of the Cloud Console for an address.

    :param address: ``gs://<bucket>/<name>``, ``bigquery://<project>/<dataset>?…``, or another URL, which stays.
    :param folder: Whether an address in a bucket is a folder's.
    :return: A link.
    """
    scheme, _, rest = address.partition("://")
    owner, _, name = rest.partition("/")
    if scheme == "gs":
        page = "browser" if folder else "browser/_details"
        return f"{_CONSOLE}/storage/{page}/{quote(owner)}/{quote(name.strip('/'))}".rstrip("/")
    if scheme == "bigquery":
        project, dataset = quote(owner), quote(name.partition("?")[0])
        return f"{_CONSOLE}/bigquery?project={project}&ws=!1m4!1m3!3m2!1s{project}!2s{dataset}"
    return address


def picture(png: bytes) -> dg.MetadataValue[Any]:
    """Show a picture.

    :param png: A small PNG.
    :return: Markdown with the picture in it.
    """
    import base64

    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(png).decode()})")


def _cell(value: Any) -> str | int | float | bool | None:
    if isinstance(value, int | float | bool) or value is None:
        return value
    return printable(masked(str(value)))


def _kind(value: Any) -> str:
    for kind, name in ((bool, "bool"), (int, "int"), (float, "float")):
        if isinstance(value, kind):
            return name
    return "string"
