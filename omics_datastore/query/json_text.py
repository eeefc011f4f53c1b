"""The one operation Ibis lacks: a value of a JSON object, by its key, as text.

Ibis unwraps each JSON type on its own, and its paths cannot hold every key. How a dialect writes the operation
is in :mod:`omics_datastore.query.compile`.
"""

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.rules as rlz
import ibis.expr.types as ir


class JSONText(ops.Value):  # type: ignore[misc]
    """The text of the scalar under a key of a JSON object; null when there is none or it is JSON null."""

    arg: ops.Value[dt.JSON]
    key: str

    dtype = dt.string
    shape = rlz.shape_like("arg")


def json_text(json: ir.Value, key: str) -> ir.StringValue:
    """Return the value under a key of a JSON object as text.

    :param json: JSON objects whose values are text, numbers, booleans or null.
    :param key: Any key; spaces, dots and quotes are allowed.
    :return: Text as it is, numbers and booleans as JSON writes them. DuckDB and BigQuery spell floats below 1e-4 and
        from 1e16 differently (``1e-7``, ``1e-07``): compare numbers as numbers.
    """
    return JSONText(json, key).to_expr()
