"""The fields of a Pydantic model as a Markdown table."""

import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_NAMES = {"str": "text", "int": "integer", "float": "number", "bool": "true or false", "NoneType": "null"}


def fields_table(model: type[BaseModel], *, prefix: str = "") -> str:
    """Return a table with a row a field, fields of nested models among them.

    :param model: The model.
    :param prefix: With one, names are environment variables that begin with it.
    :return: Markdown, ending in a newline.
    """
    rows = []
    for name, field in _fields(model, prefix).items():
        cells = (f"`{name}`", type_name(field.annotation), _default(field), field.description or "")
        rows.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(["| key | value | default | meaning |", "|---|---|---|---|", *rows, ""])


def _fields(model: type[BaseModel], prefix: str) -> Mapping[str, FieldInfo]:
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        nested = next((part for part in _parts(field.annotation) if _is_record(part)), None)
        if nested is None:
            found[f"{prefix}{name.upper()}" if prefix else name] = field
            continue
        many = "[]" if get_origin(field.annotation) in (tuple, list) else ""
        if many or field.description:
            found[name] = field
        for inner, its in _fields(nested, prefix).items():
            found[f"{name}{many}.{inner}"] = its
    return found


def _is_record(part: Any) -> bool:
    """Tell whether a type is a model whose fields stand in the table; a filter has a form of its own."""
    return isinstance(part, type) and issubclass(part, BaseModel) and "Filter" not in part.__name__


def _parts(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType, tuple, list):
        return tuple(part for inner in get_args(annotation) for part in _parts(inner))
    return (annotation,)


def type_name(annotation: Any) -> str:
    """Say what a field takes, in words.

    :param annotation: Type annotation.
    :return: The words.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_name(part) for part in arguments))
    if origin in (tuple, list):
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return f"mapping of {type_name(arguments[0])} to {type_name(arguments[1])}"
    if annotation is Any:
        return "see the meaning"
    name = getattr(annotation, "__name__", str(annotation))
    return "conditions" if "Filter" in name else "keys of its own" if _is_record(annotation) else _NAMES.get(name, name)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default: Any = field.default
    if default is PydanticUndefined:
        return "depends on the machine"
    if default is None or default in ("", (), [], {}) or isinstance(default, BaseModel):
        return "none"
    if isinstance(default, tuple | list):
        return ", ".join(f"`{value}`" for value in default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _cell(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|")
