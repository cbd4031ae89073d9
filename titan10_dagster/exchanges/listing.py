"""Since when and until when an exchange has candles of a symbol, found by asking it.

ccxt's `market['created']` is no listing date (ccxt PR 26551). So: 1d candles first, at most a few dozen requests and
one where the exchange counts forward from `since`; then the series' own candles around that day. Both times the
survey's proofs are what counts: a first row is believed once everything before it is proven absent, a last one once
everything after it is. The two must agree, for an answer that lost rows would make candles that exist "not listed".

They disagree as well where an exchange forgets its minutes but not its days, without an error: it answers `[]`. That
looks like a lack of trades and is none, so days on which something was traded are held against the series' own candles.
Where a traded day has not one of them, it is forgotten, with everything before; where it has one, it is remembered,
with everything after. Between a day of either kind the edge is found by halving. Only while it lies within the day of
the listing itself is it taken for the listing, for a day's candle does not tell at which minute it began.

Where an exchange answers an error to whatever begins before its first candle, the earliest start without an error is
found by halving as well, of days and of the series' own candles. How that error reads nobody has written down (ccxt PR
21686), so by itself it proves nothing: if both begin together it is the listing, if days begin earlier the horizon.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import numpy as np

from titan10_dagster.candles.slices import Series, from_ms, to_ms
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.errors import FetchError
from titan10_dagster.exchanges.client import Page
from titan10_dagster.exchanges.pages import NoProgress, Survey
from titan10_dagster.exchanges.venues.venue import EmptyMinutes, Venue

RequestPage = Callable[[Series, datetime, int], Awaitable[Page]]
"""One page, as `ExchangeClient.fetch_page` gives it: of a series, from an instant, so many candles."""

# A market that is closed for less than this may only be halted.
HALT = timedelta(days=1)

_BEGINNING = datetime(2011, 1, 1, tzinfo=UTC)
_MOST_REQUESTS = 80
_DAY_MS = 86_400_000
_DAILY = Timeframe.parse("1d")


def can_tell(able: Venue) -> bool:
    """Whether the exchange gives its oldest candles too."""
    return able.depth is None and not able.no_since


class How(Enum):
    """Why nothing comes before a series' first candle.

    LISTED: it was not traded yet. FORGOTTEN: it was, and the exchange does not give those candles any more.
    UNEXPLAINED: the exchange's answers do not go together.
    """

    LISTED = auto()
    FORGOTTEN = auto()
    UNEXPLAINED = auto()


def is_rejection(error: FetchError | None) -> bool:
    """Whether the exchange answered that it will not answer this, and gave no reason that we know."""
    return type(error) is FetchError and error.status is not None


@dataclass(frozen=True)
class Beginning:
    """The first candle (aware, UTC) that an exchange gives of a series; None where it is not known."""

    how: How
    instant: datetime | None


async def first_candle(
    request: RequestPage,
    able: Venue,
    series: Series,
    now: datetime,
    *,
    silent_until: datetime,
    honours_since: bool | None = None,
    listed: datetime | None = None,
) -> Beginning | None:
    """Where the series begins; None if it has no candle, or the exchange cannot tell.

    `silent_until`: the end of the silence in doubt; None too if the exchange remembers candles from before it, whatever
    it has forgotten of earlier ones. `listed`: the first candle, if that is known, so that only the memory is in doubt.
    `honours_since`: what is known of the exchange's answers, as `pages.Survey` has it. Raises what `request` raises.
    """
    if not can_tell(able):
        return None
    search = _Search(request, able, series, now, honours_since)
    return await (search.first(silent_until) if listed is None else search.memory(listed, silent_until))


async def last_candle(
    request: RequestPage, able: Venue, series: Series, now: datetime, *, honours_since: bool | None = None
) -> datetime | None:
    """The end of the series' last candle (aware, UTC), if that is HALT or longer ago; else None.

    None too if there is no candle or the exchange cannot tell. For the rest, see `first_candle`.
    """
    return await _Search(request, able, series, now, honours_since).last() if can_tell(able) else None


@dataclass
class _Search:
    """One search for a bound; what one survey learns of how the exchange counts, the next one knows."""

    request: RequestPage
    able: Venue
    series: Series
    now: datetime
    honours_since: bool | None

    async def first(self, silent_until: datetime) -> Beginning | None:
        beginning = await self._accepted(self._daily, to_ms(_BEGINNING))
        days = await self._times(self._daily, beginning, to_ms(self.now), to_first=True)
        if not days or self.series == self._daily:
            return Beginning(How.LISTED, from_ms(days[0])) if days else None
        # From a day earlier, which must be empty; some exchanges' days do not begin at midnight UTC.
        earliest = to_ms(_BEGINNING) if self.able.refuses_before_listing else max(days[0] - _DAY_MS, to_ms(_BEGINNING))
        start = await self._accepted(self.series, earliest)
        times = await self._times(self.series, start, max(days[0], start) + 2 * _DAY_MS, to_first=True)
        if times and days[0] <= times[0] < days[0] + _DAY_MS:
            return Beginning(How.LISTED, from_ms(times[0]))
        if start > earliest:
            how = How.FORGOTTEN if times and times[0] > days[0] else How.UNEXPLAINED
            return Beginning(how, from_ms(times[0] if times else start))
        missed = times is not None and all(time > days[0] for time in times)
        return await self.memory(from_ms(days[0]), silent_until) if missed else None

    async def _accepted(self, series: Series, since: int) -> int:
        """The earliest start from `since` on to which the exchange does not answer an error.

        Raises the error if it answers one to the newest, too.
        """
        if not self.able.refuses_before_listing or await self._refusal(series, since) is None:
            return since
        step = series.timeframe.ms
        low, high = since, to_ms(self.now) // step * step
        refusal = await self._refusal(series, high)
        if refusal is not None:
            raise refusal
        while high - low > step:
            middle = (low + high) // 2 // step * step
            low, high = (middle, high) if await self._refusal(series, middle) else (low, middle)
        return high

    async def _refusal(self, series: Series, since: int) -> FetchError | None:
        try:
            await self.request(series, from_ms(since), self.able.page_size)
        except FetchError as error:
            if is_rejection(error):
                return error
            raise
        return None

    async def memory(self, listed: datetime, silent_until: datetime) -> Beginning | None:
        """The first candle that is remembered, if not even the last day traded before `silent_until` is."""
        if self.series == self._daily:
            return None
        end = to_ms(silent_until)
        start = max(to_ms(listed), end - self.able.page_size * _DAY_MS) // _DAY_MS * _DAY_MS
        days = await self._times(self._daily, start, end - _DAY_MS + 1, traded=True)
        if not days or (newest := await self._first_of(days[-1])):
            return None
        older = await self._first_of(days[-2]) if len(days) > 1 else []
        today = to_ms(self.now) // _DAY_MS * _DAY_MS
        later = await self._times(self._daily, days[-1] + _DAY_MS, today, traded=True)
        if newest is None or older != [] or later is None:  # a day that is missing among others is no horizon
            return Beginning(How.UNEXPLAINED, None)
        return await self._edge([*later, today])

    async def _edge(self, days: Sequence[int]) -> Beginning:
        """The first own candle of the first of these traded days that has one: all after it have, none before it."""
        low, high, first = 0, len(days), list[int]()
        while low < high:
            middle = (low + high) // 2
            times = await self._first_of(days[middle])
            if times is None:
                return Beginning(How.UNEXPLAINED, None)
            low, high, first = (low, middle, times) if times else (middle + 1, high, first)
        return Beginning(How.FORGOTTEN, from_ms(first[0])) if first else Beginning(How.UNEXPLAINED, None)

    async def _first_of(self, day: int) -> list[int] | None:
        return await self._times(self.series, day, day + _DAY_MS, to_first=True)

    async def last(self) -> datetime | None:
        day = await self._last_day()
        if day is None:
            return None
        times: list[int] | None = [day]
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

    async def _times(
        self, series: Series, start: int, end: int, *, to_first: bool = False, traded: bool = False
    ) -> list[int] | None:
        """The starts of all candles in [start, end), or of some with the first among them; ms, ascending.

        Only those with a volume if `traded`. None if the answers prove nothing.
        """
        survey = self._survey(series, start, end)
        found: set[int] = set()
        for _ in range(_MOST_REQUESTS):
            done = to_first and found and survey.settled(start, min(found))
            question = None if done else survey.next_request(to_ms(self.now))
            if question is None:
                break
            page = await self.request(series, from_ms(question.since), question.limit)
            times = page.rows[:, 0].astype(np.int64)
            try:
                survey.learn(question, times, to_ms(page.requested_at))
            except NoProgress:
                return None
            wanted = (times >= start) & (times < end) & ((page.rows[:, 5] > 0) | (not traded))
            found.update(times[wanted].tolist())
        self.honours_since = survey.honours_since
        proven = survey.settled(start, min(found) if to_first and found else end)
        return sorted(found) if proven and survey.horizon is None else None

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
