from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from titan10_dagster.sandbox.server import PortTaken, Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES

KLINES = "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=5&startTime=1700000040000"


def asked(url: str, method: str = "GET", body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method), timeout=60) as answer:
        return json.load(answer)


def test_the_default_ports_differ() -> None:
    ports = [venue.port for venue in VENUES.values()]
    assert ports[:5] == [18801, 18802, 18803, 18804, 18805]
    assert sorted(ports) == list(range(18801, 18801 + len(VENUES)))


def test_a_taken_port_is_told_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} for okx is taken.*another port"):
            Sandbox(["binance", "okx"], ports={"okx": port}).start()


def test_an_unknown_exchange_is_refused() -> None:
    with pytest.raises(ValueError, match="it has binance, coinbase"):
        Sandbox(["mtgox"])


def test_the_log_tells_what_was_asked_and_answered(tmp_path: Path) -> None:
    with Sandbox(["binance"], log=tmp_path / "log.jsonl") as sandbox:
        asked(sandbox.url("binance") + KLINES)
        asked(sandbox.url("binance") + "/api/v3/exchangeInfo")
        answer = asked(sandbox.url("binance") + "/_sandbox/requests")
        newer = asked(f"{sandbox.url('binance')}/_sandbox/requests?since=2")["requests"]
        asked(sandbox.url("binance") + "/_sandbox/requests", "DELETE")
        assert sandbox.requests("binance") == []
    candles, markets = answer["requests"]
    assert answer["next"] == 3
    assert [entry["seq"] for entry in newer] == [2]
    wanted = {
        "exchange": "binance", "path": "/api/v3/klines", "kind": "candles", "symbol": "BTC/USDT", "timeframe": "1m",
        "since": 1_700_000_040_000, "end": None, "limit": 5, "rows": 5, "first": 1_700_000_040_000,
        "last": 1_700_000_280_000, "status": 200, "weight": 2, "banned": False, "faults": [],
    }  # fmt: skip
    assert candles.items() >= wanted.items()
    assert markets["kind"] == "markets"
    assert [json.loads(line)["seq"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1, 2]


def test_faults_are_set_listed_and_cleared_over_http() -> None:
    with Sandbox(["binance"]) as sandbox:
        control = sandbox.url("binance") + "/_sandbox/faults"
        asked(control, "POST", {"kind": "empty_page", "count": 1})
        assert asked(sandbox.url("binance") + KLINES) == []
        (listed,) = asked(control)["faults"]
        assert (listed["kind"], listed["struck"]) == ("empty_page", 1)
        asked(control, "DELETE")
        assert asked(control) == {"faults": []}
        with pytest.raises(urllib.error.HTTPError, match="400") as caught:
            asked(control, "POST", {"kind": "flood"})
        with caught.value as answer:
            assert "no fault is called" in json.load(answer)["error"]
        assert "http_429" in asked(control + "/kinds")


def test_limits_are_reported_changed_and_reset_over_http() -> None:
    with Sandbox(["binance"]) as sandbox:
        asked(sandbox.url("binance") + KLINES)
        control = sandbox.url("binance") + "/_sandbox/limits"
        assert asked(control)["limits"][0]["peak"] == 2
        assert asked(control, "POST", {"enforce": False, "factor": 0.5})["limits"][0]["allowed"] == 3_000
        assert asked(control)["enforced"] is False
        assert asked(control, "DELETE")["limits"][0]["peak"] == 0


def test_silence_comes_after_what_a_client_that_is_gone_had_asked() -> None:
    with Sandbox(["binance", "okx"]) as sandbox:
        host, port = sandbox.url("binance").removeprefix("http://").split(":")
        for asked_so_far in range(1, 101):
            with socket.create_connection((host, int(port))) as client:
                client.sendall(f"GET {KLINES} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            sandbox.wait_for_silence()
            assert len(sandbox.requests("binance")) == asked_so_far
        with socket.create_connection((host, int(port))), pytest.raises(TimeoutError, match="connected to binance"):
            sandbox.wait_for_silence(timeout=0.05)


def test_time_is_stopped_moved_and_let_go_over_http() -> None:
    with Sandbox(["binance"], clock=datetime(2026, 1, 1, tzinfo=UTC)) as sandbox:
        control = sandbox.url("binance") + "/_sandbox/clock"
        assert asked(control)["now"] == 1_767_225_600_000
        assert asked(control, "POST", {"shift": 90})["now"] == 1_767_225_690_000
        assert asked(control, "POST", {"now": "2025-06-01T00:00:00Z"})["now"] == 1_748_736_000_000
        running = asked(control, "POST", {"now": "2025-06-01T00:00:00Z", "run": True})["now"]
        time.sleep(0.02)
        assert running < asked(control)["now"] < running + 60_000
        asked(control, "POST", {"now": None})
        assert abs(asked(control)["now"] / 1_000 - time.time()) < 60


def test_truth_is_told_over_http() -> None:
    with Sandbox(["okx"]) as sandbox:
        query = "symbol=BTC/USDT&start=2025-06-01&end=2025-06-01T01:00:00Z&timeframe=15m"
        told = asked(f"{sandbox.url('okx')}/_sandbox/truth?{query}")["candles"]
        assert told == sandbox.truth("okx", "BTC/USDT", 1_748_736_000_000, 1_748_739_600_000, "15m").tolist()
        assert len(told) == 4


def test_truth_ends_with_the_last_finished_candle() -> None:
    now = datetime(2026, 1, 1, 12, 0, 59, tzinfo=UTC)
    with Sandbox(["okx"], clock=now) as sandbox:
        rows = sandbox.truth("okx", "BTC/USDT", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    assert len(rows) == 720


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


def test_it_runs_as_a_process_and_ends_on_sigterm(tmp_path: Path) -> None:
    csv = tmp_path / "candles.csv"
    csv.write_text("time,open,high,low,close,volume\n1700000040,1,2,0.5,1.5,10\n")
    command = [sys.executable, "-m", "titan10_dagster.sandbox", "--exchange", "binance", "--port", "0", "--no-limits"]
    process = subprocess.Popen([*command, "--replay", f"binance:XRP/ETH={csv}"], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            found = re.search(r"binance +(http://127\.0\.0\.1:\d+)", process.stdout.readline())
            assert found
            rows = asked(f"{found[1]}/api/v3/klines?symbol=XRPETH&interval=1m&startTime=0")
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert rows[0][:6] == [1_700_000_040_000, "1.00000000", "2.00000000", "0.50000000", "1.50000000", "10.00000000"]


def symbols_listed(sandbox: Sandbox, exchange: str) -> str:
    path = {"binance": "/api/v3/exchangeInfo", "kraken": "/0/public/AssetPairs"}[exchange]
    return json.dumps(asked(sandbox.url(exchange) + path))


def test_a_symbol_is_unknown_before_its_listing_and_its_candles_end_with_its_delisting() -> None:
    day = datetime(2024, 3, 10, tzinfo=UTC)
    listed, delisted = day.replace(hour=6), day.replace(hour=9)
    spans = {("binance", "XLM/USDT"): (listed, delisted), ("kraken", "XLM/USD"): (listed, delisted)}
    url = f"/api/v3/klines?symbol=XLMUSDT&interval=1m&limit=1000&startTime={round(day.timestamp() * 1000)}"
    with Sandbox(["binance", "kraken"], clock=day, trading=spans) as sandbox:
        assert "XLM" not in symbols_listed(sandbox, "binance")
        with pytest.raises(urllib.error.HTTPError, match="400"):
            asked(sandbox.url("binance") + url)
        sandbox.clock.shift(12 * 3_600)
        assert '"status": "BREAK"' in symbols_listed(sandbox, "binance")
        assert "XLM" not in symbols_listed(sandbox, "kraken")
        times = [row[0] / 1000 for row in asked(sandbox.url("binance") + url)]
    assert (times[0], times[-1]) == (listed.timestamp(), delisted.timestamp() - 60)
