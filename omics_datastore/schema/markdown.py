"""The tables as Markdown for the documentation; ``python -m omics_datastore.schema.markdown`` prints them."""

import sys

from omics_datastore.schema.tables import TABLES


def tables_markdown() -> str:
    """Return a page with a section a table, each with a row a column.

    :return: Markdown, ending in a newline.
    """
    parts = ["# The tables", "", "The same in BigQuery and in the folder of a laptop. Written by `make docs`.", ""]
    for table in TABLES:
        parts += [f"## `{table.name}`", "", table.description, ""]
        parts.append(
            f"Primary key ({', '.join(table.primary_key)}); BigQuery clusters by {', '.join(table.clustering)}."
        )
        parts += ["", "| column | type | null | what it holds |", "|---|---|---|---|"]
        for column in table.columns:
            null = "yes" if column.nullable else "no"
            parts.append(f"| `{column.name}` | {column.type.value} | {null} | {_plain(column.description)} |")
        parts.append("")
    return "\n".join(parts)


def _plain(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(tables_markdown())
