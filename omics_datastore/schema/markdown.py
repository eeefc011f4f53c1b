"""The tables as Markdown for the documentation."""

from omics_datastore.schema.tables import TABLES


def tables_markdown() -> str:
    """Return a section a table, each with a row a column.

    :return: Markdown, ending in a newline.
    """
    parts: list[str] = []
    for table in TABLES:
        parts += [f"## `{table.name}`", "", table.description, ""]
        parts.append(
            f"Primary key ({', '.join(table.primary_key)}); BigQuery clusters by {', '.join(table.clustering)}."
        )
        parts += ["", "| column | type | null | what it holds |", "|---|---|---|---|"]
        for column in table.columns:
            null = "yes" if column.nullable else "no"
            parts.append(f"| `{column.name}` | {column.type.value} | {null} | {column.description} |")
        parts.append("")
    return "\n".join(parts)
