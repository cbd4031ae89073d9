"""The meaning of each exchange's own error answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series
from titan10_dagster.errors import (
    Banned,
    FetchError,
    Maintenance,
    Refused,
    Throttled,
    TransientError,
    UnknownSymbol,
)
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster_tests.conformance.judging import EXCHANGES, NOW, known_markets, now
from titan10_dagster_tests.exchanges.harness import MINUTE

WAITS = (Throttled, Banned)
LATER = (Maintenance, TransientError)


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox(clock=NOW, enforce_limits=False) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(served: Sandbox) -> Iterator[Sandbox]:
    yield served
    served.clear_faults()


ANSWERS: dict[str, tuple[type[FetchError], ...]] = {
    "throttled": WAITS,
    "banned": WAITS,
    "maintenance": LATER,
    "internal": LATER,
    "bad_gateway": LATER,
    "gateway_timeout": LATER,
    "unknown_symbol": (UnknownSymbol,),
    "closed_market": (UnknownSymbol,),
    "restricted": (Refused,),
}
# For an unknown coin, the answer is HTTP 500 with `null`, like any failure of the server. Only the list of markets
# shows that the coin is no longer traded.
_CANNOT_TELL = {("hyperliquid", "unknown_symbol"), ("hyperliquid", "closed_market")}


async def failures(sandbox: Sandbox, known: Market) -> dict[str, FetchError]:
    """Return the error of a request for candles, for each of the exchange's error answers."""
    exchange, found = known.exchange, {}
    for answer in ANSWERS:
        sandbox.clear_faults(exchange)
        sandbox.fault(exchange, "refusal", name=answer)
        # A client remembers a ban, so each answer needs a new client.
        async with ExchangeClient(exchange, [known], base_url=sandbox.url(exchange), paced=False, now=now) as client:
            with pytest.raises(FetchError) as caught:
                await client.fetch_page(Series(exchange, known.symbol, MINUTE), NOW - timedelta(minutes=100), 100)
        found[answer] = caught.value
    return found


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_error_answer_means_what_the_exchange_says(exchange: str, sandbox: Sandbox) -> None:
    (known,) = known_markets(exchange, VENUES[exchange].symbols[:1])
    misread = {}
    for answer, error in asyncio.run(failures(sandbox, known)).items():
        wanted = LATER if (exchange, answer) in _CANNOT_TELL else ANSWERS[answer]
        if not isinstance(error, wanted):
            misread[answer] = error
    assert misread == {}
