"""The filter expressions of a listing: comparisons joined by AND (https://google.aip.dev/160), no more."""

import re
from typing import Any

_TERM = re.compile(r'\s*([a-z_]+)(?:\.([a-z0-9_-]+))?\s*(!=|=)\s*"?([^"\s]*)"?\s*')


def matches(job: Any, expression: str) -> bool:
    """Tell whether a job fits an expression.

    :raise ValueError: When the expression is more than this understands.
    """
    return all(_fits(job, term) for term in expression.split(" AND ")) if expression.strip() else True


def _fits(job: Any, term: str) -> bool:
    match = _TERM.fullmatch(term)
    if match is None:
        raise ValueError(term)
    name, key, operator, value = match.groups()
    if name == "labels" and key is not None:
        actual = job.labels.get(key)
    elif name == "state" and key is None:
        actual = job.state.name
    elif name == "display_name" and key is None:
        actual = job.display_name
    else:
        raise ValueError(term)
    return (actual == value) is (operator == "=")
