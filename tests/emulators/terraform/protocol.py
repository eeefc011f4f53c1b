"""The messages of Terraform's plugin protocol 5 that a provider without a cloud needs, made from a table.

Field numbers are those of `tfplugin5.proto <https://developer.hashicorp.com/terraform/plugin/terraform-plugin-protocol>`_.
Fields and methods that are not here are skipped by protobuf and gRPC, as the protocol provides for.
"""

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "tfplugin5"
SERVICE = f"{PACKAGE}.Provider"
_TYPES = {"string": 9, "bytes": 12, "bool": 8, "int64": 3}

# message: {field: (number, type)}; a type in brackets is repeated, one after "map:" the values of a map by string.
_MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "DynamicValue": {"msgpack": (1, "bytes"), "json": (2, "bytes")},
    "Step": {"attribute_name": (1, "string"), "element_key_string": (2, "string"), "element_key_int": (3, "int64")},
    "AttributePath": {"steps": (1, "[Step]")},
    "Diagnostic": {
        "severity": (1, "int64"),
        "summary": (2, "string"),
        "detail": (3, "string"),
        "attribute": (4, "AttributePath"),
    },
    "Attribute": {
        "name": (1, "string"),
        "type": (2, "bytes"),
        "description": (3, "string"),
        "required": (4, "bool"),
        "optional": (5, "bool"),
        "computed": (6, "bool"),
        "sensitive": (7, "bool"),
        "write_only": (10, "bool"),
    },
    "NestedBlock": {
        "type_name": (1, "string"),
        "block": (2, "Block"),
        "nesting": (3, "int64"),
        "min_items": (4, "int64"),
        "max_items": (5, "int64"),
    },
    "Block": {"version": (1, "int64"), "attributes": (2, "[Attribute]"), "block_types": (3, "[NestedBlock]")},
    "Schema": {"version": (1, "int64"), "block": (2, "Block")},
    "Empty": {},
    "SchemaAnswer": {
        "provider": (1, "Schema"),
        "resource_schemas": (2, "map:Schema"),
        "data_source_schemas": (3, "map:Schema"),
        "diagnostics": (4, "[Diagnostic]"),
        "ephemeral_resource_schemas": (8, "map:Schema"),
    },
    "Prepare": {"config": (1, "DynamicValue")},
    "PrepareAnswer": {"prepared_config": (1, "DynamicValue"), "diagnostics": (2, "[Diagnostic]")},
    "Configure": {"terraform_version": (1, "string"), "config": (2, "DynamicValue")},
    "Validate": {"type_name": (1, "string"), "config": (2, "DynamicValue")},
    "Diagnostics": {"diagnostics": (1, "[Diagnostic]")},
    "Plan": {
        "type_name": (1, "string"),
        "prior_state": (2, "DynamicValue"),
        "proposed_new_state": (3, "DynamicValue"),
        "config": (4, "DynamicValue"),
    },
    "PlanAnswer": {"planned_state": (1, "DynamicValue"), "diagnostics": (4, "[Diagnostic]")},
    "Read": {"type_name": (1, "string"), "config": (2, "DynamicValue")},
    "ReadAnswer": {"state": (1, "DynamicValue"), "diagnostics": (2, "[Diagnostic]")},
    "OpenAnswer": {"diagnostics": (1, "[Diagnostic]"), "result": (3, "DynamicValue")},
    "StopAnswer": {"Error": (1, "string")},
}

METHODS = {
    "GetSchema": ("Empty", "SchemaAnswer"),
    "PrepareProviderConfig": ("Prepare", "PrepareAnswer"),
    "ValidateResourceTypeConfig": ("Validate", "Diagnostics"),
    "ValidateDataSourceConfig": ("Validate", "Diagnostics"),
    "ValidateEphemeralResourceConfig": ("Validate", "Diagnostics"),
    "Configure": ("Configure", "Diagnostics"),
    "PlanResourceChange": ("Plan", "PlanAnswer"),
    "ReadDataSource": ("Read", "ReadAnswer"),
    "OpenEphemeralResource": ("Read", "OpenAnswer"),
    "CloseEphemeralResource": ("Read", "Diagnostics"),
    "Stop": ("Empty", "StopAnswer"),
}
"""For every method of the service its request and its answer."""


@cache
def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="stand_in.proto", package="stand_in", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"stand_in.{name}")) for name in _MESSAGES}


def _add_field(message: Any, field: str, number: int, kind: str) -> None:
    repeated = kind.startswith(("[", "map:"))
    plain = kind.strip("[]").removeprefix("map:")
    added = message.field.add(name=field, number=number, label=3 if repeated else 1)
    if kind.startswith("map:"):
        entry = message.nested_type.add(name="".join(word.title() for word in field.split("_")) + "Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=1, type=9)
        entry.field.add(name="value", number=2, label=1, type=11, type_name=f".stand_in.{plain}")
        added.type, added.type_name = 11, f".stand_in.{message.name}.{entry.name}"
    elif plain in _TYPES:
        added.type = _TYPES[plain]
    else:
        added.type, added.type_name = 11, f".stand_in.{plain}"


def message_class(name: str) -> Any:
    """Return the class of a message of the table."""
    return _classes()[name]
