"""Each request of the client equals the request that the unmodified ccxt class sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import product
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import ccxt.async_support as ccxt
import pytest

from titan10_dagster.candles.slices import Series, to_ms
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.errors import FetchError
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster_tests.conformance.judging import EXCHANGES, NOW, known_markets, now
from titan10_dagster_tests.sandbox.clients import spot_only

Sent = tuple[str, dict[str, str]]
_OF_THE_MOMENT = {"timestamp"}  # bingx adds the current time to every request


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox(clock=NOW, enforce_limits=False) as sandbox:
        yield sandbox


class _NotSent(Exception):
    """An exception that stops a recorded request before it is sent."""


def recording(exchange: str) -> type[Any]:
    """Return a subclass of ccxt's class with a fixed clock. It records a request and does not send it."""

    class Recording(getattr(ccxt, exchange)):  # type: ignore[misc]
        sent: Sent

        def milliseconds(self) -> int:
            return to_ms(NOW)

        def seconds(self) -> int:
            return to_ms(NOW) // 1_000

        def microseconds(self) -> int:
            return to_ms(NOW) * 1_000

        async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            parts = urlsplit(url)
            parameters = dict(parse_qsl(parts.query))
            for name, value in json.loads(body or "{}").items():
                nested = value if isinstance(value, dict) else {name: value}
                parameters.update({inner: str(text) for inner, text in nested.items()})
            self.sent = (parts.path, parameters)
            raise _NotSent

    return Recording


async def plain_request(plain: Any, symbol: str, timeframe: str, since: datetime, limit: int) -> Sent:
    with pytest.raises(_NotSent):
        await plain.fetch_ohlcv(symbol, timeframe, to_ms(since), limit)
    return _comparable(plain.sent)


async def our_request(client: ExchangeClient, sandbox: Sandbox, series: Series, since: datetime, limit: int) -> Sent:
    with suppress(FetchError):  # the exchange may refuse the request as too old, but the request is in the log
        await client.fetch_page(series, since, limit)
    request = sandbox.requests(series.exchange)[-1]
    return _comparable((request["path"].removesuffix("/candleSnapshot"), dict(request["query"])))


def _comparable(sent: Sent) -> Sent:
    path, parameters = sent
    return path, {name: value for name, value in parameters.items() if name not in _OF_THE_MOMENT}


async def _load(sandbox: Sandbox, exchange: str) -> dict[str, Any]:
    async with spot_only(sandbox.url(exchange), exchange) as client:
        markets: dict[str, Any] = await client.load_markets()
    return markets


SINCES = {
    "years ago": timedelta(days=700),
    "last month": timedelta(days=29, minutes=7),
    "yesterday": timedelta(days=1, minutes=3),
    "now": timedelta(minutes=50),
}


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_page_is_requested_as_ccxt_requests_it(exchange: str, served: Sandbox) -> None:
    symbol, page = VENUES[exchange].symbols[0], venue_of(exchange).page_size
    limits = [page] if venue_of(exchange).no_since else [page, 37]
    known = known_markets(exchange, [symbol])

    async def compared() -> None:
        plain = recording(exchange)({"markets": await _load(served, exchange), "enableRateLimit": False})
        try:
            url = served.url(exchange)
            async with ExchangeClient(exchange, known, base_url=url, paced=False, now=now) as client:
                for timeframe, back, limit in product(("1m", "1h", "1d"), SINCES.values(), limits):
                    since = (NOW - back).replace(second=0)
                    series = Series(exchange, symbol, Timeframe.parse(timeframe))
                    wanted = await plain_request(plain, symbol, timeframe, since, limit)
                    assert await our_request(client, served, series, since, limit) == wanted
        finally:
            await plain.close()

    asyncio.run(compared())


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_the_list_of_markets_holds_what_ccxt_reads_in_it(exchange: str, served: Sandbox) -> None:
    async def compared() -> None:
        markets = await _load(served, exchange)
        first = served.sites[exchange].journal.next
        async with ExchangeClient(exchange, base_url=served.url(exchange), paced=False, now=now) as client:
            found = await client.fetch_markets()
        assert {known.symbol: known.market_id for known in found} == {
            symbol: known["id"] for symbol, known in markets.items()
        }
        assert {known.symbol: known.active for known in found} == {
            symbol: known["active"] is not False for symbol, known in markets.items()
        }
        assert 1 <= len(served.requests(exchange, first)) <= 2

    asyncio.run(compared())
