from __future__ import annotations

import socket
import time
import urllib.error

import pytest

from titan10_dagster.sandbox.server import PortTaken, Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster_tests.sandbox.clients import asked

KLINES = "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=5&startTime=1700000040000"


def test_the_default_ports_differ() -> None:
    ports = [venue.port for venue in VENUES.values()]
    assert ports[:5] == [18801, 18802, 18803, 18804, 18805]
    assert sorted(ports) == list(range(18801, 18801 + len(VENUES)))


def test_a_taken_port_is_an_error_that_says_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} for okx is taken.*another port"):
            Sandbox(["binance", "okx"], ports={"okx": port}).start()


def test_an_unknown_exchange_is_refused() -> None:
    with pytest.raises(ValueError, match="it has binance, coinbase"):
        Sandbox(["mtgox"])


def test_waiting_for_silence_includes_requests_of_disconnected_clients() -> None:
    with Sandbox(["binance", "okx"]) as sandbox:
        host, port = sandbox.url("binance").removeprefix("http://").split(":")
        for asked_so_far in range(1, 101):
            with socket.create_connection((host, int(port))) as client:
                client.sendall(f"GET {KLINES} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            sandbox.wait_for_silence()
            assert len(sandbox.requests("binance")) == asked_so_far
        with socket.create_connection((host, int(port))), pytest.raises(TimeoutError, match="connected to binance"):
            sandbox.wait_for_silence(timeout=0.05)


def test_a_latency_holds_for_every_answer() -> None:
    with Sandbox(["binance"], latency=0.1) as sandbox:
        started = time.monotonic()
        asked(sandbox.url("binance") + KLINES)
        assert time.monotonic() - started > 0.1


def test_a_path_that_the_exchange_does_not_have_is_not_found() -> None:
    with Sandbox(["kraken"]) as sandbox:
        assert asked(sandbox.url("kraken") + "/0/public/Nonsense")["error"] == ["EGeneral:Unknown method"]
        with pytest.raises(urllib.error.HTTPError, match="404") as caught:
            asked(sandbox.url("kraken") + "/_sandbox/nonsense")
        caught.value.close()
