"""Which requests the web server takes at all: those of its own pages and of programs, not those of other web sites.

Dagster's web server has no users and asks no request where it is from. It runs GraphQL of a plain link
(``GET /graphql?query=mutation…``) and of forms, so that any page that a person has open could start and delete things
on a server that listens on loopback only; and it answers to every name, so that such a page could also read what it
answers, by a name of its own that leads to 127.0.0.1 (DNS rebinding). Nothing here knows who somebody is.
"""

import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

GRAPHQL = "/graphql"
HEALTH = "/server_info"
"""Versions and no more; what asks after the health of a container uses the container's address."""
_READING = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:]+)(?::([0-9]+))?")
_HEADERS = ((b"x-frame-options", b"DENY"), (b"cross-origin-resource-policy", b"same-origin"))
"""No other site may show a page of ours in a frame, or load it as a picture or a script."""


def own_names(*addresses: str) -> frozenset[str]:
    """Return the names that the server answers to, besides numbers, which no other site can have as its name.

    :param addresses: Names, or addresses with ``http://`` or ``https://``; empty ones are left out.
    :return: ``localhost``, this machine's name, and the names of the addresses, in lower case.
    """
    given = (urlsplit(address).hostname if "://" in address else address for address in addresses if address)
    return frozenset({"localhost", socket.gethostname().lower(), *(name.lower() for name in given if name)})


def refusal(scope: Scope, names: Iterable[str], *, read_only: bool) -> tuple[int, str] | None:
    """Say why a request is refused.

    :param scope: The request, or the beginning of a websocket, as ASGI describes it.
    :param names: Of :func:`own_names`.
    :param read_only: Whether nothing may be changed.
    :return: Status and a sentence; ``None`` when the request is taken.
    """
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    method = scope.get("method", "WEBSOCKET")
    path = scope["path"].rstrip("/") or "/"
    host = headers.get("host", "")
    if path == HEALTH and method in _READING:
        return None
    if not _is_own(host, names):
        return 421, (
            f"This server does not answer to the name {host!r}. If it is its own, set NEXUS_WEB_ADDRESS to the address "
            "that people type."
        )
    if method in _READING:
        asks = path == GRAPHQL and "query" in parse_qs(scope.get("query_string", b"").decode("latin-1"))
        return (405, "GraphQL is asked with POST.") if asks else None
    if not _is_of_own_page(headers, host):
        return 403, "A page of another web site may not do this."
    return _refused_act(method, path, headers, read_only=read_only)


def _refused_act(method: str, path: str, headers: dict[str, str], *, read_only: bool) -> tuple[int, str] | None:
    if method == "WEBSOCKET":
        return None
    if path == GRAPHQL:
        # The essence alone: other sites may send "text/plain; application/json", which Dagster takes for JSON.
        essence = headers.get("content-type", "").partition(";")[0].strip().lower()
        return None if essence == "application/json" else (415, "GraphQL is asked with application/json.")
    return (403, "This web UI is read-only.") if read_only else None


def _is_own(host: str, names: Iterable[str]) -> bool:
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1].strip("[]").lower()
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in names
    return True


def _is_of_own_page(headers: dict[str, str], host: str) -> bool:
    """Tell whether a request is of a page of this server; programs that are no browsers say nothing of it."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    if "origin" not in headers:
        return True
    parts = urlsplit(headers["origin"])
    return parts.scheme in ("http", "https") and _without_port(parts.netloc) == _without_port(host)


def _without_port(host: str) -> str:
    return re.sub(r":(80|443)$", "", host.lower())


class WebGuard:
    """Stand before an ASGI application.

    :param app: The application.
    :param names: Of :func:`own_names`.
    :param read_only: Whether nothing may be changed.
    """

    def __init__(self, app: App, *, names: frozenset[str], read_only: bool) -> None:
        self._app = app
        self._names = names
        self._read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        refused = None
        if scope["type"] in ("http", "websocket"):
            refused = refusal(scope, self._names, read_only=self._read_only)
        if refused is None:
            await self._app(scope, receive, lambda message: send(_with_headers(message)))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refused[1][:100]})
        else:
            status, sentence = refused
            plain = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
            await send({"type": "http.response.start", "status": status, "headers": plain})
            await send({"type": "http.response.body", "body": f"{sentence}\n".encode()})


def _with_headers(message: Message) -> Message:
    if message["type"] == "http.response.start":
        message["headers"] = [*message.get("headers", []), *_HEADERS]
    return message
