from __future__ import annotations

import json
import urllib.error
from datetime import UTC, datetime

import pytest

from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.sandbox.clients import asked


def symbols_listed(sandbox: Sandbox, exchange: str) -> str:
    path = {"binance": "/api/v3/exchangeInfo", "kraken": "/0/public/AssetPairs"}[exchange]
    return json.dumps(asked(sandbox.url(exchange) + path))


def test_truth_ends_with_the_last_finished_candle() -> None:
    now = datetime(2026, 1, 1, 12, 0, 59, tzinfo=UTC)
    with Sandbox(["okx"], clock=now) as sandbox:
        rows = sandbox.truth("okx", "BTC/USDT", datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    assert len(rows) == 720


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


def test_an_unknown_symbol_is_an_error_that_lists_the_known_ones() -> None:
    with Sandbox(["okx"]) as sandbox, pytest.raises(ValueError, match="it has BTC/USDT, ETH/USDT"):
        sandbox.sites["okx"].served("NO/SUCH")


def test_actions_wait_for_the_clock_and_come_in_their_order() -> None:
    with Sandbox(["okx"], clock=datetime(2026, 1, 1, tzinfo=UTC)) as sandbox:
        site, happened = sandbox.sites["okx"], list[str]()
        now = site.clock.now_ms()
        site.later(now + 2_000, lambda: happened.append("second"))
        site.later(now + 1_000, lambda: happened.append("first"))
        site.later(now, lambda: happened.append("at once"))
        assert happened == ["at once"]
        site.clock.shift(5)
        site.answer("/api/v5/public/time", {})
    assert happened == ["at once", "first", "second"]
