"""The tables: everything derives from the one definition, and a changed column shows here."""

import ibis.expr.datatypes as dt
import pyarrow as pa
import pytest

from omics_datastore.ingest.cells import RESERVED, TARGETS
from omics_datastore.schema.arrow import arrow_schema
from omics_datastore.schema.bigquery import bigquery_schema
from omics_datastore.schema.markdown import tables_markdown
from omics_datastore.schema.relations import relation
from omics_datastore.schema.tables import CELL_INFO, DATA_TABLES, INGEST_INFO, TABLES, ColumnType, Table

COLUMNS = {
    "ingest_info": "ingest_id:STRING! dataset:STRING! source_uri:STRING! source_generation:STRING! "
    "source_sha256:STRING! config_digest:STRING! cell_count:INT64! feature_count:INT64! nnz:INT64! organism:STRING "
    "schema_version:STRING tag:STRING uns:JSON validation:JSON nexus_version:STRING! committed_at:TIMESTAMP! "
    "retired_at:TIMESTAMP",
    "cell_info": "ingest_id:STRING! cell_index:INT64! shuffle_key:INT64! original_id:STRING! tag:STRING "
    "total_mrna_umis:INT64! n_features:INT64! is_primary_data:BOOL assay:STRING assay_ontology_term_id:STRING "
    "cell_type:STRING cell_type_ontology_term_id:STRING development_stage:STRING "
    "development_stage_ontology_term_id:STRING disease:STRING disease_ontology_term_id:STRING organism:STRING "
    "organism_ontology_term_id:STRING self_reported_ethnicity:STRING self_reported_ethnicity_ontology_term_id:STRING "
    "sex:STRING sex_ontology_term_id:STRING tissue:STRING tissue_ontology_term_id:STRING donor_id:STRING "
    "suspension_type:STRING tissue_type:STRING metadata_extra:JSON",
    "feature_info": "ingest_id:STRING! feature_index:INT64! ensembl_id:STRING! symbol:STRING biotype:STRING "
    "reference:STRING is_filtered:BOOL metadata_extra:JSON",
    "raw_counts": "ingest_id:STRING! cell_index:INT64! shuffle_key:INT64! feature_index:ARRAY<INT64>! "
    "raw_count:ARRAY<INT64>!",
}


def test_columns() -> None:
    shown = {
        table.name: " ".join(
            f"{column.name}:{column.type.value}{'' if column.nullable else '!'}" for column in table.columns
        )
        for table in TABLES
    }
    assert shown == COLUMNS


def test_order_of_tables() -> None:
    assert [table.name for table in DATA_TABLES] == ["raw_counts", "feature_info", "cell_info"]
    assert {*DATA_TABLES, INGEST_INFO} == set(TABLES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
class TestEachTable:
    def test_keys_are_columns_without_nulls(self, table: Table) -> None:
        for name in (*table.primary_key, *table.clustering):
            assert not table.column(name).nullable
        assert len(set(table.column_names)) == len(table.columns)
        with pytest.raises(KeyError, match=f"table {table.name} has no column nothing"):
            table.column("nothing")

    def test_descriptions_are_sentences(self, table: Table) -> None:
        assert all(column.description.endswith(".") for column in table.columns)

    def test_arrow(self, table: Table) -> None:
        schema = arrow_schema(table)
        assert schema.names == list(table.column_names)
        for column in table.columns:
            field = schema.field(column.name)
            assert field.nullable == column.nullable
            assert pa.types.is_list(field.type) == (column.type is ColumnType.INT_LIST)
            if column.type in (ColumnType.JSON, ColumnType.STRING):
                assert field.type == pa.string()

    def test_bigquery(self, table: Table) -> None:
        fields = bigquery_schema(table)
        assert [field["name"] for field in fields] == list(table.column_names)
        modes = {field["name"]: (field["type"], field["mode"]) for field in fields}
        for column in table.columns:
            if column.type is ColumnType.INT_LIST:
                assert modes[column.name] == ("INT64", "REPEATED")
            else:
                kind = "STRING" if column.type is ColumnType.JSON else column.type.value
                assert modes[column.name] == (kind, "NULLABLE" if column.nullable else "REQUIRED")

    def test_ibis(self, table: Table) -> None:
        schema = relation(table).schema()
        assert schema.names == table.column_names
        for column in table.columns:
            assert isinstance(schema[column.name], dt.Array) == (column.type is ColumnType.INT_LIST)

    def test_markdown(self, table: Table) -> None:
        text = tables_markdown()
        assert f"## `{table.name}`" in text
        for column in table.columns:
            assert f"| `{column.name}` | {column.type.value} |" in text


def test_every_cell_column_is_either_filled_by_nexus_or_mapped() -> None:
    assert {*TARGETS, *RESERVED} == set(CELL_INFO.column_names)
    assert not set(TARGETS) & set(RESERVED)
