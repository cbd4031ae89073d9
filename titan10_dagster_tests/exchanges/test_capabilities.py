from __future__ import annotations

import pytest
from ccxt import async_support

from titan10_dagster.exchanges.capabilities import CAPABILITIES, capabilities_of


@pytest.mark.parametrize("exchange", CAPABILITIES)
def test_every_exchange_of_the_table_is_one_of_ccxts_and_has_a_source(exchange: str) -> None:
    row = CAPABILITIES[exchange]
    assert exchange in async_support.exchanges
    assert row.source.startswith(("docs: ", "code: "))
    assert row.page_size >= 100
    assert 0 < row.budget <= 1 or exchange == "bybit"
    assert 1 <= row.overlap <= 10
    assert row.overlap < row.page_size / 10


@pytest.mark.parametrize("exchange", sorted(set(CAPABILITIES) - {"mexc", "gemini"}))
def test_pages_agree_with_ccxts_features_but_where_those_are_known_to_be_wrong(exchange: str) -> None:
    features = getattr(async_support, exchange)().features["spot"]["fetchOHLCV"]
    assert CAPABILITIES[exchange].page_size == features["limit"]


def test_an_exchange_that_the_table_does_not_know_is_taken_from_ccxts_features() -> None:
    row = capabilities_of("whitebit")
    assert row.page_size == 1440
    assert row.source == "ccxt features"
    assert row.depth is None


def test_an_exchange_without_a_limit_in_its_features_gets_a_cautious_one() -> None:
    def limit(name: str) -> int | None:
        spot = (getattr(async_support, name)().features or {}).get("spot") or {}
        return (spot.get("fetchOHLCV") or {}).get("limit")

    silent = next(name for name in async_support.exchanges if name not in CAPABILITIES and not limit(name))
    assert capabilities_of(silent).page_size == 100


@pytest.mark.parametrize("gone", ["huobi", "gateio", "okex", "coinbasepro", "bitmex", "ascendex", "nonsense"])
def test_an_exchange_that_ccxt_does_not_have_is_refused(gone: str) -> None:
    with pytest.raises(ValueError, match=f"has no exchange '{gone}'"):
        capabilities_of(gone)


def test_an_exchange_with_short_memory_names_the_alternatives() -> None:
    assert capabilities_of("kraken").alternative == (
        "live polling from now on; longer candles, such as 1d; "
        "Kraken's quarterly OHLCVT zips, which leave out minutes without trades"
    )


def test_bybit_is_asked_faster_than_ccxt_would_but_at_half_of_what_its_documents_allow() -> None:
    exchange = async_support.bybit()
    cost = exchange.api["public"]["get"]["v5/market/kline"]
    cost = cost["cost"] if isinstance(cost, dict) else cost
    per_second = 1000 / exchange.rateLimit / cost * CAPABILITIES["bybit"].budget
    assert per_second == pytest.approx(600 / 5 / 2)
