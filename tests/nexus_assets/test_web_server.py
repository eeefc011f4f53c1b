"""The web server over a real socket: who is answered, and that read-only means every mutation there is."""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    get_named_type,
    is_leaf_type,
)

from nexus_assets.cli.up_command import exposure
from nexus_assets.web_guard import own_names, refusal
from nexus_assets.web_server import GuardedWebserver

ADD = 'mutation { addDynamicPartition(partitionsDefName: "datasets", partitionKey: "%s", repositorySelector: \
{repositoryName: "r", repositoryLocationName: "l"}) { __typename } }'
JSON = {"Content-Type": "application/json"}


class Web:
    """A web server that runs, its instance, and its schema."""

    def __init__(self, port: int, instance: dg.DagsterInstance, server: GuardedWebserver) -> None:
        self.port, self.instance = port, instance
        self.mutations: Mapping[str, GraphQLField] = server._graphene_schema.graphql_schema.mutation_type.fields

    def ask(
        self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, Mapping[str, str]]:
        """Send one request; ``Host`` is as a browser would write it unless given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), {name.lower(): text for name, text in answer.getheaders()}
        finally:
            connection.close()

    def graphql(self, query: str, **headers: str) -> tuple[int, Any]:
        """Ask GraphQL as the pages do."""
        status, text, _ = self.ask("POST", "/graphql", json.dumps({"query": query}), {**JSON, **headers})
        return status, json.loads(text) if text.startswith("{") else text


@contextmanager
def running(*, read_only: bool) -> Iterator[Web]:
    with (
        dg.instance_for_test() as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget(), read_only=read_only) as context,
    ):
        made = GuardedWebserver(context, own_names("https://nexus.example"), read_only=read_only)
        config = uvicorn.Config(made.create_asgi_app(), port=0, log_level="critical", ws="websockets-sansio")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield Web(server.servers[0].sockets[0].getsockname()[1], instance, made)
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with running(read_only=False) as made:
        yield made


@pytest.fixture(scope="module")
def shown() -> Iterator[Web]:
    with running(read_only=True) as made:
        yield made


def literal(kind: Any) -> str:
    """Write a value of an input type, as small as it may be."""
    if isinstance(kind, GraphQLNonNull):
        return literal(kind.of_type)
    if isinstance(kind, GraphQLList):
        return f"[{literal(kind.of_type)}]"
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values))
    if isinstance(kind, GraphQLInputObjectType):
        needed = {name: field.type for name, field in kind.fields.items() if isinstance(field.type, GraphQLNonNull)}
        return "{" + ", ".join(f"{name}: {literal(type_)}" for name, type_ in needed.items()) + "}"
    assert isinstance(kind, GraphQLScalarType)
    return {"Int": "1", "Float": "1.0", "Boolean": "true"}.get(kind.name, '"x"')


def written(name: str, field: GraphQLField) -> str:
    """Write a mutation that is valid but for what it names."""
    given = [f"{key}: {literal(arg.type)}" for key, arg in field.args.items() if isinstance(arg.type, GraphQLNonNull)]
    selected = "" if is_leaf_type(get_named_type(field.type)) else " { __typename }"
    return f"mutation {{ {name}{'(' + ', '.join(given) + ')' if given else ''}{selected} }}"


def test_read_only_refuses_every_mutation(shown: Web) -> None:
    assert len(shown.mutations) > 30
    for name, field in shown.mutations.items():
        status, answer = shown.graphql(written(name, field))
        assert status == 400, name
        # The one fault of it: were it not for that, it would be executed.
        assert [error["message"] for error in answer["errors"]] == ["This web UI is read-only."], name
        assert answer["data"] is None
    hidden = "query shown { version } " + ADD.replace("mutation", "mutation hidden") % "a"
    assert shown.graphql(hidden)[0] == 400
    for path in ("/report_asset_materialization/a", "/report_asset_check/a", "/report_asset_observation/a"):
        assert shown.ask("POST", path, "{}", JSON)[:2] == (403, "This web UI is read-only.\n")
    assert shown.instance.get_latest_materialization_event(dg.AssetKey("a")) is None
    assert shown.graphql("{ version }") == (
        200,
        {"data": {"version": shown.graphql("{ version }")[1]["data"]["version"]}},
    )


def test_the_mutations_of_the_test_are_executed_elsewhere(web: Web) -> None:
    """The test above can fail: the same text, sent to a server that is not read-only, changes something."""
    status, answer = web.graphql(written("setNuxSeen", web.mutations["setNuxSeen"]))
    assert (status, answer) == (200, {"data": {"setNuxSeen": True}})
    assert web.ask("POST", "/report_asset_materialization/a", "{}", JSON)[0] == 200
    assert web.instance.get_latest_materialization_event(dg.AssetKey("a")) is not None


def test_other_web_sites_are_refused(web: Web) -> None:
    own = f"127.0.0.1:{web.port}"
    query, mutation = json.dumps({"query": "{ version }"}), json.dumps({"query": "mutation { setNuxSeen }"})
    told = "/graphql?query=mutation%20%7B%20setNuxSeen%20%7D"
    refused = [
        # A link, a picture, a form: no page of ours asks like that.
        (405, "GET", told, None, {}),
        (405, "GET", told.replace("query", "quer%79"), None, {"Accept": "text/html"}),
        (405, "HEAD", told, None, {}),
        (415, "POST", told, None, {}),
        (415, "POST", "/graphql", mutation, {"Content-Type": "text/plain"}),
        (415, "POST", "/graphql", mutation, {"Content-Type": "text/plain; application/json"}),
        (415, "POST", "/graphql", "mutation { setNuxSeen }", {"Content-Type": "application/graphql"}),
        # A script of another site, should a browser let it through.
        (403, "POST", "/graphql", mutation, {**JSON, "Origin": "https://evil.example"}),
        (403, "POST", "/graphql", mutation, {**JSON, "Origin": "null"}),
        (403, "POST", "/graphql", mutation, {**JSON, "Origin": f"http://{own}.evil.example"}),
        (403, "POST", "/graphql", mutation, {**JSON, "Origin": f"http://evil.example@{own}"}),
        (403, "POST", "/graphql", mutation, {**JSON, "Origin": "http://127.0.0.1:1"}),
        (403, "POST", "/graphql", mutation, {**JSON, "Sec-Fetch-Site": "cross-site"}),
        (403, "POST", "/graphql", mutation, {**JSON, "Sec-Fetch-Site": "same-site"}),
        (403, "POST", "/report_asset_materialization/b?partition=x", None, {"Origin": "https://evil.example"}),
        # A name of another site that leads here.
        (421, "POST", "/graphql", query, {**JSON, "Host": "evil.example"}),
        (421, "POST", "/graphql", query, {**JSON, "Host": f"evil.example:{web.port}", "Origin": "http://evil.example"}),
        (421, "GET", "/", None, {"Host": "localhost.evil.example"}),
        (421, "GET", "/", None, {"Host": "evil.example@localhost"}),
        (421, "GET", "/logs/a/b/err", None, {"Host": ""}),
        # A websocket does not ask before it is opened.
        (403, "GET", "/graphql", None, {**SOCKET, "Origin": "https://evil.example"}),
        (403, "GET", "/graphql", None, {**SOCKET, "Host": "evil.example"}),
    ]
    for status, method, path, body, headers in refused:
        assert web.ask(method, path, body, headers)[0] == status, (method, path, headers)
    assert web.instance.get_latest_materialization_event(dg.AssetKey("b")) is None


SOCKET = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol": "graphql-ws",
}


def test_own_pages_and_programs_are_answered(web: Web) -> None:
    own = f"127.0.0.1:{web.port}"
    query = json.dumps({"query": "{ version }"})
    taken = [
        ("POST", "/graphql", query, JSON),
        ("POST", "/graphql", query, {"Content-Type": "application/json; charset=utf-8"}),
        ("POST", "/graphql", query, {**JSON, "Origin": f"http://{own}", "Sec-Fetch-Site": "same-origin"}),
        ("POST", "/graphql", query, {**JSON, "Host": "localhost:3000", "Origin": "http://localhost:3000"}),
        ("POST", "/graphql", query, {**JSON, "Host": f"[::1]:{web.port}", "Origin": f"http://[::1]:{web.port}"}),
        ("POST", "/graphql", query, {**JSON, "Host": "Nexus.Example", "Origin": "https://nexus.example:443"}),
        ("GET", "/runs", None, {"Sec-Fetch-Site": "cross-site"}),  # a link to a run, in a message
        ("GET", "/graphql", None, {"Accept": "text/html"}),
        ("GET", "/server_info", None, {"Host": "10.8.0.3:8080"}),
        ("GET", "/server_info", None, {"Host": "whoever.asks.after.its.health"}),
    ]
    for method, path, body, headers in taken:
        assert web.ask(method, path, body, headers)[0] == 200, (method, path, headers)
    assert web.ask("GET", "/graphql", None, {**SOCKET, "Origin": f"http://{own}"})[0] == 101
    sent = web.ask("GET", "/")[2]
    assert sent["x-frame-options"] == "DENY"
    assert sent["cross-origin-resource-policy"] == "same-origin"
    assert "script-src 'nonce-" in sent["content-security-policy"]


def test_files_of_the_machine_stay_there(web: Web) -> None:
    for path in ("/logs/../../../etc/passwd", "/logs/..%2f..%2f..%2fetc/passwd", "/logs/%2e%2e/%2e%2e/dagster/yaml"):
        text = web.ask("GET", path)[1]
        assert "root:" not in text
        assert "telemetry:" not in text


def test_names() -> None:
    names = own_names("https://Nexus.example:8443/x", "", "lab-3")
    assert {"localhost", "nexus.example", "lab-3"} < names
    scope = {"path": "/", "method": "GET", "headers": [(b"host", b"lab-3:3000")]}
    assert refusal(scope, names, read_only=False) is None
    refused = refusal({**scope, "headers": []}, names, read_only=False)
    assert refused is not None
    assert refused[0] == 421
    assert "NEXUS_WEB_ADDRESS" in refused[1]


def test_who_reaches_it_is_said() -> None:
    assert "may start and delete runs" in exposure("10.8.0.3", 3000, read_only=False)
    assert "may see everything" in exposure("10.8.0.3", 3000, read_only=True)
