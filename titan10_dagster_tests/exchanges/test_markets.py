from __future__ import annotations

import pytest

from titan10_dagster.candles.markets import Market
from titan10_dagster.errors import UnknownSymbol
from titan10_dagster.exchanges.markets import resolve
from titan10_dagster_tests.exchanges.conftest import market

MARKETS = [
    market("kraken", "BTC/USD"),
    market("kraken", "ETH/USD"),
    market("kraken", "LUNA/USD", active=False),
    Market("kraken", "BTC/USDT:USDT", "PF_XBTUSDT", "BTC", "USDT", "XBT", "USDT", True, "swap"),
]


def test_symbols_are_found_in_their_order_and_once() -> None:
    found = resolve("kraken", ["ETH/USD", "BTC/USD", "ETH/USD"], MARKETS)
    assert [one.symbol for one in found.markets] == ["ETH/USD", "BTC/USD"]
    assert not found.inactive
    assert not found.unknown


def test_an_inactive_market_is_found_and_named() -> None:
    found = resolve("kraken", ["LUNA/USD"], MARKETS)
    assert [one.symbol for one in found.markets] == ["LUNA/USD"]
    assert found.inactive == ("LUNA/USD",)


@pytest.mark.parametrize("written", ["btc/usd", "BTC-USD", "BTCUSD", "XXBTZUSD", "BTC/USDD"])
def test_an_unknown_symbol_is_told_with_those_like_it(written: str) -> None:
    found = resolve("kraken", [written], MARKETS)
    error = found.unknown[written]
    assert isinstance(error, UnknownSymbol)
    assert str(error).startswith(f"kraken {written}: the exchange does not list it; did you mean BTC/USD")
    assert (error.exchange, error.symbol) == ("kraken", written)


def test_a_symbol_like_no_other_is_told_without_a_guess() -> None:
    assert "none of its symbols looks like it" in str(resolve("kraken", ["QQQ/ZZZ"], MARKETS).unknown["QQQ/ZZZ"])


def test_a_perpetual_is_found_by_ccxts_name_for_it() -> None:
    assert resolve("kraken", ["BTC/USDT:USDT"], MARKETS).markets[0].type == "swap"
