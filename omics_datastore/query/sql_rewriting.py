"""From a BigQuery statement to one that DuckDB answers the same way: what sqlglot's own translation gets wrong.

Every function of :data:`KNOWN` was compared with the GoogleSQL reference evaluator over the same rows
(``tests/omics_datastore/query/test_sql_text.py``); others are refused.
"""

from collections.abc import Callable
from typing import Any

import sqlglot
import sqlglot.expressions as exp

from omics_datastore.errors import InputError

_AGGREGATES = """Count CountIf Sum Avg Min Max ApproxDistinct ArrayAgg GroupConcat LogicalAnd LogicalOr RowNumber Rank
DenseRank Lag Lead FirstValue LastValue Stddev StddevSamp StddevPop Variance VariancePop Corr"""
_CONDITIONS = "And Or If Case Coalesce Nullif Greatest Least Cast TryCast Exists"
_NUMBERS = "Abs Round Floor Ceil Sqrt Ln Log Exp Pow SafeDivide Sign"
_TEXTS = """Lower Upper Length Trim Concat StartsWith EndsWith RegexpLike RegexpExtract StrPosition Substring
JSONExtractScalar"""
_LISTS = "Array ArraySize Unnest GenerateSeries"
KNOWN = frozenset(" ".join((_AGGREGATES, _CONDITIONS, _NUMBERS, _TEXTS, _LISTS)).split())
"""Names of the classes that sqlglot reads functions into."""

# DuckDB reads '5.0' as a whole number, rounds halves to even, and writes 2.0 where BigQuery writes 2.
_TO_INT64 = (
    "CASE TYPEOF({value}) WHEN 'DOUBLE' THEN {cast}(ROUND(TRY_CAST({value} AS DOUBLE)) AS BIGINT) WHEN 'VARCHAR' THEN "
    "CASE WHEN REGEXP_FULL_MATCH(CAST({value} AS VARCHAR), '[ ]*[+-]?[0-9]+[ ]*') THEN {cast}({value} AS BIGINT) "
    "WHEN {value} IS NOT NULL THEN {bad} END ELSE {cast}({value} AS BIGINT) END"
)
_TO_STRING = (
    "CASE WHEN TYPEOF({value}) = 'DOUBLE' AND {value} IS NOT NULL THEN ERROR('BigQuery writes FLOAT64 as text "
    "otherwise; ROUND it and cast it to INT64 first') ELSE {cast}({value} AS VARCHAR) END"
)
# DuckDB divides by zero.
_DIVIDE = "CASE WHEN ({by}) = 0 THEN ERROR('division by zero') ELSE ({value}) / ({by}) END"
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)


def rewrite(tree: exp.Expression) -> exp.Expression:
    """Rewrite a statement so that sqlglot's DuckDB means what BigQuery's did.

    :param tree: A SELECT, read with the BigQuery dialect.
    :return: The statement for DuckDB.
    :raise InputError: When it has a function that is not known to mean the same.
    """
    _check_functions(tree)
    _name_columns(tree)
    root: exp.Expression = exp.Subquery(this=tree.copy())
    for node in reversed(list(root.this.bfs())):  # what is inside first: text is made of it
        made = _rewrite_node(node)
        if made is not node:
            node.replace(made)
    return root.this


def _check_functions(tree: exp.Expression) -> None:
    for node in tree.find_all(exp.Func):
        if type(node).__name__ not in KNOWN:
            name = node.name if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc) else node.sql_name()
            raise InputError(
                f"{name.upper()}: this function is not among those that a local warehouse answers as BigQuery does; "
                "see docs/sql.md for what there is."
            )


def _name_columns(tree: exp.Expression) -> None:
    """Name result columns without a name as BigQuery does: f0_, f1_, and so on."""
    number = 0
    for item in list(tree.selects):
        if not isinstance(item, exp.Alias | exp.Column | exp.Star):
            item.replace(exp.alias_(item.copy(), f"f{number}_"))
            number += 1


def _rewrite_node(node: exp.Expression) -> exp.Expression:
    for kind, rewriting in _REWRITINGS:
        if isinstance(node, kind):
            return rewriting(node)
    return node


def _whole_division(node: Any) -> exp.Expression:
    # sqlglot forgets the brackets.
    return exp.Paren(this=exp.IntDiv(this=exp.Paren(this=node.this), expression=exp.Paren(this=node.expression)))


def _division(node: Any) -> exp.Expression:
    over = {"value": node.this.sql("duckdb"), "by": node.expression.sql("duckdb")}
    return sqlglot.parse_one(_DIVIDE.format(**over), read="duckdb")


def _distinct(node: Any) -> exp.Expression:
    # An exact answer is a good one.
    return exp.Count(this=exp.Distinct(expressions=[node.this]))


def _number(node: Any) -> exp.Expression:
    if node.is_string:
        return node
    # DuckDB reads 0.1 as a decimal and 1 as 32 bits; BigQuery as a double and 64 bits.
    if not node.is_int:
        return exp.Cast(this=node.copy(), to=exp.DataType.build("double", dialect="duckdb"))
    if isinstance(node.parent, _ARITHMETIC):
        return exp.Cast(this=node.copy(), to=exp.DataType.build("bigint", dialect="duckdb"))
    return node


def _cast(node: Any) -> exp.Expression:
    value, fails = node.this.sql("duckdb"), isinstance(node, exp.TryCast)
    kind = node.to.this
    if kind == exp.DataType.Type.BIGINT:
        template = _TO_INT64
    elif kind in (exp.DataType.Type.TEXT, exp.DataType.Type.VARCHAR):
        template = _TO_STRING
    elif kind == exp.DataType.Type.DOUBLE or (kind == exp.DataType.Type.TIMESTAMPTZ and node.this.is_string):
        return node
    else:
        raise InputError(
            f"{node.sql('bigquery')}: a local warehouse casts to INT64, FLOAT64 and STRING, and text to TIMESTAMP."
        )
    cast = "TRY_CAST" if fails else "CAST"
    bad = "NULL" if fails else "ERROR('there is a text that is no whole number, or a FLOAT64 to write as STRING')"
    return sqlglot.parse_one(template.format(value=value, cast=cast, bad=bad), read="duckdb")


def _json_value(node: Any) -> exp.Expression:
    path = node.args.get("path") or node.args.get("expression")
    pointer = ""
    if isinstance(path, exp.Literal):
        raise InputError(f"{path.name!r} is not a path into JSON; write for example '$.batch' or '$.\"two words\"'.")
    for part in [] if path is None else path.expressions:
        if isinstance(part, exp.JSONPathKey | exp.JSONPathSubscript) and isinstance(part.this, str | int):
            # A JSON pointer (RFC 6901) can name every key; a path cannot.
            pointer += "/" + str(part.this).replace("~", "~0").replace("/", "~1")
        elif not isinstance(part, exp.JSONPathRoot):
            raise InputError(f"{path.sql('bigquery')}: only names and numbers can be in a path into JSON.")
    return exp.Anonymous(this="json_extract_string", expressions=[node.this, exp.Literal.string(pointer)])


def _unnest(node: Any) -> exp.Expression:
    if not node.args.get("offset"):
        return node
    # sqlglot makes a 1-based WITH ORDINALITY of it.
    offset = node.args["offset"]
    place = offset.name if isinstance(offset, exp.Identifier) else "offset"
    alias = node.args.get("alias")
    names = [column.name for column in alias.columns] if alias is not None else []
    element = next(
        (name for name in names if name != place), alias.name if alias is not None and alias.name else "element"
    )
    items = node.expressions[0]
    places = exp.Anonymous(
        this="range", expressions=[exp.Literal.number(0), exp.Anonymous(this="len", expressions=[items.copy()])]
    )
    lists = {element: items.copy(), place: places}
    select = exp.select(
        *(
            exp.alias_(exp.Anonymous(this="unnest", expressions=[values]), name, quoted=True)
            for name, values in lists.items()
        )
    )
    return exp.Subquery(this=select, alias=exp.TableAlias(this=exp.to_identifier(f"unnested_{element}_{place}")))


_REWRITINGS: tuple[tuple[Any, Callable[[Any], exp.Expression]], ...] = (
    (exp.IntDiv, _whole_division),
    (exp.Div, _division),
    (exp.ApproxDistinct, _distinct),
    (exp.Cast, _cast),  # TryCast is one
    (exp.Literal, _number),
    ((exp.JSONValue, exp.JSONExtractScalar), _json_value),
    (exp.Unnest, _unnest),
)
