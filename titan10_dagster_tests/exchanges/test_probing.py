"""A probe finds changes of an exchange's behaviour, and reports none where nothing changed."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series
from titan10_dagster.errors import Refused
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.probing import MOST_REQUESTS, Measured, Sample, measure, recorded
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.planning.probe import Finding, Property, compare
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster_tests.exchanges.harness import MINUTE

NOW = datetime(2024, 6, 20, 14, 30, 20, tzinfo=UTC)
WEEKS = int(os.environ.get("TITAN10_TEST_PROBE_WEEKS", "4"))  # `make campaign` sets more


def sample(sandbox: Sandbox, exchange: str, now: datetime) -> Sample:
    """Return the sample that a probe would read from a complete database."""
    symbols, record = VENUES[exchange].symbols, venue_of(exchange)
    busy, quiet = Series(exchange, symbols[0], MINUTE), Series(exchange, symbols[15], MINUTE)
    page = record.page_size * MINUTE.delta
    if record.depth is None:
        since = now.replace(hour=0, minute=0, second=0) - timedelta(days=3) - page
        oldest = now.replace(hour=0, minute=0, second=0) - timedelta(days=400)
    else:
        since, oldest = now.replace(second=0) - min(page, (record.depth - 10) * MINUTE.delta), None
    known = sandbox.truth(exchange, busy.symbol, since, min(since + page, now - timedelta(minutes=5)))
    return Sample(busy, quiet, since, known, oldest)


class Probe:
    """A series of probes of one exchange of a sandbox. Each probe is compared with the previous probe."""

    def __init__(self, exchange: str, **options: Any) -> None:
        self.now = NOW
        self.exchange = exchange
        self.sandbox = Sandbox([exchange], clock=lambda: self.now, enforce_limits=False, **options)
        self.last: dict[Property, str] = {}
        self.requests = 0

    def __enter__(self) -> Probe:
        self.sandbox.start()
        self._markets = asyncio.run(self._read_markets())
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.stop()

    def client(self, markets: list[Market]) -> ExchangeClient:
        url = self.sandbox.url(self.exchange)
        return ExchangeClient(self.exchange, markets, base_url=url, paced=False, now=lambda: self.now)

    async def _read_markets(self) -> list[Market]:
        async with self.client([]) as client:
            return await client.fetch_markets()

    async def _measure(self, taken: Sample, **options: Any) -> Measured:
        expected = {**self.last, **recorded(venue_of(self.exchange))}
        async with self.client(self._markets) as client:
            return await measure(client, taken, expected, **options)

    def differences(self, taken: Sample | None = None, **options: Any) -> dict[Property, Finding]:
        """Probe now, and return the differing properties."""
        taken = taken or sample(self.sandbox, self.exchange, self.now)
        before = len(self.sandbox.requests(self.exchange))
        measured = asyncio.run(self._measure(taken, **options))
        self.requests = len(self.sandbox.requests(self.exchange)) - before
        findings = compare(measured, recorded(venue_of(self.exchange)), self.last)
        known = {property_: value for property_, value in measured.items() if value is not None}
        self.last = {**self.last, **known}
        return {finding.subject: finding for finding in findings if finding.differs}


@pytest.mark.parametrize("exchange", VENUES)
def test_weeks_without_a_change_differ_in_nothing(exchange: str) -> None:
    with Probe(exchange) as probe:
        for _ in range(WEEKS):
            assert probe.differences() == {}
            assert probe.requests <= MOST_REQUESTS
            probe.now += timedelta(days=7, minutes=97)
        known = probe.last
    assert known[Property.PAGE_SIZE] == str(venue_of(exchange).page_size)
    assert known[Property.ORDER] == ("newest first" if VENUES[exchange].descending else "oldest first")
    assert known[Property.EMPTY_MINUTES] == VENUES[exchange].empty_minutes
    assert known[Property.VALUES] == "as stored"
    assert Property.DEPTH in known


# The keys are an exchange, a fault and its options. The values are the differing property and its measured value.
CHANGES: dict[str, tuple[str, str, dict[str, Any], Property, str]] = {
    "smaller pages": ("binance", "page_third", {}, Property.PAGE_SIZE, "333"),
    "smaller pages of an exchange that counts back": ("upbit", "page_third", {}, Property.PAGE_SIZE, "66"),
    "the opposite order": ("binance", "reversed", {}, Property.ORDER, "newest first"),
    "the first candle is left out": ("binance", "since_exclusive", {}, Property.START, "exclusive"),
    "one candle more at the end": ("kucoin", "end_inclusive", {}, Property.END, "inclusive"),
    "old candles are forgotten": ("bybit", "forgets", {"rows": 50_000}, Property.DEPTH, "50000"),
    "fewer last rows": ("kraken", "forgets", {"rows": 360}, Property.DEPTH, "360"),
    "the start is ignored": ("binance", "horizon", {"rows": 1_000}, Property.DEPTH, "1000"),
    "empty minutes are left out": ("binance", "empty_dropped", {}, Property.EMPTY_MINUTES, "missing"),
    "empty minutes are rows": ("kucoin", "empty_filled", {}, Property.EMPTY_MINUTES, "filled"),
    "another symbol's candles": ("okx", "other_symbol", {}, Property.VALUES, "others"),
    "a stale backend": ("gate", "stale", {"minutes": 90}, Property.FRESHNESS, "90 candles late"),
    "too many requests": ("mexc", "refusal", {"name": "throttled"}, Property.LIMITS, "exceeded"),
    "another format": ("htx", "null_data", {}, Property.ANSWERS, "MalformedAnswer"),
    "another name of the market": ("bitstamp", "unknown_symbol", {}, Property.ANSWERS, "UnknownSymbol"),
    "half a list of markets": ("coinbase", "half_markets", {}, Property.MARKETS, "12"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_behaviour_is_found(change: str) -> None:
    exchange, kind, options, property_, measured = CHANGES[change]
    with Probe(exchange) as probe:
        assert probe.differences() == {}
        probe.now += timedelta(days=7)
        taken = sample(probe.sandbox, exchange, probe.now)
        probe.sandbox.fault(exchange, kind, **options)
        found = probe.differences(taken)
        assert probe.requests <= MOST_REQUESTS
    assert property_ in found
    assert found[property_].measured == measured


@pytest.mark.parametrize(
    ("options", "property_"), [({"charge": 2.0}, Property.CHARGE), ({"rate_ms": 500.0}, Property.RATE)]
)
def test_a_new_charge_of_ccxt_is_found(options: dict[str, float], property_: Property) -> None:
    with Probe("binance") as probe:
        probe.differences()
        assert set(probe.differences(**options)) == {property_}


@pytest.mark.parametrize("kind", ["lost_rows", "empty_page", "http_502", "reversed", "stale", "other_symbol"])
def test_one_answer_proves_no_change(kind: str) -> None:
    with Probe("binance") as probe:
        probe.differences()
        taken = sample(probe.sandbox, "binance", probe.now)
        probe.sandbox.fault("binance", kind, count=1)
        assert probe.differences(taken) == {}


def test_a_probe_of_a_new_exchange_fills_in_its_unknowns() -> None:
    with Probe("bitfinex") as probe:
        symbols = VENUES["bitfinex"].symbols
        busy, quiet = (Series("bitfinex", symbols[index], MINUTE) for index in (0, 15))
        probe.differences(Sample(busy, quiet, NOW.replace(hour=0, minute=0, second=0) - timedelta(days=20)))
    assert probe.last[Property.ORDER] == "oldest first"
    assert probe.last[Property.START] == "inclusive"
    assert probe.last[Property.EMPTY_MINUTES] == "missing"
    assert probe.last[Property.DEPTH] == "all"
    assert Property.VALUES not in probe.last


def test_a_refusal_ends_the_probe() -> None:
    with Probe("okx") as probe:
        probe.sandbox.fault("okx", "refusal", name="restricted")
        with pytest.raises(Refused):
            probe.differences()
