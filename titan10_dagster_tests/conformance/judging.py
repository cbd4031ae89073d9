"""Compare the landed candles of a fetch with the real candles of the exchange."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np

from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Slice, from_ms, to_ms
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.sandbox.venues.registry import VENUES
from titan10_dagster_tests.exchanges.harness import Fetched, fetch

MINUTE_MS = 60_000
NOW = datetime(2024, 6, 20, 14, 30, 20, tzinfo=UTC)
EXCHANGES = list(VENUES)
LAST_ROWS_ONLY = [name for name in EXCHANGES if venue_of(name).depth is not None]
WITH_HISTORY = [name for name in EXCHANGES if venue_of(name).depth is None]


def now() -> datetime:
    return NOW


@dataclass(frozen=True)
class Account:
    """The outcome of a fetch, in minutes.

    lost: the exchange serves them, but they did not land. invented: they landed, but the exchange has no such candle.
    misexplained: they are missing with a wrong reason, as (slice, minute, reason, right reasons).
    """

    lost: list[tuple[Slice, datetime]]
    invented: list[tuple[Slice, datetime]]
    misexplained: list[tuple[Slice, datetime, str, str]]
    stored: int
    requests: int
    minimum: int

    def assert_right(self) -> None:
        assert not self.lost, f"{len(self.lost)} minutes lost: {self.lost[:3]}"
        assert not self.invented, f"{len(self.invented)} minutes invented: {self.invented[:3]}"
        assert not self.misexplained, f"{len(self.misexplained)} with a wrong reason: {self.misexplained[:3]}"


def played(
    sandbox: Sandbox, wanted: Sequence[Slice], markets: Sequence[Market] | None = None, **options: Any
) -> tuple[Fetched, Account]:
    """Fetch the slices with the real client, and compare the result with the truth."""
    exchange = wanted[0].series.exchange
    before = len(sandbox.requests(exchange))
    known = markets or known_markets(exchange, dict.fromkeys(slice_.series.symbol for slice_ in wanted))
    fetched = fetch(sandbox, wanted, markets=known, clock=now, **options)
    requests = len(sandbox.requests(exchange)) - before
    return fetched, account(sandbox, fetched, wanted, requests)


def account(sandbox: Sandbox, fetched: Fetched, wanted: Sequence[Slice], requests: int) -> Account:
    lost, invented, misexplained, stored = [], [], [], 0
    for slice_ in wanted:
        true = _truth(sandbox, slice_)
        serves = _serves_from(sandbox, slice_)
        landed = fetched.rows(slice_) if slice_ in fetched.landed else np.empty((0, 6))
        stored += len(landed)
        have, there = {row[0]: row for row in landed.tolist()}, {row[0]: row for row in true.tolist()}
        for time, row in have.items():
            if there.get(time) != row:
                invented.append((slice_, from_ms(int(time))))
        for time in there:
            if time not in have and time >= serves + 3 * MINUTE_MS:
                lost.append((slice_, from_ms(int(time))))
        if slice_ in fetched.landed:
            misexplained += _wrong_reasons(sandbox, fetched, slice_, set(there), serves)
    return Account(lost, invented, misexplained, stored, requests, minimum(wanted))


def _truth(sandbox: Sandbox, slice_: Slice) -> np.ndarray:
    series = slice_.series
    return sandbox.truth(series.exchange, series.symbol, slice_.start, min(slice_.end, NOW))


def _serves_from(sandbox: Sandbox, slice_: Slice) -> int:
    """Return the oldest minute (ms) that the exchange still serves if ccxt sends the request."""
    series, record = slice_.series, venue_of(slice_.series.exchange)
    if record.depth is None:
        return 0
    if sandbox.sites[series.exchange].venue.empty_minutes == "filled":
        return to_ms(NOW) // MINUTE_MS * MINUTE_MS - (record.depth - 1) * MINUTE_MS
    rows = sandbox.truth(series.exchange, series.symbol, to_ms(NOW) - 40 * 86_400_000, to_ms(NOW))
    # The candle that is still forming is one of the last rows, if it has a trade.
    return int(rows[-(record.depth - 1) :][0][0]) if len(rows) else 0


def _wrong_reasons(
    sandbox: Sandbox, fetched: Fetched, slice_: Slice, there: set[float], serves: int
) -> list[tuple[Slice, datetime, str, str]]:
    instrument = sandbox.sites[slice_.series.exchange].served(slice_.series.symbol).instrument
    found = []
    for gap in fetched.gaps(slice_):
        finished = to_ms(NOW) // MINUTE_MS * MINUTE_MS
        for time in range(to_ms(gap.start), min(to_ms(gap.end), finished), MINUTE_MS):
            allowed = _reasons(time, time in there, instrument.listed_ms, instrument.delisted_ms, serves)
            if gap.reason not in allowed:
                found.append((slice_, from_ms(time), gap.reason.value, "/".join(sorted(allowed))))
    return found


def _reasons(time: int, exists: bool, listed: int, delisted: int | None, serves: int) -> set[Reason]:
    """Return the correct reasons of a missing minute."""
    reasons: set[Reason] = set()
    if time < serves + 3 * MINUTE_MS:
        reasons.add(Reason.BEYOND_HORIZON)
    if exists:
        return reasons
    if time < listed:
        reasons.add(Reason.PRE_LISTING)
    elif delisted is not None and time >= delisted:
        reasons.add(Reason.DELISTED)
    else:
        reasons |= {Reason.NO_TRADES, Reason.OUTAGE}
    return reasons


def minimum(wanted: Sequence[Slice]) -> int:
    """Return the fewest requests for the minutes that the exchange serves of these contiguous slices."""
    record = venue_of(wanted[0].series.exchange)
    oldest = to_ms(NOW) - record.depth * MINUTE_MS if record.depth is not None else 0
    spans: dict[str, tuple[int, int]] = {}
    for slice_ in wanted:
        start, end = max(to_ms(slice_.start), oldest), min(to_ms(slice_.end), to_ms(NOW))
        if end > start:
            first, last = spans.get(slice_.series.symbol, (start, end))
            spans[slice_.series.symbol] = (min(first, start), max(last, end))
    return sum(math.ceil((end - start) / MINUTE_MS / record.page_size) for start, end in spans.values())


def known_markets(exchange: str, symbols: Iterable[str], **changes: Any) -> list[Market]:
    """Return markets as the client reads them in the exchange's own list."""
    return [replace(_all_markets(exchange)[symbol], **changes) for symbol in symbols]


@cache
def _all_markets(exchange: str) -> dict[str, Market]:
    async def read() -> list[Market]:
        with Sandbox([exchange], clock=NOW, enforce_limits=False) as sandbox:
            async with ExchangeClient(exchange, base_url=sandbox.url(exchange), paced=False, now=now) as client:
                return await client.fetch_markets()

    return {market.symbol: market for market in asyncio.run(read())}
