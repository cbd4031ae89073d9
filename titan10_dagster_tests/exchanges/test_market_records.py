from __future__ import annotations

from dataclasses import replace
from typing import Any

from titan10_dagster.candles.markets import Market
from titan10_dagster.exchanges.market_records import ccxt_market, market_of, unique_markets
from titan10_dagster.exchanges.venues.registry import venue_of

RECORD: dict[str, Any] = {
    "id": "BTCUSDT",
    "symbol": "BTC/USDT",
    "base": "BTC",
    "quote": "USDT",
    "baseId": "BTC",
    "quoteId": "USDT",
    "type": "spot",
    "active": True,
    "lowercaseId": "btcusdt",
    "info": {"a large": "answer"},
}


def market(**changes: Any) -> Market:
    return replace(market_of(venue_of("binance"), RECORD), **changes)


def test_a_market_keeps_what_ccxt_needs_to_fetch_candles_and_nothing_else() -> None:
    kept = market()
    assert (kept.exchange, kept.symbol, kept.market_id) == ("binance", "BTC/USDT", "BTCUSDT")
    assert kept.extra == {"lowercaseId": "btcusdt"}
    described = ccxt_market(kept)
    for name in RECORD.keys() - {"info"}:
        assert described[name] == RECORD[name]


def test_a_market_without_a_word_about_being_active_is_active() -> None:
    record = {name: value for name, value in RECORD.items() if name != "active"}
    assert market_of(venue_of("binance"), record).active
    assert market_of(venue_of("binance"), {**RECORD, "active": None}).active
    assert not market_of(venue_of("binance"), {**RECORD, "active": False}).active


def test_the_active_market_of_a_symbol_is_kept_in_any_order() -> None:
    former, present = market(market_id="OLD", active=False), market(market_id="NEW")
    assert unique_markets([former, present]) == [present]
    assert unique_markets([present, former]) == [present]


def test_markets_are_ordered_by_symbol() -> None:
    later, earlier = market(symbol="ETH/USDT"), market(symbol="ADA/USDT")
    assert [kept.symbol for kept in unique_markets([later, earlier])] == ["ADA/USDT", "ETH/USDT"]
