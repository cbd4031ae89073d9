"""A guard that protects the Dagster UI, which has no login, against requests from pages of other sites.

Any page in a browser can send requests to 127.0.0.1. Dagster answers such requests, even GraphQL mutations by GET, and
by POST without a JSON content type. The guard rejects

- a `Host` that is not a known name of the UI, for example a foreign name that resolves to this machine (DNS rebinding);
- an `Origin` other than the UI's own, for all requests and WebSockets;
- requests that the browser marks as coming from another site (`Sec-Fetch-Site`). A link that opens the UI is allowed;
- GraphQL by GET, and bodies that are not JSON, because a foreign page could send these without a CORS preflight.

Programs such as curl do not send `Origin` or `Sec-Fetch-Site`, so only the first and the last rule affect such
programs. All answers forbid pages of other sites to show the UI in a frame.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
# The only content type that `SameOriginOnly` accepts. A foreign page cannot send this type without a CORS preflight.
JSON = "application/json"
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d+)?")
_FRAMES = [(b"x-frame-options", b"SAMEORIGIN"), (b"content-security-policy", b"frame-ancestors 'self'")]


class SameOriginOnly:
    """ASGI middleware that accepts only requests from the UI's own pages and from programs.

    `hosts`: the allowed names and addresses of the UI, without a port.
    """

    def __init__(self, app: App, hosts: Iterable[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        reason = refusal(scope, self._hosts)
        if reason is None:
            await self._app(scope, receive, _without_frames(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # 1008 means a policy violation
        else:
            await _refuse(send, reason)


def refusal(scope: Mapping[str, Any], hosts: frozenset[str]) -> str | None:
    """Return the reason why a request is rejected, or None if the request is accepted."""
    headers = _headers(scope)
    host = headers.get("host", "")
    if _name_of(host) not in hosts:
        return (
            f"The name {host!r} is not known. If it is a name of the UI, add it without port to server.allowed_hosts."
        )
    origin = headers.get("origin")
    if origin is not None and _address_of(origin) != host.lower():
        return f"Requests from pages of {origin} are refused."
    if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not _opens_page(scope, headers):
        return "Requests from pages of other sites are refused."
    if scope["type"] == "http":
        return _refusal_of_body(scope, headers)
    return None


def _refusal_of_body(scope: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    method = scope["method"]
    if method in ("GET", "HEAD"):
        if scope["path"].rstrip("/").endswith("/graphql") and b"query=" in scope.get("query_string", b""):
            return "GraphQL by GET is refused. Use POST with a JSON body."
        return None
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != JSON:
        return f"A body of type {content_type or '(none)'} is refused. Send {JSON}."
    return None


def _opens_page(scope: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """Return whether the request opens the UI as a whole page, for example because the user follows a link."""
    return (
        scope.get("method") == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _headers(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers by lower-case name.

    If a header is sent twice, its two values are joined. A joined `Host`, `Origin` or `Content-Type` is not accepted.
    """
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _name_of(host: str) -> str | None:
    """Return the host name in a `Host` header without the port, or None if the header is invalid."""
    parts = _HOST.fullmatch(host.lower())
    return parts and parts["name"].strip("[]")


def _address_of(origin: str) -> str | None:
    """Return the host and port of an `Origin` in the form of a `Host` header.

    Return None for an origin without a host, such as `null`.
    """
    scheme, separator, address = origin.lower().partition("://")
    return address if separator and scheme in ("http", "https") else None


async def _refuse(send: Send, reason: str) -> None:
    body = f"{reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()), *_FRAMES]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _without_frames(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_FRAMES]}
        await send(message)

    return send_with_headers
