from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ccxt import async_support

from titan10_dagster.candles.slices import to_ms
from titan10_dagster.exchanges.capabilities import CAPABILITIES, capabilities_of
from titan10_dagster.exchanges.client import _ccxt_market
from titan10_dagster_tests.exchanges.harness import market, run


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


class Charged(Exception):
    """What ccxt's throttle was asked to charge."""


async def charge(exchange: str, limit: int) -> float:
    """What ccxt charges for a page of a year ago; okx's class asks another endpoint for recent ones."""

    class Asking(getattr(async_support, exchange)):  # type: ignore[misc]
        async def throttle(self, cost: float | None = None) -> None:
            raise Charged(cost)

    known = market("binance", "BTC/USDT")  # each exchange takes the names of another here: nothing is asked
    client = Asking({"markets": {"BTC/USDT": {**_ccxt_market(known), "numericId": 1}}})
    try:
        with pytest.raises(Charged) as charged:
            await client.fetch_ohlcv("BTC/USDT", "1m", to_ms(datetime.now(UTC) - timedelta(days=365)), limit)
    finally:
        await client.close()
    return float(charged.value.args[0])


@pytest.mark.parametrize("exchange", [*CAPABILITIES, "lbank", "bitrue", "whitebit"])
def test_a_page_costs_what_ccxt_charges_for_it(exchange: str) -> None:
    row = capabilities_of(exchange)
    assert row.cost == run(charge(exchange, row.page_size))


def test_where_ccxt_does_not_tell_the_cost_a_page_is_one_request() -> None:
    assert capabilities_of("zebpay").cost == 1  # its class asks for more arguments before it would charge anything


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
