"""The real GoogleSQL analyzer and reference evaluator (``zetasql``), with the warehouse tables as its catalog.

The query parameters ``ids`` and ``rows`` of the statements of the BigQuery warehouse are declared.
"""

from collections.abc import Callable
from typing import Any

from omics_datastore.schema.bigquery import bigquery_schema
from omics_datastore.schema.tables import INGEST_INFO, TABLES, Column, ColumnType, Table


class GoogleSQL:
    """Analyse and run statements as BigQuery would. The first start on a machine takes up to 40 s, later ones 0.5 s."""

    def __init__(self) -> None:
        from zetasql.api import CatalogBuilder, TableBuilder
        from zetasql.types import (
            AnalyzerOptions,
            LanguageOptions,
            ProductMode,
            Type,
            TypeKind,
            ZetaSQLBuiltinFunctionOptions,
        )

        self._service = _start_service()
        language = LanguageOptions.maximum_features()
        language.product_mode = ProductMode.PRODUCT_EXTERNAL
        kinds = {
            "INT64": TypeKind.TYPE_INT64,
            "STRING": TypeKind.TYPE_STRING,
            "BOOL": TypeKind.TYPE_BOOL,
            "TIMESTAMP": TypeKind.TYPE_TIMESTAMP,
        }
        catalog = CatalogBuilder("warehouse").with_builtin_functions(
            ZetaSQLBuiltinFunctionOptions(language_options=language)
        )
        for table in TABLES:
            builder = TableBuilder(table.name)
            for field in bigquery_schema(table):
                kind = kinds[field["type"]]
                builder.add_column(field["name"], _array(kind) if field["mode"] == "REPEATED" else kind)
            catalog.add_table(builder.build())
        self._catalog = catalog.build()
        self._options = AnalyzerOptions(language_options=language)
        text, rows = Type(type_kind=kinds["STRING"]), _struct(INGEST_INFO, kinds)
        self._options.query_parameters = [
            AnalyzerOptions.QueryParameter(name=name, type=_array_of(kind))
            for name, kind in (("ids", text), ("rows", rows))
        ]

    def analyze(self, sql: str) -> Any:
        """Resolve names and types of a statement.

        :param sql: The statement.
        :return: The resolved statement.
        :raise Exception: When it is not valid GoogleSQL over the tables.
        """
        from zetasql.api import Analyzer

        return Analyzer(self._options, self._catalog, self._service).analyze_statement(sql)

    def run(self, sql: str, rows: dict[str, list[dict[str, Any]]]) -> list[list[Any]]:
        """Run a query with the reference evaluator.

        :param sql: The statement.
        :param rows: Rows of each table, by column name; columns not given are null.
        :return: Rows of text, numbers, booleans and nulls.
        """
        from zetasql.api import PreparedQuery
        from zetasql.types import TableContent, TableData, Value

        def value(column: Column, content: Any) -> Any:
            return Value() if content is None else Value(**{_VALUE_FIELDS[column.type]: content})

        contents = {
            table.name: TableContent(
                table_data=TableData(
                    row=[
                        TableData.Row(cell=[value(column, row.get(column.name)) for column in table.columns])
                        for row in rows.get(table.name, [])
                    ]
                )
            )
            for table in TABLES
        }
        builder = PreparedQuery.builder().set_sql(sql).set_analyzer_options(self._options).set_catalog(self._catalog)
        with builder.set_table_content(contents).prepare() as query:
            table_data = query.execute().content.table_data
        return [[_plain(cell) for cell in row.cell] for row in (table_data.row if table_data else [])]


_VALUE_FIELDS = {
    ColumnType.STRING: "string_value",
    ColumnType.INT64: "int64_value",
    ColumnType.BOOL: "bool_value",
    ColumnType.JSON: "string_value",
}


def _plain(cell: Any) -> Any:
    for name in ("string_value", "int64_value", "bool_value", "double_value", "json_value"):
        if getattr(cell, name) is not None:
            return getattr(cell, name)
    return None


def _array(kind: Any) -> Any:
    from zetasql.types import Type

    return _array_of(Type(type_kind=kind))


def _array_of(element: Any) -> Any:
    from zetasql.types import ArrayType, Type, TypeKind

    return Type(type_kind=TypeKind.TYPE_ARRAY, array_type=ArrayType(element_type=element))


def _struct(table: Table, kinds: dict[str, Any]) -> Any:
    """Return the type of a row of a table, as a query parameter."""
    from zetasql.types import StructField, StructType, Type, TypeKind

    fields = [
        StructField(field_name=field["name"], field_type=Type(type_kind=kinds[field["type"]]))
        for field in bigquery_schema(table)
    ]
    return Type(type_kind=TypeKind.TYPE_STRUCT, struct_type=StructType(field=fields))


def _start_service() -> Any:
    import wasmtime
    from zetasql.core import wasm_client
    from zetasql.core.local_service import ZetaSqlLocalService

    def config() -> Any:
        made = wasmtime.Config()
        made.cache = True
        return made

    # The package leaves no other way to cache the compiled WebAssembly, 40 s of a core for every process without it.
    original: Callable[[], Any] = wasm_client.Config
    wasm_client.Config = config
    try:
        return ZetaSqlLocalService.get_instance()
    finally:
        wasm_client.Config = original
