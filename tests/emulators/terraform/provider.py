"""Terraform providers without a cloud: they know the arguments of every resource and plan, and can make nothing.

Terraform's own core runs against them (``TF_REATTACH_PROVIDERS``), so references, types, arguments, blocks,
``for_each`` and the conditions of variables are judged by Terraform itself, and a plan shows every resource as it would
be asked for. What only Google judges (whether a value is allowed, whether a name is free, a quota) is not seen here.

``schemas.json`` holds the arguments of the resources that ``deploy/terraform`` uses, as version 6.50 of the provider
``hashicorp/google`` has them: name, type, and whether they are required, optional, computed or write-only.
"""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import msgpack

from tests.emulators.terraform.protocol import METHODS, SERVICE, message_class

SCHEMAS = Path(__file__).with_name("schemas.json")
_UNKNOWN = msgpack.ExtType(0, b"\0")
_NESTING = {"single": 1, "list": 2, "set": 3}
_FROM_ARGUMENTS = {
    "google_project_iam_custom_role": {"id": "projects/{project}/roles/{role_id}"},
    "google_service_account": {"email": "{account_id}@{project}.iam.gserviceaccount.com"},
}
"""What Google makes from the arguments, so that a plan shows who may do what."""

Block = dict[str, Any]


class _Provider:
    def __init__(self, schemas: dict[str, Any]) -> None:
        self._schemas = schemas
        self._project: str | None = None

    def answer(self, method: str, request: Any) -> Any:
        """Answer one call; a resource that is not known here is an error that names it."""
        made = message_class(METHODS[method][1])()
        if method == "GetSchema":
            made.provider.CopyFrom(_schema(self._schemas["provider"]))
            for kind in ("resource", "data_source", "ephemeral_resource"):
                for name, block in self._schemas.get(kind, {}).items():
                    getattr(made, f"{kind}_schemas")[name].CopyFrom(_schema(block))
        elif method == "PrepareProviderConfig":
            made.prepared_config.CopyFrom(request.config)
        elif method == "Configure":
            self._project = msgpack.unpackb(request.config.msgpack).get("project")
        elif method == "PlanResourceChange":
            made.planned_state.msgpack = self._fill("resource", request.type_name, request.proposed_new_state.msgpack)
        elif method == "ReadDataSource":
            made.state.msgpack = self._fill("data_source", request.type_name, request.config.msgpack)
        elif method == "OpenEphemeralResource":
            made.result.msgpack = self._fill("ephemeral_resource", request.type_name, request.config.msgpack)
        return made

    def _fill(self, kind: str, name: str, packed: bytes) -> bytes:
        """Give values to what a provider decides: mostly unknown in a plan, made up in what is read."""
        values = msgpack.unpackb(packed, strict_map_key=False)
        if values is None:
            return packed
        for argument, entry in self._schemas[kind][name].items():
            if isinstance(entry, list) and _is_decided(argument, entry[1]) and values.get(argument) is None:
                values[argument] = _UNKNOWN if kind == "resource" else _made_up(argument, entry[0])
            elif isinstance(entry, list) and entry[1] == "write_only":
                values[argument] = None
        if self._project is not None and values.get("project") == _UNKNOWN:
            values["project"] = self._project
        for argument, template in _FROM_ARGUMENTS.get(name, {}).items():
            if kind == "resource":
                values[argument] = template.format(**values)
        filled: bytes = msgpack.packb(values)
        return filled


def _schema(block: Block) -> Any:
    made = message_class("Schema")()
    made.block.CopyFrom(_block(block))
    return made


def _block(block: Block) -> Any:
    made = message_class("Block")()
    for name, entry in block.items():
        if isinstance(entry, list):
            kind, role = entry
            made.attributes.add(
                name=name,
                type=json.dumps(kind).encode(),
                required=role == "required",
                optional=role in ("optional", "write_only"),
                computed=_is_decided(name, role),
                write_only=role == "write_only",
            )
        else:
            nested = made.block_types.add(type_name=name, nesting=_NESTING[entry["nesting"]])
            nested.min_items, nested.max_items = entry["min"], entry["max"]
            nested.block.CopyFrom(_block(entry["block"]))
    return made


def _is_decided(name: str, role: str) -> bool:
    """Say whether the provider gives an argument its value when nobody else does."""
    return role == "computed" or (role == "optional" and name in ("id", "project"))


def _made_up(name: str, kind: Any) -> Any:
    if kind == "string":
        return "123456789012" if name == "number" else f"made-up-{name}"
    return {"number": 1, "bool": False}.get(kind) if isinstance(kind, str) else None


@contextmanager
def providers() -> Iterator[dict[str, str]]:
    """Serve the providers while a ``with`` block runs; yield the variables by which Terraform finds them."""
    schemas: dict[str, Any] = json.loads(SCHEMAS.read_text())
    servers, found = [], {}
    for address, known in schemas.items():
        server = grpc.server(ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, _handlers(_Provider(known))),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        found[address] = {
            "Protocol": "grpc",
            "ProtocolVersion": 5,
            "Pid": os.getpid(),
            "Test": True,
            "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
        }
    try:
        yield {"TF_REATTACH_PROVIDERS": json.dumps(found), "TF_CLI_CONFIG_FILE": os.devnull, "CHECKPOINT_DISABLE": "1"}
    finally:
        for server in servers:
            server.stop(None).wait()


def _handlers(provider: _Provider) -> dict[str, Any]:
    def handler(method: str, request: str) -> Any:
        def call(message: Any, context: Any) -> Any:
            return provider.answer(method, message)

        return grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=message_class(request).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    return {method: handler(method, request) for method, (request, _) in METHODS.items()}
