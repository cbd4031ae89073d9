"""The guard in front of the UI: which requests pass, by their headers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from titan10_dagster.dagster_internals.same_origin import LOCAL_HOSTS, Message, Receive, SameOriginOnly, Scope, Send

HOST = "127.0.0.1:3000"
JSON = {"content-type": "application/json"}


async def passed_on(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
    await send({"type": "http.response.body", "body": b"passed on"})


def answer(
    headers: Mapping[str, str], *, method: str = "POST", path: str = "/graphql", query: str = "", kind: str = "http"
) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": f"{kind}.disconnect"}

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {"type": kind, "path": path, "query_string": query.encode(), "headers": raw}
    if kind == "http":
        scope["method"] = method
    guard = SameOriginOnly(passed_on, (*LOCAL_HOSTS, "ui.example.com"))
    asyncio.run(guard(scope, receive, send))
    return sent


def status(headers: Mapping[str, str], **request: str) -> int:
    return int(answer(headers, **request)[0]["status"])


@pytest.mark.parametrize(
    "host", ["127.0.0.1:3000", "127.0.0.1", "localhost:3000", "LOCALHOST", "[::1]:3000", "ui.example.com"]
)
def test_the_uis_own_pages_may_do_everything(host: str) -> None:
    own = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin", **JSON}
    assert status(own) == 200
    assert status(own, method="GET", path="/runs") == 200


def test_a_page_behind_an_https_proxy_is_the_uis_own() -> None:
    assert status({"host": "ui.example.com", "origin": "https://ui.example.com", **JSON}) == 200


def test_programs_without_an_origin_may_send_json() -> None:
    assert status({"host": HOST, **JSON}) == 200
    assert status({"host": HOST, "content-type": "application/json; charset=utf-8"}) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.test:3000", "127.0.0.1.evil.test", "evil.test", "", "127.0.0.1@evil.test", "127.0.0.1:3000, evil.test", "["],
)
def test_an_unknown_name_is_refused(host: str) -> None:
    assert status({"host": host, **JSON}) == 403
    assert status({"host": host}, method="GET", path="/") == 403


def test_a_missing_name_is_refused() -> None:
    assert status(JSON) == 403


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.test",
        "http://127.0.0.1:8888",
        "null",
        "http://localhost:3000",
        "file://127.0.0.1:3000",
        "",
        "http://",
    ],
)
def test_another_origin_is_refused(origin: str) -> None:
    assert status({"host": HOST, "origin": origin, **JSON}) == 403
    assert status({"host": HOST, "origin": origin}, method="GET", path="/runs") == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_requests_of_other_sites_without_an_origin_are_refused(site: str) -> None:
    image = {"host": HOST, "sec-fetch-site": site, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    frame = {"host": HOST, "sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
    link = {"host": HOST, "sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert status(image, method="GET", path="/") == 403
    assert status(frame, method="GET", path="/") == 403
    assert status(link, method="GET", path="/runs") == 200
    assert status({**link, **JSON}) == 403


@pytest.mark.parametrize("query", ["query=mutation{x}", "a=b&query=%7B__typename%7D"])
def test_graphql_by_get_is_refused(query: str) -> None:
    assert status({"host": HOST}, method="GET", query=query) == 403
    assert status({"host": HOST}, method="GET", path="/prefix/graphql/", query=query) == 403
    assert status({"host": HOST}, method="GET", path="/graphql") == 200  # the page on which a user can try queries


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_that_a_form_could_send_is_refused(content_type: str) -> None:
    headers = {"host": HOST, "content-type": content_type} if content_type else {"host": HOST}
    assert status(headers) == 403
    assert status(headers, path="/report_asset_materialization/x") == 403


def test_a_websocket_of_another_origin_is_closed() -> None:
    (closed,) = answer({"host": HOST, "origin": "http://evil.test"}, kind="websocket")
    assert closed == {"type": "websocket.close", "code": 1008}
    assert answer({"host": HOST, "origin": f"http://{HOST}"}, kind="websocket")[0]["status"] == 200


def test_other_sites_may_not_show_the_ui_in_a_frame() -> None:
    headers = dict(answer({"host": HOST}, method="GET", path="/")[0]["headers"])
    assert headers[b"x-frame-options"] == b"SAMEORIGIN"
    assert headers[b"content-security-policy"] == b"frame-ancestors 'self'"
    assert headers[b"x-own"] == b"1"


def test_a_refusal_says_why() -> None:
    body = answer({"host": "ui.corp.test", **JSON})[1]["body"].decode()
    assert (
        body == "The name 'ui.corp.test' is not known. If it is a name of the UI, add it without port to "
        "server.allowed_hosts.\n"
    )
