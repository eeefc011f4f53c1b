"""The cells of a source file as rows of ``cell_info``, in ranges of rows, with the checks of their columns."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from omics_datastore.ingest.booleans import to_boolean
from omics_datastore.ingest.column_mapping import INDEX, map_columns
from omics_datastore.ingest.configuration import DatasetConfig
from omics_datastore.ingest.extra_columns import metadata_extra, with_index
from omics_datastore.ingest.frames import FrameReader
from omics_datastore.ingest.manifest import Finding
from omics_datastore.ingest.refusal import RefusedSourceError
from omics_datastore.schema.tables import ONTOLOGY_COLUMNS, PLAIN_OBS_COLUMNS

TEXT_COLUMNS = (
    *(name for column in ONTOLOGY_COLUMNS for name in (column, f"{column}_ontology_term_id")),
    *PLAIN_OBS_COLUMNS,
)
TARGETS = ("original_id", "is_primary_data", *TEXT_COLUMNS)
RESERVED = ("ingest_id", "cell_index", "shuffle_key", "n_features", "total_mrna_umis", "tag", "metadata_extra")
"""Columns that Nexus fills itself; a source column of that name is kept in metadata_extra as ``source_<name>``."""

_TERM = r"^[A-Za-z]+:[A-Za-z0-9_]+(?: \|\| [A-Za-z]+:\w+|,\s?[A-Za-z]+:\w+)*$"
_NO_TERM = ("unknown", "na", "multiethnic")

ORGANISMS = {
    "NCBITaxon:6239": "Caenorhabditis elegans",
    "NCBITaxon:9483": "Callithrix jacchus",
    "NCBITaxon:7955": "Danio rerio",
    "NCBITaxon:7227": "Drosophila melanogaster",
    "NCBITaxon:9595": "Gorilla gorilla gorilla",
    "NCBITaxon:9606": "Homo sapiens",
    "NCBITaxon:9541": "Macaca fascicularis",
    "NCBITaxon:9544": "Macaca mulatta",
    "NCBITaxon:30608": "Microcebus murinus",
    "NCBITaxon:10090": "Mus musculus",
    "NCBITaxon:9986": "Oryctolagus cuniculus",
    "NCBITaxon:9598": "Pan troglodytes",
    "NCBITaxon:10116": "Rattus norvegicus",
    "NCBITaxon:9823": "Sus scrofa",
}
"""The organisms of the CELLxGENE schema 6 and 7; newer files name theirs once, in uns."""


class CellReader:
    """Read ``cell_info`` rows of a source file, all but what the counts and the shuffle decide.

    :param frame: The obs frame.
    :param config: Configuration of the dataset.
    :param organism: Ontology term of the organism that ``uns`` names, if it does.
    :raise RefusedSourceError: For a wrong mapping or a required column that is missing.
    """

    def __init__(self, frame: FrameReader, config: DatasetConfig, organism: str | None) -> None:
        self._frame = frame
        self._config = config
        self._organism = organism
        required = config.validation.required_obs
        frame.require((*config.obs_mapping, *TARGETS, *required))
        self._mapping = map_columns("obs", frame.columns, config.obs_mapping, TARGETS, {})
        self._names = _extra_names(self._mapping.extra)
        self._seen_organisms: set[str | None] = set()
        self._name_count = 0
        self._name_hashes: list[NDArray[np.uint64]] = []
        self._odd_terms: dict[str, str] = {}
        self.length = frame.length
        missing = [name for name in required if not self._has(name)]
        if missing:
            raise RefusedSourceError(
                "required_obs",
                f"obs lacks the required columns {', '.join(missing)}; add them, name them with obs_mapping, or take "
                "them out of validation.required_obs.",
            )

    @property
    def organism(self) -> str | None:
        """Return the organism of all cells read so far, or ``None`` when they have several or none."""
        return next(iter(self._seen_organisms)) if len(self._seen_organisms) == 1 else None

    def read(self, start: int, stop: int) -> pl.DataFrame:
        """Return a range of rows.

        :param start: First row.
        :param stop: Row after the last.
        :return: ``cell_index``, ``original_id``, ``tag``, ``is_primary_data``, CELLxGENE's and ``metadata_extra``.
        :raise RefusedSourceError: When a required column holds a null, or a boolean one something else.
        """
        columns = self._frame.read(start, stop)
        index = self._frame.index(start, stop)
        height = stop - start
        values = {
            target: index if source == INDEX else columns[source] for target, source in self._mapping.sources.items()
        }
        table: dict[str, pl.Series] = {
            "cell_index": pl.int_range(start, stop, eager=True),
            "original_id": values.get("original_id", index).cast(pl.String).fill_null(""),
            "tag": pl.Series([self._config.tag] * height, dtype=pl.String),
            "is_primary_data": to_boolean(values.get("is_primary_data"), self._name("is_primary_data"), start, height),
        }
        for name in TEXT_COLUMNS:
            column = values.get(name)
            table[name] = pl.Series([None] * height, dtype=pl.String) if column is None else column.cast(pl.String)
        self._fill_organism(table, height)
        extra = columns.select(self._mapping.extra).rename(self._names)
        index_kept = "original_id" not in self._mapping.sources
        extra = with_index(extra, index, self._mapping.sources.values(), kept=index_kept)
        table["metadata_extra"] = metadata_extra(extra, height)
        frame = pl.DataFrame(table)
        self._check_required({**table, **{name: columns[name] for name in self._mapping.extra}}, start)
        self._note(frame)
        return frame

    def findings(self) -> list[Finding]:
        """Return the warnings about the cells read so far."""
        found: list[Finding] = []
        names = np.concatenate(self._name_hashes) if self._name_hashes else np.empty(0, np.uint64)
        repeated = len(names) - len(np.unique(names))
        if repeated:
            message = f"{repeated} cells have a name that another cell has; cells are told apart by their row."
            found.append(Finding(rule="unique_cell_names", severity="warning", message=message))
        for column, value in sorted(self._odd_terms.items()):
            message = f"obs[{column!r}] holds {value!r}, which is not an ontology term."
            found.append(Finding(rule="ontology_terms", severity="warning", message=message))
        if self._names:
            message = (
                f"Nexus fills {', '.join(self._names)} itself; the source's columns are kept in metadata_extra as "
                f"{', '.join(self._names.values())}."
            )
            found.append(Finding(rule="reserved_columns", severity="warning", message=message))
        return [*found, *self._frame.findings()]

    def _name(self, target: str) -> str:
        return f"obs[{self._mapping.sources.get(target, target)!r}]"

    def _has(self, name: str) -> bool:
        filled = {"original_id"}
        if self._organism or "organism_ontology_term_id" in self._mapping.sources:
            filled |= {"organism", "organism_ontology_term_id"}
        return name in filled or name in self._mapping.sources or name in self._mapping.extra

    def _fill_organism(self, table: dict[str, pl.Series], height: int) -> None:
        if self._organism and "organism_ontology_term_id" not in self._mapping.sources:
            table["organism_ontology_term_id"] = pl.Series([self._organism] * height, dtype=pl.String)
        if "organism" not in self._mapping.sources:
            terms = table["organism_ontology_term_id"]
            table["organism"] = terms.replace_strict(ORGANISMS, default=None, return_dtype=pl.String)

    def _check_required(self, columns: dict[str, pl.Series], start: int) -> None:
        for name in self._config.validation.required_obs:
            if columns[name].null_count():
                row = start + int(columns[name].is_null().arg_max() or 0)
                raise RefusedSourceError(
                    "required_obs",
                    f"the required column {self._name(name)} has no value in row {row}; fill it in, or take {name} "
                    "out of validation.required_obs.",
                )

    def _note(self, frame: pl.DataFrame) -> None:
        self._name_hashes.append(frame["original_id"].hash(seed=0).to_numpy())
        self._seen_organisms.update(frame["organism_ontology_term_id"].unique().to_list())
        for column in ONTOLOGY_COLUMNS:
            name = f"{column}_ontology_term_id"
            distinct = frame[name].drop_nulls().unique()
            odd = distinct.filter(~(distinct.str.contains(_TERM) | distinct.is_in(list(_NO_TERM)))).sort()
            if len(odd):  # the least, so that the report does not depend on how many rows are read at once
                self._odd_terms[name] = min(odd[0], self._odd_terms.get(name, odd[0]))


def _extra_names(columns: tuple[str, ...]) -> dict[str, str]:
    names: dict[str, str] = {}
    for column in columns:
        if column in RESERVED:
            name = f"source_{column}"
            while name in columns:
                name = f"source_{name}"
            names[column] = name
    return names
