"""Since when an exchange has candles of a symbol, found by asking it.

ccxt's `market['created']` is no listing date (ccxt PR 26551). So: 1d candles from the beginning, at most a few dozen
requests and one where the exchange counts forward from `since`; then the series' own candles on that day. Both times
the survey's proofs are what counts: a first row is believed once everything before it is proven absent.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from titan10_dagster.candles.slices import Series, from_ms, to_ms
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.pages import NoProgress, Survey

_BEGINNING = datetime(2011, 1, 1, tzinfo=UTC)
_MOST_REQUESTS = 80
_DAY_MS = 86_400_000


async def first_candle(client: ExchangeClient, series: Series, now: datetime) -> datetime | None:
    """The start of the series' first candle (aware, UTC); None if it has none or the exchange cannot tell.

    Exchanges that give only their last candles cannot. Raises what `ExchangeClient.fetch_page` raises; nothing
    is retried.
    """
    if client.capabilities.depth is not None or client.capabilities.no_since:
        return None
    daily = Series(series.exchange, series.symbol, Timeframe.parse("1d"))
    day = await _first(client, daily, to_ms(_BEGINNING), to_ms(now), now)
    if day is None or series.timeframe == daily.timeframe:
        return None if day is None else from_ms(day)
    first = await _first(client, series, day, day + _DAY_MS, now)
    return None if first is None else from_ms(first)


async def _first(client: ExchangeClient, series: Series, start: int, end: int, now: datetime) -> int | None:
    able = client.capabilities
    survey = Survey(
        [(start, end)], step=series.timeframe.ms, page_size=able.page_size, overlap=able.overlap, now=to_ms(now)
    )
    first: int | None = None
    for _ in range(_MOST_REQUESTS):
        ask = survey.next_ask(to_ms(now))
        if ask is None:
            break
        page = await client.fetch_page(series, from_ms(ask.since), ask.limit)
        times = page.rows[:, 0].astype(np.int64)
        try:
            survey.learn(ask, times, to_ms(page.asked_at))
        except NoProgress:
            return None
        inside = times[(times >= start) & (times < end)]
        if len(inside):
            first = int(inside[0]) if first is None else min(first, int(inside[0]))
        if first is not None and survey.settled(start, first):
            return None if survey.horizon is not None else first
    return None
