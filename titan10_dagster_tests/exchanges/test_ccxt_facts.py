from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ccxt import async_support

from titan10_dagster.candles.slices import to_ms
from titan10_dagster.exchanges import ccxt_facts
from titan10_dagster.exchanges.market_records import ccxt_market
from titan10_dagster.exchanges.venues.registry import all_venues, venue_of
from titan10_dagster_tests.exchanges.harness import market, run


class Charged(Exception):
    """An exception with the cost that was passed to ccxt's throttle."""


async def charge(exchange: str, limit: int) -> float:
    """Return ccxt's cost of a page that is a year old. okx's class selects a different endpoint for recent pages."""

    class Charging(getattr(async_support, exchange)):  # type: ignore[misc]
        async def throttle(self, cost: float | None = None) -> None:
            raise Charged(cost)

    known = market("binance", "BTC/USDT")  # another exchange's names are sufficient, because nothing is requested
    client = Charging({"markets": {"BTC/USDT": {**ccxt_market(known), "numericId": 1}}})
    try:
        with pytest.raises(Charged) as charged:
            await client.fetch_ohlcv("BTC/USDT", "1m", to_ms(datetime.now(UTC) - timedelta(days=365)), limit)
    finally:
        await client.close()
    return float(charged.value.args[0])


@pytest.mark.parametrize("exchange", [*all_venues(), "whitebit"])
def test_a_page_costs_what_ccxt_charges_for_it(exchange: str) -> None:
    venue = venue_of(exchange)
    assert venue.cost == run(charge(exchange, venue.page_size))


def test_where_ccxt_cannot_build_the_request_offline_a_page_is_one_request() -> None:
    assert venue_of("zebpay").cost == 1  # its class needs more arguments to compute a cost


def test_the_parents_of_an_exchange_class_are_found() -> None:
    assert ccxt_facts.ancestors("binanceusdm") == ("binance",)
    assert ccxt_facts.ancestors("kraken") == ()


def test_seconds_between_requests_are_ccxts() -> None:
    assert ccxt_facts.rate_limit_ms("kraken") == async_support.kraken().rateLimit
