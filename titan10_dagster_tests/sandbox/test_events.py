"""Events: permanent changes of candles and markets."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.sandbox.clients import DAY_MS, MINUTE_MS, NOW, NOW_MS, TODAY

SINCE = TODAY + 600 * MINUTE_MS


@pytest.fixture
def fresh() -> Iterator[Sandbox]:
    """A sandbox for one test, because events are permanent."""
    with Sandbox(["binance", "kucoin"], clock=NOW, enforce_limits=False) as sandbox:
        yield sandbox


def asked(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def klines(sandbox: Sandbox, market_id: str, since: int = SINCE, limit: int = 100) -> list[Any]:
    query = f"symbol={market_id}&interval=1m&startTime={since}&limit={limit}"
    rows: list[Any] = asked(f"{sandbox.url('binance')}/api/v3/klines?{query}")
    return rows


def refused(sandbox: Sandbox, market_id: str) -> str:
    with pytest.raises(urllib.error.HTTPError) as caught:
        klines(sandbox, market_id)
    with caught.value as answer:
        return str(json.load(answer)["code"])


def listed(sandbox: Sandbox) -> dict[str, str]:
    """Return the status of each market of binance by its id."""
    records = asked(f"{sandbox.url('binance')}/api/v3/exchangeInfo")["symbols"]
    return {record["symbol"]: record["status"] for record in records}


def truth_of(sandbox: Sandbox, symbol: str = "BTC/USDT", since: int = SINCE, rows: int = 100) -> np.ndarray:
    return sandbox.truth("binance", symbol, since, since + rows * MINUTE_MS)


def test_a_restated_candle_is_the_truth_from_then_on() -> None:
    at = TODAY - 10 * DAY_MS
    with Sandbox(["binance"]) as sandbox:
        before = sandbox.truth("binance", "BTC/USDT", at - MINUTE_MS, at + 2 * MINUTE_MS)
        sandbox.fault("binance", "restate", symbol="BTC/USDT", time=at)
        sandbox.fault("binance", "restate", symbol="BTC/USDT", time=at + MINUTE_MS, values=[1, 4, 0.5, 2, 7.25])
        sandbox.fault("binance", "restate", symbol="BTC/USDT", time=at - MINUTE_MS, gone=True)
        after = sandbox.truth("binance", "BTC/USDT", at - MINUTE_MS, at + 2 * MINUTE_MS)
        sandbox.clear_faults()
        url = f"{sandbox.url('binance')}/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime={at - MINUTE_MS}&limit=2"
        with urllib.request.urlopen(url) as answer:
            sent = answer.read()
    assert after[:, 0].tolist() == [at, at + MINUTE_MS]
    assert after[0, 4] == before[1, 2]
    assert after[0, 5] == before[1, 5] * 2
    assert after[1, 1:].tolist() == [1, 4, 0.5, 2, 7.25]
    assert b'"7.25000000"' in sent


def test_a_restated_candle_shows_in_longer_timeframes() -> None:
    at = TODAY - 10 * DAY_MS
    with Sandbox(["okx"]) as sandbox:
        sandbox.fault("okx", "restate", symbol="BTC/USDT", time=at, values=[1, 999_999, 1, 1, 1])
        assert sandbox.truth("okx", "BTC/USDT", at, at + DAY_MS, "1d")[0, 2] == 999_999


def test_candles_that_are_hidden_are_absent_until_they_are_shown_again(fresh: Sandbox) -> None:
    before = klines(fresh, "BTCUSDT")
    bounds = {"time": SINCE + 10 * MINUTE_MS, "until": SINCE + 30 * MINUTE_MS}
    fresh.fault("binance", "absent", **bounds)
    after = klines(fresh, "BTCUSDT")
    assert after[:80] == before[:10] + before[30:]
    assert len(truth_of(fresh)) == 80
    fresh.fault("binance", "absent", back=True, **bounds)
    assert klines(fresh, "BTCUSDT") == before


def test_hiding_needs_both_bounds(fresh: Sandbox) -> None:
    with pytest.raises(ValueError, match="needs the options time and until"):
        fresh.fault("binance", "absent", time=SINCE)


def test_late_rows_are_there_from_a_moment_on(fresh: Sandbox) -> None:
    bounds = {"time": SINCE, "until": SINCE + 20 * MINUTE_MS}
    fresh.fault("binance", "absent", **bounds, back_at=NOW + timedelta(minutes=5))
    assert len(truth_of(fresh)) == 80
    fresh.sites["binance"].clock.shift(301)
    assert len(truth_of(fresh)) == 100


def test_a_halt_concerns_one_symbol_or_all(fresh: Sandbox) -> None:
    bounds = {"time": SINCE, "until": SINCE + 20 * MINUTE_MS}
    fresh.fault("binance", "absent", symbol="BTC/USDT", **bounds)
    assert [len(truth_of(fresh)), len(truth_of(fresh, "ETH/USDT"))] == [80, 100]
    fresh.fault("binance", "absent", **bounds)
    assert len(truth_of(fresh, "ETH/USDT")) == 80


def test_an_event_can_wait_for_its_time(fresh: Sandbox) -> None:
    before = truth_of(fresh)
    fresh.fault("binance", "redenominate", symbol="BTC/USDT", time=SINCE, factor=0.5, at=NOW + timedelta(minutes=1))
    assert np.array_equal(truth_of(fresh), before)
    fresh.sites["binance"].clock.shift(61)
    np.testing.assert_allclose(truth_of(fresh)[:, 1:5], before[:, 1:5] / 2, rtol=1e-6)


def test_a_redenomination_keeps_the_turnover(fresh: Sandbox) -> None:
    before = truth_of(fresh)
    fresh.fault("binance", "redenominate", symbol="BTC/USDT", time=SINCE + 50 * MINUTE_MS, factor=1_000)
    after = truth_of(fresh)
    assert np.array_equal(after[:50], before[:50])
    np.testing.assert_allclose(after[50:, 4], before[50:, 4] * 1_000)
    assert (after[50:, 5] < before[50:, 5] / 500).all()
    sent = klines(fresh, "BTCUSDT")
    assert [float(row[4]) for row in sent] == after[:, 4].tolist()


def test_a_mass_revision_changes_all_rows_of_a_stretch(fresh: Sandbox) -> None:
    before = truth_of(fresh)
    fresh.fault("binance", "revise", time=SINCE, until=SINCE + 60 * MINUTE_MS, volumes=1 / 27_000)
    after = truth_of(fresh)
    assert np.array_equal(after[:, :5], before[:, :5])
    np.testing.assert_allclose(after[:60, 5], before[:60, 5] / 27_000, atol=1e-8)
    assert np.array_equal(after[60:], before[60:])


def test_candles_can_lie_off_the_minute_for_good(fresh: Sandbox) -> None:
    before = truth_of(fresh)
    fresh.fault("binance", "shift", symbol="BTC/USDT", time=SINCE + 10 * MINUTE_MS, until=SINCE + 40 * MINUTE_MS)
    after = truth_of(fresh)
    assert (after[10:40, 0] == before[10:40, 0] + 14_789).all()
    assert np.array_equal(after[:, 1:], before[:, 1:])
    assert [row[0] for row in klines(fresh, "BTCUSDT")] == after[:, 0].tolist()


@pytest.mark.parametrize(
    ("candles", "code"), [("closed_market", "-1122"), ("unknown_symbol", "-1121"), ("candles", None)]
)
def test_a_delisted_market_is_answered_in_three_ways(candles: str, code: str | None, fresh: Sandbox) -> None:
    fresh.fault("binance", "delist", symbol="ETH/USDT", time=SINCE + 10 * MINUTE_MS, candles=candles)
    assert listed(fresh)["ETHUSDT"] == "BREAK"
    assert len(truth_of(fresh, "ETH/USDT")) == 10
    if code is None:
        assert len(klines(fresh, "ETHUSDT")) == 10
    else:
        assert refused(fresh, "ETHUSDT") == code


def test_a_relisted_market_trades_again_and_has_a_hole(fresh: Sandbox) -> None:
    fresh.fault("binance", "delist", symbol="ETH/USDT", time=SINCE + 10 * MINUTE_MS, candles="unknown_symbol")
    with pytest.raises(ValueError, match="needs a delisted symbol"):
        fresh.fault("binance", "relist", symbol="BTC/USDT")
    fresh.fault("binance", "relist", symbol="ETH/USDT", time=SINCE + 60 * MINUTE_MS, prices=10.0)
    assert listed(fresh)["ETHUSDT"] == "TRADING"
    rows = truth_of(fresh, "ETH/USDT")
    assert len(rows) == 50
    assert rows[10, 1] > 5 * rows[9, 1]


def test_trading_can_have_several_periods() -> None:
    day = NOW.replace(second=0) - timedelta(days=3)
    spans = [(day - timedelta(days=9), day), (day + timedelta(days=1), None)]
    with Sandbox(["kraken"], clock=NOW, trading={("kraken", "ETH/USD"): spans}) as sandbox:
        rows = sandbox.truth("kraken", "ETH/USD", NOW_MS // MINUTE_MS * MINUTE_MS - 4 * DAY_MS, NOW_MS)
    assert len(rows) == 3 * 1_440
    assert np.diff(rows[:, 0]).max() == DAY_MS + MINUTE_MS


def test_a_market_can_get_another_id_and_its_former_id_another_market(fresh: Sandbox) -> None:
    before = klines(fresh, "ETHUSDT")
    fresh.fault("binance", "new_id", symbol="ETH/USDT", market_id="ETHV2USDT", heir="XRP/USDT")
    assert klines(fresh, "ETHV2USDT") == before
    assert klines(fresh, "ETHUSDT") != before
    assert refused(fresh, "XRPUSDT") == "-1121"


def test_a_new_id_can_bring_other_prices(fresh: Sandbox) -> None:
    before = truth_of(fresh, "ETH/USDT")
    fresh.fault("binance", "new_id", symbol="ETH/USDT", market_id="ETHV2USDT", time=SINCE, prices=9.9)
    np.testing.assert_allclose(truth_of(fresh, "ETH/USDT")[:, 4], before[:, 4] * 9.9, rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("redenominate", {}, "needs a symbol"),
        ("delist", {}, "needs a symbol"),
        ("new_id", {"symbol": "BTC/USDT"}, "needs a market_id"),
        ("revise", {"time": SINCE}, "needs the options time and until"),
        ("delist", {"symbol": "NO/SUCH"}, "does not list 'NO/SUCH'"),
    ],
)
def test_an_event_names_the_option_that_is_missing(
    kind: str, options: dict[str, Any], words: str, fresh: Sandbox
) -> None:
    with pytest.raises(ValueError, match=words):
        fresh.fault("binance", kind, **options)
