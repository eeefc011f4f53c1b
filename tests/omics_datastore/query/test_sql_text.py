"""SQL in the BigQuery dialect: a folder warehouse answers as GoogleSQL's reference evaluator does, or refuses."""
# ruff: noqa: E501, ISC004, S608

import json
import math
from typing import Any

import pytest
import sqlglot
import sqlglot.expressions as exp

from omics_datastore.errors import InputError
from omics_datastore.query.sql_rewriting import KNOWN
from omics_datastore.query.sql_text import local_statement
from tests.omics_datastore.query.conftest import Cells
from tests.omics_datastore.query.googlesql import GoogleSQL

KEY = "ingest_id, cell_index"
OF_CELLS = f"FROM cell_info ORDER BY {KEY}"
LISTS = "(SELECT 1 AS n, [10, 20, 30] AS items UNION ALL SELECT 2, [40] UNION ALL SELECT 3, [])"
STATEMENTS = [
    "SELECT COUNT(*), COUNT(tissue), COUNT(DISTINCT tissue), COUNTIF(n_features > 2), MIN(tissue), MAX(n_features) FROM cell_info",
    "SELECT donor_id, COUNT(*) AS cells, SUM(n_features), AVG(n_features) FROM cell_info GROUP BY donor_id ORDER BY donor_id",
    "SELECT SUM(n_features), LOGICAL_AND(n_features >= 0), LOGICAL_OR(n_features > 9) FROM cell_info",
    "SELECT STDDEV(n_features), STDDEV_SAMP(n_features), STDDEV_POP(n_features), VARIANCE(n_features), VAR_POP(n_features), "
    "CORR(n_features, cell_index) FROM cell_info",
    "SELECT ingest_id, STRING_AGG(donor_id, ',' ORDER BY cell_index) FROM cell_info GROUP BY ingest_id ORDER BY ingest_id",
    "SELECT ARRAY_LENGTH(ARRAY_AGG(cell_index)) FROM cell_info",
    f"SELECT DIV(cell_index - 20, 2 + 1) * 2, DIV(-7, 2), MOD(cell_index - 20, 7), (cell_index - 1) / 4 {OF_CELLS}",
    "SELECT DIV(ROW_NUMBER() OVER (ORDER BY ingest_id, cell_index) - 1, 10) AS bin, n_features FROM cell_info "
    "ORDER BY bin, n_features, cell_index",
    f"SELECT cell_index, item, place FROM {LISTS}, UNNEST(items) AS item WITH OFFSET AS place, (SELECT 5 AS cell_index) ORDER BY 2",
    f"SELECT n, item, place FROM {LISTS} AS lists, UNNEST(lists.items) AS item WITH OFFSET AS place ORDER BY n, place",
    f"SELECT n, item, offset FROM {LISTS}, UNNEST(items) AS item WITH OFFSET ORDER BY n, offset",
    f"SELECT n, a, b FROM {LISTS} AS l CROSS JOIN UNNEST(l.items) AS a WITH OFFSET AS i JOIN UNNEST(l.items) AS b WITH OFFSET AS j "
    "ON i = j + 1 ORDER BY n, a",
    f"SELECT n, (SELECT COUNT(*) FROM UNNEST(items) AS x WITH OFFSET AS o WHERE o >= 1), items[OFFSET(0)] FROM {LISTS} WHERE n < 3 ORDER BY n",
    f"SELECT n, items[SAFE_OFFSET(1)], ARRAY_LENGTH(items), 40 IN UNNEST(items) FROM {LISTS} ORDER BY n",
    f"SELECT n, ARRAY_LENGTH(ARRAY(SELECT x FROM UNNEST(items) AS x WHERE x > 15)) FROM {LISTS} ORDER BY n",
    "SELECT x FROM UNNEST(GENERATE_ARRAY(1, 5)) AS x ORDER BY x",
    f"SELECT JSON_VALUE(metadata_extra, '$.batch'), JSON_VALUE(metadata_extra, '$.batch') = 'lung', "
    f"JSON_VALUE(metadata_extra, '$.\"a b\"'), JSON_EXTRACT_SCALAR(metadata_extra, '$.__') {OF_CELLS}",
    f"SELECT LOWER(tissue), UPPER(tissue), LENGTH(tissue), CONCAT(tissue, '-', donor_id), tissue || 'x' {OF_CELLS}",
    f"SELECT STARTS_WITH(tissue, 'l'), ENDS_WITH(tissue, 'g'), STRPOS(tissue, 'u'), SUBSTR(tissue, 2, 3), TRIM('  a ') {OF_CELLS}",
    f"SELECT REGEXP_CONTAINS(tissue, r'^[lL]ung$'), REGEXP_EXTRACT(tissue, r'^(.)u'), tissue LIKE '%n_' {OF_CELLS}",
    f"SELECT CASE WHEN donor_id IS NULL THEN 'none' WHEN donor_id = 'd1' THEN 'one' ELSE donor_id END, "
    f"IF(is_primary_data, 1, 0), IFNULL(donor_id, '?'), COALESCE(donor_id, tissue), NULLIF(donor_id, 'd1') {OF_CELLS}",
    f"SELECT GREATEST(n_features, 2), LEAST(n_features, 2), ABS(cell_index - 9), SIGN(cell_index - 9) {OF_CELLS}",
    f"SELECT ROUND(cell_index / 7, 2), FLOOR(cell_index / 7), CEIL(cell_index / 7), SQRT(cell_index), LN(cell_index + 1), EXP(1), "
    f"LOG10(cell_index + 1), LOG(cell_index + 1, 2), POW(cell_index, 2), SAFE_DIVIDE(1, cell_index) {OF_CELLS}",
    f"SELECT CAST(cell_index AS STRING), SAFE_CAST(tissue AS INT64), CAST('5' AS INT64), CAST(cell_index AS FLOAT64) / 2 {OF_CELLS}",
    "SELECT CAST(2.5 AS INT64), CAST(3.5 AS INT64), CAST(-2.5 AS INT64), SAFE_CAST('x' AS INT64), CAST(' 7 ' AS INT64), "
    "CAST('1.5' AS FLOAT64), CAST(TRUE AS STRING), TIMESTAMP '2026-01-02 00:00:00+00:00' < TIMESTAMP '2026-01-02T01:00:00+00:30'",
    f"SELECT DIV(DIV(cell_index, 2) + 1, 3) / DIV(7, 2), CAST(CAST(cell_index / 3 AS INT64) AS STRING) {OF_CELLS}",
    "SELECT 0.1 + 0.2, 2147483647 + 1, 1e3, 7 / 2, -7 / 2",
    f"SELECT cell_index, RANK() OVER (PARTITION BY donor_id ORDER BY n_features), DENSE_RANK() OVER (ORDER BY n_features), "
    f"LAG(cell_index) OVER (ORDER BY {KEY}), LEAD(cell_index) OVER (ORDER BY {KEY}), "
    f"FIRST_VALUE(cell_index) OVER (PARTITION BY donor_id ORDER BY {KEY}), "
    f"LAST_VALUE(cell_index) OVER (PARTITION BY donor_id ORDER BY {KEY}), SUM(1) OVER (ORDER BY {KEY}) {OF_CELLS}",
    f"SELECT {KEY} FROM cell_info WHERE TRUE QUALIFY ROW_NUMBER() OVER (PARTITION BY donor_id ORDER BY {KEY}) <= 2 ORDER BY {KEY}",
    "SELECT donor_id, n_features FROM cell_info ORDER BY donor_id, n_features DESC, cell_index LIMIT 9 OFFSET 2",
    "WITH chosen AS (SELECT * EXCEPT (tag) FROM cell_info WHERE donor_id = 'd1'), other AS (SELECT * FROM chosen WHERE cell_index < 20) "
    "SELECT COUNT(*) FROM other",
    "SELECT dataset, COUNT(*) FROM cell_info JOIN ingest_info USING (ingest_id) GROUP BY 1 HAVING COUNT(*) > 1 ORDER BY 1",
    "SELECT c.cell_index FROM cell_info AS c WHERE EXISTS (SELECT 1 FROM ingest_info AS i WHERE i.ingest_id = c.ingest_id AND "
    "i.dataset = 'lung') AND c.cell_index IN (1, 2) ORDER BY 1",
    "SELECT cell_index FROM cell_info WHERE cell_index < 2 UNION ALL SELECT 7 UNION ALL SELECT 8 ORDER BY 1",
    f"SELECT donor_id = 'd1' AND is_primary_data OR NOT donor_id = 'd2', donor_id NOT IN ('d1', 'd2'), n_features BETWEEN 1 AND 2 {OF_CELLS}",
]  # fmt: skip


@pytest.fixture(scope="module")
def google_rows(nasty_cells: Cells) -> dict[str, list[dict[str, Any]]]:
    cells = [
        {
            **row,
            "metadata_extra": None
            if row["metadata_extra"] is None
            else json.dumps(row["metadata_extra"], ensure_ascii=False),
        }
        for row in nasty_cells.rows
    ]
    ingests = {row["ingest_id"]: row["dataset"] for row in nasty_cells.rows}
    return {
        "cell_info": cells,
        "ingest_info": [{"ingest_id": ingest_id, "dataset": dataset} for ingest_id, dataset in ingests.items()],
    }


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_folder_answers_as_google_sql_does(
    nasty_cells: Cells, googlesql: GoogleSQL, google_rows: dict[str, list[dict[str, Any]]], statement: str
) -> None:
    googlesql.analyze(statement)
    theirs = [tuple(row) for row in googlesql.run(statement, google_rows)]
    ours = nasty_cells.warehouse.sql(statement, 10_000).rows.rows()
    assert len(ours) == len(theirs)
    assert ours
    assert [
        (mine, expected)
        for mine, expected in zip(ours, theirs, strict=True)
        if len(mine) != len(expected) or not all(map(same, mine, expected))
    ] == []


def same(mine: Any, expected: Any) -> bool:
    if isinstance(mine, float) and isinstance(expected, float):
        return math.isclose(mine, expected, rel_tol=1e-9)
    return type(mine) is type(expected) and mine == expected


def test_every_function_that_is_allowed_was_compared() -> None:
    used = {
        type(node).__name__
        for statement in STATEMENTS
        for tree in sqlglot.parse(statement, read="bigquery")
        if tree is not None
        for node in tree.find_all(exp.Func)
    }
    assert used <= KNOWN
    assert KNOWN - used == {"ApproxDistinct"}  # which is answered exactly, and which the evaluator lacks


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM cell_info WHERE TRUE", ["only reads", "not DELETE"]),
        ("CREATE TABLE x AS SELECT 1", ["only reads", "not CREATE"]),
        ("EXPORT DATA OPTIONS(uri='x') AS SELECT 1", ["only reads"]),
        ("SET x = 1", ["only reads"]),
        ("ATTACH 'x'", ["line 1"]),
        ("SHOW TABLES", ["only reads"]),
        ("SELECT 1; SELECT 2", ["one statement, not 2"]),
        ("  ", ["one statement, not none"]),
        ("SELECT * FROM read_csv('/etc/passwd')", ["only tables and UNNEST"]),
        ("SELECT * FROM '/etc/passwd'", ["there is no table '/etc/passwd'"]),
        ("SELECT * FROM duckdb_settings()", ["only tables and UNNEST"]),
        (
            "SELECT tissue\nFROM cel_info",
            ["line 2, column 6: there is no table 'cel_info'; did you mean cell_info or "],
        ),
        ("SELECT 1 FROM `p.d.cell_info`", ["a table's name alone"]),
        ("SELECT tissue FROM cell_info WHERE = 3", ["line 1, column 38", "near '3'"]),
        ("SELECT (1", ["line 1, column 9", "expecting )"]),
        ("SELECT 'a", ["not closed"]),
        ("SELECT tissue FROM", ["line 1, column 18", "expected table name"]),
        ("SELECT foo(1)", ["FOO", "docs/sql.md"]),
        ("SELECT FARM_FINGERPRINT('x')", ["FARM", "docs/sql.md"]),
        ("SELECT FORMAT('%d', 3)", ["FORMAT", "docs/sql.md"]),
        ("SELECT getenv('HOME')", ["GETENV"]),
        ("SELECT CAST('x' AS DATE)", ["casts to INT64"]),
        ("SELECT JSON_VALUE(metadata_extra, '$.a[*]') FROM cell_info", ["path into JSON"]),
        ("SELECT @x", ["@x", "no parameters"]),
    ],
)
def test_refuses_what_does_not_only_read_the_tables(statement: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        local_statement(statement)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    for word in words:
        assert word in message
