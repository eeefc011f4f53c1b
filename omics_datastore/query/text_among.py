"""Whether a text is one of thousands, where Ibis makes a node of each value and takes half a second for a thousand.

How a dialect writes the operation is in :mod:`omics_datastore.query.compile`.
"""

from collections.abc import Sequence

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.rules as rlz
import ibis.expr.types as ir
from ibis.common.typing import VarTuple


class TextAmong(ops.Value):  # type: ignore[misc]
    """Whether a text is among values; null for a null."""

    arg: ops.Value[dt.String]
    values: VarTuple[str]

    dtype = dt.boolean
    shape = rlz.shape_like("arg")


def text_among(text: ir.StringValue, values: Sequence[str]) -> ir.BooleanValue:
    """Return whether texts are among some.

    :param text: The texts.
    :param values: The values, at least one.
    :return: True or false; null for a null.
    """
    return TextAmong(text, tuple(values)).to_expr()
