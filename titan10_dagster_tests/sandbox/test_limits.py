from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from titan10_dagster.sandbox.limits import Governor, Verdict
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES

CANDLES = {
    "binance": "/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1",
    "coinbase": "/api/v3/brokerage/market/products/BTC-USD/candles"
    "?granularity=ONE_MINUTE&start=1700000000&end=1700000060",
    "kraken": "/0/public/OHLC?pair=XXBTZUSD&interval=1",
    "okx": "/api/v5/market/history-candles?instId=BTC-USDT&bar=1m&limit=1",
    "bybit": "/v5/market/kline?category=spot&symbol=BTCUSDT&interval=1&limit=1",
}


class Hours:
    """A clock that is moved by hand; starts on a full minute."""

    def __init__(self) -> None:
        self.now = 1_700_000_040.0

    def __call__(self) -> float:
        return self.now


def governed(exchange: str, hours: Hours) -> Governor:
    return Governor(VENUES[exchange], now=hours)


def charge(governor: Governor, exchange: str, times: int = 1) -> list[Verdict]:
    return [governor.charge(CANDLES[exchange], "candles") for _ in range(times)]


def outcomes(verdicts: list[Verdict]) -> list[str]:
    return [verdict.outcome for verdict in verdicts]


def test_binance_throttles_beyond_its_weight_until_the_minute_ends() -> None:
    hours = Hours()
    governor = governed("binance", hours)
    hours.now += 20
    assert set(outcomes(charge(governor, "binance", 3_000))) == {"allowed"}
    (refused,) = charge(governor, "binance")
    assert (refused.outcome, refused.retry_after) == ("throttled", 40)
    hours.now += 40
    assert outcomes(charge(governor, "binance")) == ["allowed"]


def test_binance_bans_who_ignores_the_throttling() -> None:
    hours = Hours()
    governor = governed("binance", hours)
    charge(governor, "binance", 3_000)
    assert outcomes(charge(governor, "binance", 8)) == ["throttled"] * 5 + ["banned"] * 3
    hours.now += 61
    assert outcomes(charge(governor, "binance")) == ["banned"]
    hours.now += 60
    assert outcomes(charge(governor, "binance")) == ["allowed"]
    (limit,) = governor.report()["limits"]
    assert (limit["bans"], limit["while_banned"]) == (1, 3)


def test_coinbase_slides_its_second() -> None:
    hours = Hours()
    governor = governed("coinbase", hours)
    charge(governor, "coinbase", 5)
    hours.now += 0.6
    assert outcomes(charge(governor, "coinbase", 6)) == ["allowed"] * 5 + ["throttled"]
    hours.now += 0.41
    assert outcomes(charge(governor, "coinbase", 6)) == ["allowed"] * 5 + ["throttled"]


def test_kraken_allows_one_a_second_and_a_burst() -> None:
    hours = Hours()
    governor = governed("kraken", hours)
    assert outcomes(charge(governor, "kraken", 16)) == ["allowed"] * 15 + ["throttled"]
    for _ in range(20):
        hours.now += 1.0
        assert outcomes(charge(governor, "kraken")) == ["allowed"]
    assert outcomes(charge(governor, "kraken", 7)) == ["throttled"] * 5 + ["banned"] * 2


def test_okx_counts_history_apart_from_recent_candles() -> None:
    governor = governed("okx", Hours())
    assert outcomes(charge(governor, "okx", 21))[-1] == "throttled"
    assert governor.charge("/api/v5/market/candles", "candles").outcome == "allowed"


def test_bybit_bans_at_once_for_ten_minutes() -> None:
    hours = Hours()
    governor = governed("bybit", hours)
    assert outcomes(charge(governor, "bybit", 601))[-1] == "banned"
    hours.now += 599
    assert outcomes(charge(governor, "bybit")) == ["banned"]
    hours.now += 1.1
    assert outcomes(charge(governor, "bybit")) == ["allowed"]


def test_limits_can_be_scaled_and_bans_shortened() -> None:
    hours = Hours()
    governor = Governor(VENUES["bybit"], now=hours, factor=0.01, ban_seconds=2)
    assert outcomes(charge(governor, "bybit", 7)) == ["allowed"] * 6 + ["banned"]
    hours.now += 6
    assert outcomes(charge(governor, "bybit")) == ["allowed"]


def test_usage_is_counted_where_limits_are_not_enforced() -> None:
    governor = Governor(VENUES["coinbase"], enforce=False, now=Hours())
    assert set(outcomes(charge(governor, "coinbase", 25))) == {"allowed"}
    (limit,) = governor.report()["limits"]
    assert (limit["peak"], limit["violations"], limit["requests"]) == (25, 15, 25)


REFUSED = {
    "binance": (429, "-1003"),
    "coinbase": (429, "rate_limit_exceeded"),
    "kraken": (200, "EGeneral:Too many requests"),
    "okx": (429, "50011"),
    "bybit": (403, "access too frequent"),
}


def answered(url: str) -> tuple[int, dict[str, str], str]:
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read().decode()


@pytest.mark.parametrize("exchange", VENUES)
def test_who_is_too_fast_is_refused_in_the_exchanges_own_words_and_logged(exchange: str) -> None:
    factor = {"binance": 0.003, "bybit": 0.01}.get(exchange, 0.5)
    status, words = REFUSED[exchange]
    with Sandbox([exchange], limit_factor=factor, limit_clock=Hours()) as sandbox:
        answers = [answered(sandbox.url(exchange) + CANDLES[exchange]) for _ in range(12)]
        log = sandbox.requests(exchange)
        (limit, *_) = sandbox.limits(exchange)["limits"]
    refused = [answer for answer in answers if words in answer[2]]
    assert refused
    assert {answer[0] for answer in refused} <= {status, 418}
    assert [entry["throttled"] or entry["banned"] for entry in log] == [words in answer[2] for answer in answers]
    assert limit["violations"] >= 1
    assert limit["peak"] > limit["allowed"]


def test_binance_tells_the_weight_used_and_bans_with_418() -> None:
    with Sandbox(["binance"], limit_factor=0.001, ban_seconds=30, limit_clock=Hours()) as sandbox:
        answers = [answered(sandbox.url("binance") + CANDLES["binance"]) for _ in range(10)]
        log = sandbox.requests("binance")
    assert [int(headers["X-MBX-USED-WEIGHT-1M"]) for _, headers, _ in answers[:4]] == [2, 4, 6, 8]
    assert [status for status, _, _ in answers] == [200] * 3 + [429] * 5 + [418] * 2
    assert answers[3][1]["Retry-After"] == "60"
    assert int(answers[-1][1]["Retry-After"]) == 30
    assert [entry["banned"] for entry in log] == [False] * 8 + [True] * 2
