"""The tables as Markdown for the documentation; ``python -m omics_datastore.schema.markdown`` prints them."""

import sys

from omics_datastore.schema.tables import TABLES

_INTRODUCTION = """The same in BigQuery and in the folder of a laptop. Written by `make docs`.

JSON columns hold the text of a JSON object. In BigQuery they are of type STRING, because its load jobs do not take JSON
columns from Parquet: write `JSON_VALUE(metadata_extra, '$.batch')`. The view `raw_counts_coo` has one row a nonzero
count of a committed ingest: `ingest_id`, `cell_index`, `shuffle_key`, `feature_index`, `ensembl_id`, `symbol`,
`raw_count`."""


def tables_markdown() -> str:
    """Return a page with a section a table, each with a row a column.

    :return: Markdown, ending in a newline.
    """
    parts = ["# The tables", "", _INTRODUCTION, ""]
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
