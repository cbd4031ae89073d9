from __future__ import annotations

import json

import pytest

from titan10_dagster.sandbox.exchanges import Exchanges
from titan10_dagster.sandbox.site import Site
from titan10_dagster_tests.sandbox.clients import NOW, NOW_MS

KLINES = {"symbol": "BTCUSDT", "interval": "1m", "limit": "5"}


@pytest.fixture
def site() -> Site:
    return Exchanges(["binance"], clock=NOW).site("binance")


def test_a_request_is_charged_and_logged(site: Site) -> None:
    reply = site.answer("/api/v3/klines", KLINES)
    (entry,) = site.journal.entries()
    assert (reply.status, len(json.loads(reply.body))) == (200, 5)
    assert (entry["kind"], entry["symbol"], entry["timeframe"], entry["rows"]) == ("candles", "BTC/USDT", "1m", 5)
    assert reply.headers["X-MBX-USED-WEIGHT-1M"] == "2"


@pytest.mark.parametrize(
    ("path", "query", "status", "words"),
    [
        ("/api/v3/nonsense", {}, 404, b"Not Found"),
        ("/api/v3/klines", {"interval": "1m"}, 400, b"-1102"),
        ("/api/v3/klines", {**KLINES, "interval": "7m"}, 400, b"-1120"),
        ("/api/v3/klines", {**KLINES, "symbol": "NOSUCH"}, 400, b"-1121"),
        ("/api/v3/klines", {**KLINES, "startTime": "soon"}, 400, b"-1102"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    path: str, query: dict[str, str], status: int, words: bytes, site: Site
) -> None:
    reply = site.answer(path, query)
    assert reply.status == status
    assert words in reply.body


def test_the_first_fault_that_answers_by_itself_wins_and_delays_add_up(site: Site) -> None:
    site.fault("http_500")
    site.fault("empty_body")
    site.fault("latency", ms=100)
    site.fault("latency", ms=50)
    reply = site.answer("/api/v3/klines", KLINES)
    assert (reply.status, round(reply.delay, 3)) == (500, 0.15)


def test_a_stale_answer_has_nothing_of_the_last_minutes(site: Site) -> None:
    site.fault("stale", minutes=30)
    rows = json.loads(site.answer("/api/v3/klines", KLINES).body)
    assert rows[-1][0] == NOW_MS // 60_000 * 60_000 - 30 * 60_000
