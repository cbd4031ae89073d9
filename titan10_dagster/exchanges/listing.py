"""Since when and until when an exchange has candles of a symbol, found by asking it.

ccxt's `market['created']` is no listing date (ccxt PR 26551). So: 1d candles first, at most a few dozen requests and
one where the exchange counts forward from `since`; then the series' own candles around that day. Both times the
survey's proofs are what counts: a first row is believed once everything before it is proven absent, a last one once
everything after it is. The two must agree, for an answer that lost rows would make candles that exist "not listed".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from titan10_dagster.candles.slices import Series, from_ms, to_ms
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.exchanges.capabilities import Capabilities, EmptyMinutes
from titan10_dagster.exchanges.client import Page
from titan10_dagster.exchanges.pages import NoProgress, Survey

AskPage = Callable[[Series, datetime, int], Awaitable[Page]]
"""One page, as `ExchangeClient.fetch_page` gives it: of a series, from an instant, so many candles."""

# A market that is closed for less than this may only be halted.
HALT = timedelta(days=1)

_BEGINNING = datetime(2011, 1, 1, tzinfo=UTC)
_MOST_REQUESTS = 80
_DAY_MS = 86_400_000
_DAILY = Timeframe.parse("1d")


def can_tell(able: Capabilities) -> bool:
    """Whether the exchange gives its oldest candles too."""
    return able.depth is None and not able.no_since


async def first_candle(
    ask: AskPage, able: Capabilities, series: Series, now: datetime, honours_since: bool | None = None
) -> datetime | None:
    """The start of the series' first candle (aware, UTC); None if it has none or the exchange cannot tell.

    `honours_since`: what is known of the exchange's answers, as `pages.Survey` has it. Raises what `ask` raises.
    """
    return await _Search(ask, able, series, now, honours_since).first() if can_tell(able) else None


async def last_candle(
    ask: AskPage, able: Capabilities, series: Series, now: datetime, honours_since: bool | None = None
) -> datetime | None:
    """The end of the series' last candle (aware, UTC), if that is HALT or longer ago; else None.

    None too if there is no candle or the exchange cannot tell. For the rest, see `first_candle`.
    """
    return await _Search(ask, able, series, now, honours_since).last() if can_tell(able) else None


@dataclass
class _Search:
    """One search for a bound; what one survey learns of how the exchange counts, the next one knows."""

    ask: AskPage
    able: Capabilities
    series: Series
    now: datetime
    honours_since: bool | None

    async def first(self) -> datetime | None:
        days = await self._times(self._daily, to_ms(_BEGINNING), to_ms(self.now), to_first=True)
        if not days or self.series == self._daily:
            return from_ms(days[0]) if days else None
        # From a day earlier, which must be empty; some exchanges' days do not begin at midnight UTC.
        start = max(days[0] - _DAY_MS, to_ms(_BEGINNING))
        times = await self._times(self.series, start, days[0] + 2 * _DAY_MS, to_first=True)
        return from_ms(times[0]) if times and times[0] >= days[0] else None

    async def last(self) -> datetime | None:
        day = await self._last_day()
        if day is None:
            return None
        times = [day]
        if self.series != self._daily:
            times = await self._times(self.series, day, day + 2 * _DAY_MS)
        end = from_ms(times[-1] + self.series.timeframe.ms) if times else self.now
        return end if self.now - end >= HALT else None

    async def _last_day(self) -> int | None:
        """The newest day of which there is a candle, looked for backwards."""
        end, beginning = to_ms(self.now), to_ms(_BEGINNING)
        while end > beginning:
            start = max(end // _DAY_MS * _DAY_MS - self.able.page_size * _DAY_MS, beginning)
            days = await self._times(self._daily, start, end)
            if days:
                return days[-1]
            end = start
        return None

    @property
    def _daily(self) -> Series:
        return Series(self.series.exchange, self.series.symbol, _DAILY)

    async def _times(self, series: Series, start: int, end: int, *, to_first: bool = False) -> list[int]:
        """The starts of all candles in [start, end), or of some with the first among them; ms, ascending.

        Empty if there are none, and if the answers prove nothing.
        """
        survey = self._survey(series, start, end)
        found: set[int] = set()
        for _ in range(_MOST_REQUESTS):
            done = to_first and found and survey.settled(start, min(found))
            question = None if done else survey.next_ask(to_ms(self.now))
            if question is None:
                break
            page = await self.ask(series, from_ms(question.since), question.limit)
            times = page.rows[:, 0].astype(np.int64)
            try:
                survey.learn(question, times, to_ms(page.asked_at))
            except NoProgress:
                return []
            found.update(times[(times >= start) & (times < end)].tolist())
        self.honours_since = survey.honours_since
        proven = survey.settled(start, min(found) if to_first and found else end)
        return sorted(found) if proven and survey.horizon is None else []

    def _survey(self, series: Series, start: int, end: int) -> Survey:
        return Survey(
            [(start, end)],
            step=series.timeframe.ms,
            page_size=self.able.page_size,
            overlap=self.able.overlap,
            filled=self.able.empty_minutes is EmptyMinutes.FILLED,
            honours_since=self.honours_since,
            cursor=self.able.cursor,
            now=to_ms(self.now),
        )
