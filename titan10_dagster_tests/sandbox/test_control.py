from __future__ import annotations

import json
import time
import urllib.error
from datetime import UTC, datetime

import pytest

from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.sandbox.clients import asked

KLINES = "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=5&startTime=1700000040000"


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
            assert "there is no fault" in json.load(answer)["error"]
        assert "http_429" in asked(control + "/kinds")


def test_limits_are_reported_changed_and_reset_over_http() -> None:
    with Sandbox(["binance"]) as sandbox:
        asked(sandbox.url("binance") + KLINES)
        control = sandbox.url("binance") + "/_sandbox/limits"
        assert asked(control)["limits"][0]["peak"] == 2
        assert asked(control, "POST", {"enforce": False, "factor": 0.5})["limits"][0]["allowed"] == 3_000
        assert asked(control)["enforced"] is False
        assert asked(control, "DELETE")["limits"][0]["peak"] == 0


def test_time_is_stopped_moved_and_released_over_http() -> None:
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


def test_truth_comes_over_http() -> None:
    with Sandbox(["okx"]) as sandbox:
        query = "symbol=BTC/USDT&start=2025-06-01&end=2025-06-01T01:00:00Z&timeframe=15m"
        found = asked(f"{sandbox.url('okx')}/_sandbox/truth?{query}")["candles"]
        assert found == sandbox.truth("okx", "BTC/USDT", 1_748_736_000_000, 1_748_739_600_000, "15m").tolist()
        assert len(found) == 4


def test_a_venue_describes_itself() -> None:
    with Sandbox(["kucoin"]) as sandbox:
        described = asked(sandbox.url("kucoin") + "/_sandbox/venue")
    assert (described["exchange"], described["page_limit"], described["descending"]) == ("kucoin", 1_500, True)
    assert described["symbols"]["BTC/USDT"]["market_id"] == "BTC-USDT"
    assert described["sources"]


def test_a_latency_is_set_over_http() -> None:
    with Sandbox(["binance"]) as sandbox:
        assert asked(sandbox.url("binance") + "/_sandbox/latency", "POST", {"ms": 100}) == {"ms": 100}
        started = time.monotonic()
        asked(sandbox.url("binance") + KLINES)
        assert time.monotonic() - started > 0.1
