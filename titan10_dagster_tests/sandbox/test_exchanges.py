from __future__ import annotations

from pathlib import Path

import pytest

from titan10_dagster.sandbox.exchanges import Exchanges
from titan10_dagster.sandbox.venues.wire import Edges
from titan10_dagster_tests.sandbox.clients import NOW, NOW_MS

UPBIT = "/v1/candles/minutes/1"


def test_an_exchange_that_is_not_served_is_an_error_that_lists_those_that_are() -> None:
    with pytest.raises(ValueError, match="'kraken' is not served here; choose one of binance, okx"):
        Exchanges(["binance", "okx"]).site("kraken")


def test_a_replay_of_an_exchange_that_is_not_served_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose one of binance"):
        Exchanges(["binance"], replay={("okx", "BTC/USDT"): tmp_path / "none.csv"})


@pytest.mark.parametrize(("edges", "last"), [(Edges(end="exclusive"), 59), (Edges(end="inclusive"), 60)])
def test_the_edges_of_a_request_are_a_switch(edges: Edges, last: int) -> None:
    exchanges = Exchanges(["upbit"], clock=NOW, edges={"upbit": edges})
    exchanges.site("upbit").answer(UPBIT, {"market": "KRW-BTC", "count": "5", "to": "2026-01-15T01:00:00"})
    (request,) = exchanges.requests("upbit")
    midnight = NOW_MS // 86_400_000 * 86_400_000
    assert request["last"] == midnight + last * 60_000


def test_faults_are_cleared_for_one_exchange_or_all() -> None:
    exchanges = Exchanges(["binance", "okx"])
    for name in ("binance", "okx"):
        exchanges.fault(name, "empty_page")
    exchanges.clear_faults("okx")
    assert [len(exchanges.site(name).faults.listed()) for name in ("binance", "okx")] == [1, 0]
    exchanges.clear_faults()
    assert exchanges.site("binance").faults.listed() == []


def test_what_a_closed_market_answers_is_a_switch() -> None:
    exchanges = Exchanges(["binance"], clock=NOW, closed_markets={"binance": "closed_market"})
    reply = exchanges.site("binance").answer("/api/v3/klines", {"symbol": "LUNAUSDT", "interval": "1m"})
    assert (reply.status, b"-1122" in reply.body) == (400, True)
