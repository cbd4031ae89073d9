from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from titan10_dagster.candles.slices import Series
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.errors import PassingError
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.listing import first_candle
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.exchanges.conftest import FIVE, MINUTE, NOW, market, now, run, symbols


@pytest.fixture(scope="module")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox(FIVE, clock=NOW, enforce_limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_sandbox: Sandbox) -> Sandbox:
    _sandbox.clear_faults()
    for exchange in FIVE:
        _sandbox.clear_requests(exchange)
    return _sandbox


def found(sandbox: Sandbox, exchange: str, timeframe: Timeframe = MINUTE) -> datetime | None:
    symbol = symbols(exchange, 3)[2]

    async def work() -> datetime | None:
        url = sandbox.url(exchange)
        async with ExchangeClient(exchange, [market(exchange, symbol)], base_url=url, paced=False, now=now) as client:
            return await first_candle(client, Series(exchange, symbol, timeframe), NOW)

    return run(work())


@pytest.mark.parametrize("exchange", ["binance", "coinbase", "okx", "bybit"])
def test_the_first_candle_is_found_in_a_bounded_number_of_requests(sandbox: Sandbox, exchange: str) -> None:
    first = found(sandbox, exchange)
    assert first is not None
    symbol = symbols(exchange, 3)[2]
    candles = sandbox.truth(exchange, symbol, datetime(2009, 1, 1, tzinfo=UTC), NOW, "1d")
    day = datetime.fromtimestamp(candles[0, 0] / 1000, UTC)
    minutes = sandbox.truth(exchange, symbol, day, NOW)
    assert first == datetime.fromtimestamp(minutes[0, 0] / 1000, UTC)
    assert len(sandbox.requests(exchange)) <= 60


def test_of_days_it_is_the_first_day(sandbox: Sandbox) -> None:
    first = found(sandbox, "binance", Timeframe.parse("1d"))
    assert first is not None
    assert first.hour == first.minute == 0


def test_an_exchange_of_short_memory_cannot_tell_and_is_not_asked(sandbox: Sandbox) -> None:
    assert found(sandbox, "kraken") is None
    assert not sandbox.requests("kraken")


def test_an_exchange_that_ignores_since_cannot_tell(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "horizon", rows=720)
    assert found(sandbox, "binance") is None


def test_a_symbol_without_candles_has_no_first_one(sandbox: Sandbox) -> None:
    sandbox.fault("coinbase", "empty_page")
    assert found(sandbox, "coinbase") is None
    assert len(sandbox.requests("coinbase")) <= 80


def test_a_failure_is_raised(sandbox: Sandbox) -> None:
    sandbox.fault("binance", "http_500")
    with pytest.raises(PassingError):
        found(sandbox, "binance")
