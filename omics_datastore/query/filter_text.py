"""Conditions as they are written on a command line: ``tissue == lung``, or a nested one as ``{any: [...]}``."""

import re

from pydantic import ValidationError

from omics_datastore.errors import InputError
from omics_datastore.query.filter_values import LIST_OPERATORS, NULL_OPERATORS, ORDER_OPERATORS, SYMBOLS, Scalar
from omics_datastore.query.filters import EXTRA_PREFIX, CellFilter, Condition, Part
from omics_datastore.storage.documents import describe
from omics_datastore.storage.yaml_text import load_yaml

_TEXT_CONDITION = re.compile(
    r"\s*(?P<column>.+?)\s*(?:"
    r"(?P<null>\s(?:is\s+not\s+null|is\s+null|is_null|not_null))"
    r"|(?P<symbol>==|!=|<>|>=|<=|=|>|<)"
    r"|\s(?P<word>not\s+in|in|not_in|eq|not_eq|gte|gt|lte|lt|descendant_of|descendant\s+of)(?=[\s\[])"
    r")(?P<rest>.*)",
    re.DOTALL | re.IGNORECASE,
)
_ITEM = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^,]*?))\s*(?:,|$)""", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def parse_part(text: str) -> Part:
    """Read a condition, or a nested one: text that begins with ``{`` is YAML, ``{any: [{tissue__eq: lung}, …]}``.

    :param text: The condition.
    :return: The condition; several entries of a mapping all must hold.
    :raise ValueError: When the text is none, in one sentence.
    """
    if not text.lstrip().startswith("{"):
        return parse_condition(text)
    try:
        content = load_yaml(text)
    except ValueError as error:
        raise ValueError(f"{text!r} {error}") from error
    (part,) = CellFilter.model_validate([content]).conditions
    return part


def parse_filter(text: str | bytes, where: str) -> CellFilter:
    """Read a filter from a YAML file: the filter alone, or the specification of a curriculum that has one.

    :param text: The YAML.
    :param where: The file, for messages.
    :return: The filter.
    :raise InputError: When it is none, in one sentence.
    """
    try:
        content = load_yaml(text)
    except ValueError as error:
        raise InputError(f"{where} {error}.") from error
    return read_filter(content["filter"] if isinstance(content, dict) and "filter" in content else content, where)


def read_filter(content: object, where: str) -> CellFilter:
    """Read a filter from what YAML or JSON held.

    :param content: A list, a mapping or nothing.
    :param where: Where it was, for messages.
    :return: The filter.
    :raise InputError: When it is none, in one sentence.
    """
    try:
        return CellFilter.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{where}: {describe(error)}.") from error


def parse_condition(text: str) -> Condition:
    """Read a condition as it is written on a command line.

    ``cell_type == T cell``, ``total_mrna_umis >= 500``, ``tissue in lung, blood``, ``tissue not in [a, "b, c"]``,
    ``donor_id is null``, ``tissue_ontology_term_id descendant_of UBERON:0002048``; the operators' names work too
    (``tissue eq lung``). Values are text, whose type the column decides later; only numbers that ``metadata_extra``
    keys are ordered by become numbers here.

    :param text: The condition.
    :return: The condition.
    :raise ValueError: When the text is no condition, in one sentence.
    """
    match = _TEXT_CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a condition: write 'column operator value', for example 'tissue == lung'")
    written = match["null"] or match["symbol"] or match["word"]
    word = " ".join(written.lower().split())
    op = SYMBOLS.get(word, word)
    column, rest = match["column"], match["rest"].strip()
    if op in NULL_OPERATORS:
        if rest:
            raise ValueError(f"{column} {word}: takes no value, remove {rest!r}")
        return Condition.model_validate({"column": column, "op": op})
    if not rest:
        raise ValueError(f"{column} {word}: the value is missing")
    if op in LIST_OPERATORS:
        return Condition.model_validate({"column": column, "op": op, "value": _text_items(column, word, rest)})
    value: Scalar = _unquoted(rest)
    if op in ORDER_OPERATORS and column.startswith(EXTRA_PREFIX) and _NUMBER.fullmatch(rest):
        value = float(rest) if not rest.lstrip("+-").isdecimal() else int(rest)
    return Condition.model_validate({"column": column, "op": op, "value": value})


def _text_items(column: str, word: str, rest: str) -> list[str]:
    if rest[0] in "[(" and rest[-1] in "])":
        rest = rest[1:-1]
    items: list[str] = []
    position = 0
    while position < len(rest):
        match = _ITEM.match(rest, position)
        if match is None:
            raise ValueError(f"{column} {word}: cannot read {rest[position:]!r}; separate values by commas")
        quoted = match[1] if match[1] is not None else match[2]
        text = match[3] if quoted is None else _unescaped(quoted)
        if text or quoted is not None:
            items.append(text)
        position = match.end()
    return items


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return _unescaped(text[1:-1])
    return text


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
