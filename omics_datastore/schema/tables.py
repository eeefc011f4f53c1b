"""The one definition of the four warehouse tables.

Parquet (``arrow``), BigQuery (``bigquery``), Ibis (``relations``) and the documentation (``markdown``)
derive from it; no other file lists columns of these tables.
"""

from dataclasses import dataclass
from enum import StrEnum


class ColumnType(StrEnum):
    """Types a warehouse column may have."""

    STRING = "STRING"
    INT64 = "INT64"
    BOOL = "BOOL"
    JSON = "JSON"
    TIMESTAMP = "TIMESTAMP"
    INT_LIST = "ARRAY<INT64>"


@dataclass(frozen=True)
class Column:
    """One column: its name, type, whether it may be null, and one sentence on what it holds."""

    name: str
    type: ColumnType
    nullable: bool
    description: str


@dataclass(frozen=True)
class Table:
    """One table: its columns in order, primary key and clustering columns (BigQuery)."""

    name: str
    description: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    clustering: tuple[str, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Return the column names in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """Return a column by name.

        :param name: Column name.
        :return: The column.
        :raise KeyError: When the table has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name} has no column {name}")


ONTOLOGY_COLUMNS = (
    "assay",
    "cell_type",
    "development_stage",
    "disease",
    "organism",
    "self_reported_ethnicity",
    "sex",
    "tissue",
)
"""CELLxGENE obs columns that have an ``_ontology_term_id`` twin."""

PLAIN_OBS_COLUMNS = ("donor_id", "suspension_type", "tissue_type")
"""CELLxGENE obs columns of text without a twin."""


def _required(name: str, kind: ColumnType, description: str) -> Column:
    return Column(name, kind, False, description)


def _optional(name: str, kind: ColumnType, description: str) -> Column:
    return Column(name, kind, True, description)


def _ontology_columns() -> tuple[Column, ...]:
    columns: list[Column] = []
    for name in ONTOLOGY_COLUMNS:
        words = name.replace("_", " ")
        columns.append(_optional(name, ColumnType.STRING, f"CELLxGENE {words}, as a label."))
        columns.append(
            _optional(f"{name}_ontology_term_id", ColumnType.STRING, f"CELLxGENE {words}, as an ontology term.")
        )
    return tuple(columns)


_INGEST_ID = _required("ingest_id", ColumnType.STRING, "The ingest the row belongs to: <dataset>@<12 hex>.")
_CELL_INDEX = _required("cell_index", ColumnType.INT64, "Row of the cell in its source file, from 0.")
_SHUFFLE_KEY = _required(
    "shuffle_key", ColumnType.INT64, "63-bit hash of the cell's position; rows are stored in its order."
)

INGEST_INFO = Table(
    "ingest_info",
    "One row per committed ingest; the row is the commit marker.",
    (
        _INGEST_ID,
        _required("dataset", ColumnType.STRING, "Dataset key."),
        _required("source_uri", ColumnType.STRING, "Where the source file was."),
        _required("source_generation", ColumnType.STRING, "Generation (bucket) or modification time (folder)."),
        _required("source_sha256", ColumnType.STRING, "SHA-256 of the source file."),
        _required("config_digest", ColumnType.STRING, "Digest of the configuration that decided the data."),
        _required("cell_count", ColumnType.INT64, "Number of cells."),
        _required("feature_count", ColumnType.INT64, "Number of features."),
        _required("nnz", ColumnType.INT64, "Number of nonzero counts."),
        _optional("organism", ColumnType.STRING, "Organism of all cells; null when there are several or none."),
        _optional("schema_version", ColumnType.STRING, "CELLxGENE schema version named by the file."),
        _optional("tag", ColumnType.STRING, "Free text of the dataset's configuration."),
        _optional("uns", ColumnType.JSON, "The kept entries of uns."),
        _optional("validation", ColumnType.JSON, "Findings of the checks: rules, places, warnings."),
        _required("nexus_version", ColumnType.STRING, "Version of Nexus that made the ingest files."),
        _required("committed_at", ColumnType.TIMESTAMP, "When the ingest became visible (UTC)."),
        _optional(
            "retired_at", ColumnType.TIMESTAMP, "When it was hidden from new curricula (UTC); null when it is not."
        ),
    ),
    ("ingest_id",),
    ("dataset",),
)

CELL_INFO = Table(
    "cell_info",
    "One row per cell.",
    (
        _INGEST_ID,
        _CELL_INDEX,
        _SHUFFLE_KEY,
        _required("original_id", ColumnType.STRING, "Name of the cell in its source file; need not be unique."),
        _optional("tag", ColumnType.STRING, "Free text of the dataset's configuration."),
        _required("total_mrna_umis", ColumnType.INT64, "Sum of the counts over all features of the source."),
        _required("n_features", ColumnType.INT64, "Number of features with a nonzero count."),
        _optional("is_primary_data", ColumnType.BOOL, "CELLxGENE: false where the cell is published elsewhere too."),
        *_ontology_columns(),
        _optional("donor_id", ColumnType.STRING, "CELLxGENE donor."),
        _optional("suspension_type", ColumnType.STRING, "CELLxGENE suspension type: cell, nucleus or na."),
        _optional("tissue_type", ColumnType.STRING, "CELLxGENE tissue type: tissue, organoid or cell culture."),
        _optional("metadata_extra", ColumnType.JSON, "Every other obs column of the source, by name."),
    ),
    ("ingest_id", "cell_index"),
    ("shuffle_key",),
)

FEATURE_INFO = Table(
    "feature_info",
    "One row per feature of an ingest.",
    (
        _INGEST_ID,
        _required("feature_index", ColumnType.INT64, "Column of the feature in its source file, from 0."),
        _required("ensembl_id", ColumnType.STRING, "Ensembl gene id without its version (or any id, if configured)."),
        _optional("symbol", ColumnType.STRING, "Gene symbol."),
        _optional("biotype", ColumnType.STRING, "Gene biotype."),
        _optional("reference", ColumnType.STRING, "Reference, for example NCBITaxon:9606."),
        _optional("is_filtered", ColumnType.BOOL, "CELLxGENE feature_is_filtered."),
        _optional("metadata_extra", ColumnType.JSON, "Every other var column of the source, by name."),
    ),
    ("ingest_id", "feature_index"),
    ("ingest_id",),
)

RAW_COUNTS = Table(
    "raw_counts",
    "One row per cell: its nonzero counts as two lists of one length.",
    (
        _INGEST_ID,
        _CELL_INDEX,
        _SHUFFLE_KEY,
        _required("feature_index", ColumnType.INT_LIST, "Columns with a nonzero count, ascending."),
        _required("raw_count", ColumnType.INT_LIST, "The counts, in the same order; from 1 to 2**31 - 1."),
    ),
    ("ingest_id", "cell_index"),
    ("shuffle_key",),
)

TABLES = (INGEST_INFO, CELL_INFO, FEATURE_INFO, RAW_COUNTS)
"""All tables, in the order the documentation shows them."""

DATA_TABLES = (RAW_COUNTS, FEATURE_INFO, CELL_INFO)
"""The tables an ingest file exists for, in load order; ``ingest_info`` follows as the commit."""
