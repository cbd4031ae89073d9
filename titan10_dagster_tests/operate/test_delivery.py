from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import pytest

from titan10_dagster.operate.delivery import Notification, deliver, scheme

BAD, GOOD = (
    Notification("okx: shut", "It is shut.\nSince noon: ü", False),
    Notification("okx: shut: over", "It is open.", True),
)
PASSWORD = "s3cretT0ken"


class Service(BaseHTTPRequestHandler):
    """A server for apprise's json:// service. It records the notifications. The path determines the answer."""

    got: list[dict[str, str]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.got.append(body)
        self.send_response(500 if "broken" in self.path else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    handler = type("OwnService", (Service,), {"got": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def url(server: ThreadingHTTPServer, path: str = "ok") -> str:
    return f"json://user:{PASSWORD}@127.0.0.1:{server.server_address[1]}/{path}"


def got(server: ThreadingHTTPServer) -> list[tuple[str, str]]:
    return [(message["title"], message["type"]) for message in server.RequestHandlerClass.got]  # type: ignore[attr-defined]


def test_a_service_of_apprise_gets_the_letters_in_order(service: ThreadingHTTPServer) -> None:
    there = url(service)
    assert list(deliver({there: [BAD, GOOD]})) == [(there, BAD), (there, GOOD)]
    assert got(service) == [("okx: shut", "warning"), ("okx: shut: over", "success")]


def test_a_file_gets_a_line_a_letter(tmp_path: Path) -> None:
    path = tmp_path / "Alerts of Today"
    there = f"file://{str(path).replace(' ', '%20')}"
    for letter in (BAD, GOOD):
        assert list(deliver({there: [letter]})) == [(there, letter)]
    assert [Notification(**json.loads(line)) for line in path.read_text().splitlines()] == [BAD, GOOD]


@pytest.mark.parametrize("name", ["a#b.log", "what?.log", "100%25.log", "a%23b.log", "c;d&e=f.log"])
def test_the_path_of_a_file_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    there = f"file://{tmp_path}/{name}"
    assert list(deliver({there: [BAD]})) == [(there, BAD)]
    assert [path.name for path in tmp_path.iterdir()] == [unquote(name)]


def test_after_a_letter_that_was_not_taken_the_next_ones_wait(
    service: ThreadingHTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert list(deliver({url(service, "broken"): [BAD, GOOD]})) == []
    assert len(got(service)) == 1
    assert PASSWORD not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("titan10")
    )


def test_one_that_fails_keeps_no_other_from_hearing(service: ThreadingHTTPServer, tmp_path: Path) -> None:
    there, unknown = f"file://{tmp_path}/letters", "nosuchservice://token"
    assert list(deliver({url(service, "broken"): [BAD], unknown: [BAD], there: [BAD]})) == [(there, BAD)]


def test_a_service_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:  # this server accepts connections but never answers
        hanging, there = f"json://127.0.0.1:{silent.getsockname()[1]}", f"file://{tmp_path}/letters"
        began = time.monotonic()
        taken = list(deliver({hanging: [BAD], there: [BAD]}, seconds=1.5))
        assert time.monotonic() - began < 30
    assert (hanging, BAD) not in taken


def test_there_is_nothing_to_do_without_letters() -> None:
    assert list(deliver({"nosuch://": []})) == []


def test_only_the_service_of_a_url_is_shown() -> None:
    assert scheme(f"tgram://{PASSWORD}/12") == "tgram"
