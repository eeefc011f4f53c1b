"""Which source column becomes which warehouse column: the configured mapping, the CELLxGENE names, the rest.

The rest goes to ``metadata_extra``. Unknown source columns, unknown targets and collisions are errors that name
the columns.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from omics_datastore.ingest.refusal import RefusedSourceError

INDEX = "index"
_OLD_SPELLINGS = {"ensemble_id": "ensembl_id"}


@dataclass(frozen=True)
class ColumnMapping:
    """``sources`` maps warehouse columns to source columns (or ``index``); ``extra`` are the columns left over."""

    sources: dict[str, str]
    extra: tuple[str, ...]


def canonical_target(name: str) -> str:
    """Return the name of a warehouse column in today's spelling.

    :param name: The name as somebody wrote it.
    :return: The name; ``ensemble_id`` is ``ensembl_id``.
    """
    return _OLD_SPELLINGS.get(name, name)


def map_columns(
    frame: str,
    columns: list[str],
    configured: Mapping[str, str],
    targets: Iterable[str],
    aliases: Mapping[str, str],
) -> ColumnMapping:
    """Decide which source column becomes which warehouse column.

    :param frame: ``obs`` or ``var``, for messages.
    :param columns: Source columns, without the index.
    :param configured: Source column (or ``index``) to warehouse column.
    :param targets: Warehouse columns that may be filled.
    :param aliases: Source names that stand for a warehouse column when nothing else is said.
    :return: The mapping.
    :raise RefusedSourceError: For unknown source columns, unknown targets and collisions.
    """
    allowed = list(targets)
    sources: dict[str, str] = {}
    unknown = [source for source in configured if source != INDEX and source not in columns]
    if unknown:
        near = [name for source in unknown for name in get_close_matches(source, columns, 3)] or columns[:10]
        raise RefusedSourceError(
            "column_mapping",
            f"{frame}_mapping names the column{'s' * (len(unknown) > 1)} {', '.join(map(repr, unknown))}, which the "
            f"file does not have; it has {', '.join(dict.fromkeys(near)) or 'no columns but the index'}.",
        )
    for source, spelled in configured.items():
        target = canonical_target(spelled)
        if target not in allowed:
            raise RefusedSourceError(
                "column_mapping",
                f"{frame}_mapping sends {source!r} to {spelled!r}, which is not one of {', '.join(allowed)}.",
            )
        if target in sources:
            raise RefusedSourceError(
                "column_mapping", f"{frame}_mapping sends both {sources[target]!r} and {source!r} to {target!r}."
            )
        if target in columns and source != target and target not in configured:
            raise RefusedSourceError(
                "column_mapping",
                f"{frame}_mapping sends {source!r} to {target!r}, but the file has a column {target!r} of its own; "
                f"map that one elsewhere or take the line out.",
            )
        sources[target] = source
    mapped = set(sources.values()) - {INDEX}  # a column of that name is another thing
    for column in columns:
        target = column if column in allowed else aliases.get(column, "")
        if target and target not in sources and column not in mapped:
            sources[target] = column
            mapped.add(column)
    return ColumnMapping(sources, tuple(column for column in columns if column not in mapped))
