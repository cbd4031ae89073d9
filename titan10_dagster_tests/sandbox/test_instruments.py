from __future__ import annotations

import pytest

from titan10_dagster.sandbox.clock import instant_ms
from titan10_dagster.sandbox.instruments import asset, instrument, replayed
from titan10_dagster.sandbox.venues.registry import VENUES


def test_an_asset_that_is_not_in_the_table_has_a_price_of_its_own() -> None:
    assert asset("NEWCOIN") == asset("NEWCOIN")
    assert asset("NEWCOIN").dollars != asset("OTHERCOIN").dollars
    assert 1e-4 <= asset("NEWCOIN").dollars <= 1e2


@pytest.mark.parametrize(("symbol", "decimals"), [("BTC/USDT", 2), ("XRP/USDT", 5), ("PEPE/USDT", 8)])
def test_prices_have_about_five_digits(symbol: str, decimals: int) -> None:
    assert instrument(VENUES["binance"], symbol).price_decimals == decimals


def test_a_pair_is_listed_when_exchange_and_assets_exist() -> None:
    assert instrument(VENUES["binance"], "PEPE/USDT").listed_ms == instant_ms("2023-05-05T16:00:00")
    assert instrument(VENUES["binance"], "BTC/USDT").listed_ms == instant_ms(VENUES["binance"].opens)
    assert instrument(VENUES["coinbase"], "XRP/USD").listed_ms == instant_ms("2023-07-13T18:00:00Z")


def test_a_pair_is_known_before_and_after_its_delisting() -> None:
    luna = instrument(VENUES["binance"], "LUNA/USDT")
    gone = luna.delisted_ms
    assert gone == instant_ms("2022-05-13T00:40:00Z")
    assert [luna.is_delisted(gone - 1), luna.is_delisted(gone)] == [False, True]
    assert [luna.is_known(luna.listed_ms - 1), luna.is_known(gone)] == [False, True]
    assert not luna.is_delisted(luna.listed_ms - 1)


def test_a_replay_is_listed_with_its_first_candle() -> None:
    assert replayed(VENUES["binance"], "LUNA/USDT", 5_000).spells == ((5_000, None),)
