"""Find the first and the last candle of a series at an exchange.

ccxt's `market['created']` is not the listing date (ccxt PR 26551). Therefore Titan-10 searches for the first candle
with requests, in two steps:

1. Request 1d candles. This takes at most a few dozen requests. One request is enough if the exchange counts forward
   from `since`.
2. Request candles of the series' own timeframe around the day that was found.

Both steps accept only results that the survey (`survey.Survey`) proves. A first candle is accepted if all earlier
candles are proven to be absent. A last candle is accepted if all later candles are proven to be absent. The results of
both steps must agree, because a single answer can have lost its first rows. The time of the lost rows would then look
like time before the listing.

The steps also disagree if an exchange still serves old 1d candles but no longer serves the minutes of these days. For
these minutes, the exchange answers `[]` without an error, as if there were no trades. Therefore days with trades are
checked for candles of the series' own timeframe. If a day with trades has no candle of this timeframe, the exchange no
longer serves this day and all earlier days. If the day has a candle of this timeframe, the exchange serves this day and
all later days. A bisection finds the first candle that is still served. A 1d candle does not show the minute in which
trading began. Therefore, if the first served candle is on the first day that has a 1d candle, this candle counts as the
first candle of the series.

Some exchanges answer with an error if a page begins before the first candle. For these exchanges, a bisection finds the
earliest start without an error, for 1d candles and for the series' own timeframe. The error alone proves nothing,
because its wording is not documented (ccxt PR 21686). If the candles of both timeframes begin on the same day, the
result is the first candle of the series. If the 1d candles begin earlier, the result is the retention horizon (the
first candle that is still served).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Protocol

import numpy as np

from titan10_dagster.candles.slices import Series, from_ms, to_ms
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.errors import FetchError
from titan10_dagster.exchanges.pages import Page
from titan10_dagster.exchanges.survey import NoProgress, survey_of
from titan10_dagster.exchanges.venues.venue import Venue


class RequestPage(Protocol):
    """A function that returns one page, with the signature of `ExchangeClient.fetch_page`."""

    async def __call__(self, series: Series, since: datetime, limit: int, until: datetime | None = None) -> Page: ...


# If the last candle of a market ended less than a day ago, the market is possibly only halted, and not delisted.
HALT = timedelta(days=1)

_BEGINNING = datetime(2011, 1, 1, tzinfo=UTC)
_MOST_REQUESTS = 80
_DAY_MS = 86_400_000
_DAILY = Timeframe.parse("1d")


def serves_oldest_candles(venue: Venue) -> bool:
    """Return whether candles of any age can be requested. Some exchanges serve only their newest candles."""
    return venue.depth is None and not venue.no_since


class BeginningKind(Enum):
    """The reason why an exchange serves no candles of a series from before a certain time.

    LISTED: the symbol was not traded yet.
    NO_LONGER_SERVED: the symbol was traded, but the exchange no longer serves the candles of this time.
    UNEXPLAINED: the answers of the exchange contradict each other.
    """

    LISTED = auto()
    NO_LONGER_SERVED = auto()
    UNEXPLAINED = auto()


def is_rejection(error: FetchError | None) -> bool:
    """Return whether the exchange rejected the request for a reason that Titan-10 does not know."""
    return type(error) is FetchError and error.status is not None


@dataclass(frozen=True)
class Beginning:
    """The time at which the served candles of a series begin, and the reason.

    how: the reason why there are no earlier candles.
    instant: the start of the first served candle (aware, UTC); None if it is not known.
    """

    how: BeginningKind
    instant: datetime | None


@dataclass(frozen=True)
class End:
    """The time at which the served candles of a series end.

    `instant`: the end of the last candle (aware, UTC); None if the exchange serves no candles of the series.
    """

    instant: datetime | None


async def first_candle(
    request: RequestPage,
    venue: Venue,
    series: Series,
    now: datetime,
    *,
    silent_until: datetime,
    honours_since: bool | None = None,
    listed: datetime | None = None,
) -> Beginning | None:
    """Return the time at which the served candles of the series begin, and the reason.

    The result is None if the series has no candle, if the answers of the exchange do not prove the beginning, or if the
    exchange serves only its newest candles.

    Args:
        request: a function that requests one page. Its errors are raised here.
        silent_until: the end of a silence: the fetch requested candles that start before this instant, but received
            none of them. A search for the retention horizon has to find out whether the exchange has deleted these
            candles. If the exchange still serves the last day with trades before this instant, the candles were not
            deleted, and the result is None.
        listed: the start of the first candle, if it is known. In this case, only the retention horizon is searched for.
        honours_since: whether the exchange returns candles from `since` on; None if this is not known (see `Survey`).
    """
    if not serves_oldest_candles(venue):
        return None
    search = _Search(request, venue, series, now, honours_since)
    return await (search.first(silent_until) if listed is None else search.memory(listed, silent_until))


async def last_candle(
    request: RequestPage, venue: Venue, series: Series, now: datetime, *, honours_since: bool | None = None
) -> End | None:
    """Return the time at which the served candles end, if the series is no longer traded.

    The result is an End if the last candle ended a day (HALT) or more before `now`, or if the series has no candle at
    all. The result is None if the series is still traded, if the answers do not prove the end, or if the exchange
    serves only its newest candles. For the arguments, see `first_candle`.
    """
    if not serves_oldest_candles(venue):
        return None
    return await _Search(request, venue, series, now, honours_since).last()


@dataclass
class _Search:
    """A search for the first or the last candle of a series.

    `honours_since`: whether the exchange returns candles from `since` on; None if this is not known yet. A search can
        use several surveys (`survey.Survey`). Each survey stores its result about `since` here for the next survey.
    """

    request: RequestPage
    venue: Venue
    series: Series
    now: datetime
    honours_since: bool | None

    async def first(self, silent_until: datetime) -> Beginning | None:
        beginning = await self._accepted(self._daily, to_ms(_BEGINNING))
        days = await self._times(self._daily, beginning, to_ms(self.now), to_first=True)
        if not days or self.series == self._daily:
            return Beginning(BeginningKind.LISTED, from_ms(days[0])) if days else None
        earliest = to_ms(_BEGINNING)
        if not self.venue.refuses_before_listing:
            # The search begins a day earlier, because the days of some exchanges do not begin at midnight UTC.
            earliest = max(days[0] - _DAY_MS, earliest)
        start = await self._accepted(self.series, earliest)
        times = await self._times(self.series, start, max(days[0], start) + 2 * _DAY_MS, to_first=True)
        # A page of 1d candles begins at midnight UTC. If the exchange's days begin at another hour, the page does not
        # contain the day that began before midnight.
        earliest_day = days[0] if days[0] % _DAY_MS == 0 else days[0] - _DAY_MS
        if times and earliest_day <= times[0] < days[0] + _DAY_MS:
            return Beginning(BeginningKind.LISTED, from_ms(times[0]))
        if start > earliest:
            how = BeginningKind.NO_LONGER_SERVED if times and times[0] > days[0] else BeginningKind.UNEXPLAINED
            return Beginning(how, from_ms(times[0] if times else start))
        if times is None or any(time <= days[0] for time in times):
            return None
        return await self.memory(from_ms(days[0]), silent_until)

    async def _accepted(self, series: Series, since: int) -> int:
        """Return the earliest start of a page, from `since` on, that the exchange does not reject.

        Raises:
            FetchError: the exchange rejects even the newest possible start.
        """
        if not self.venue.refuses_before_listing or await self._refusal(series, since) is None:
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
            await self.request(series, from_ms(since), self.venue.page_size)
        except FetchError as error:
            if is_rejection(error):
                return error
            raise
        return None

    async def memory(self, listed: datetime, silent_until: datetime) -> Beginning | None:
        """Return the first candle that the exchange still serves.

        The last day with trades before `silent_until` is checked. If the exchange still serves candles of this day, the
        silence after this day does not come from deleted candles, and the result is None.
        """
        if self.series == self._daily:
            return None
        end = to_ms(silent_until)
        start = max(to_ms(listed), end - self.venue.page_size * _DAY_MS) // _DAY_MS * _DAY_MS
        days = await self._times(self._daily, start, end - _DAY_MS + 1, traded=True)
        if not days or (newest := await self._first_of(days[-1])):
            return None
        older = await self._first_of(days[-2]) if len(days) > 1 else []
        today = to_ms(self.now) // _DAY_MS * _DAY_MS
        later = await self._times(self._daily, days[-1] + _DAY_MS, today, traded=True)
        # A single empty day does not prove a retention horizon. The previous day with trades must be empty too.
        if newest is None or older != [] or later is None:
            return Beginning(BeginningKind.UNEXPLAINED, None)
        return await self._edge([*later, today])

    async def _edge(self, days: Sequence[int]) -> Beginning:
        """Return the first candle of the series' own timeframe on the given days. `days`: days with trades (ms).

        A bisection finds the first day with such a candle.
        """
        low, high, first = 0, len(days), list[int]()
        while low < high:
            middle = (low + high) // 2
            times = await self._first_of(days[middle])
            if times is None:
                return Beginning(BeginningKind.UNEXPLAINED, None)
            low, high, first = (low, middle, times) if times else (middle + 1, high, first)
        if not first:
            return Beginning(BeginningKind.UNEXPLAINED, None)
        return Beginning(BeginningKind.NO_LONGER_SERVED, from_ms(first[0]))

    async def _first_of(self, day: int) -> list[int] | None:
        return await self._times(self.series, day, day + _DAY_MS, to_first=True, edges=True)

    async def last(self) -> End | None:
        days = await self._last_days()
        if not days:
            return None if days is None else End(None)
        times: list[int] | None = days
        if self.series != self._daily:
            times = await self._times(self.series, days[-1], days[-1] + 2 * _DAY_MS)
        end = from_ms(times[-1] + self.series.timeframe.ms) if times else self.now
        return End(end) if self.now - end >= HALT else None

    async def _last_days(self) -> list[int] | None:
        """Return the starts (ms) of the 1d candles in the newest page that has any.

        The list is empty if the series has no candle. The result is None if the answers prove nothing.
        """
        end, beginning = to_ms(self.now), to_ms(_BEGINNING)
        is_proven = True
        while end > beginning:
            start = max(end // _DAY_MS * _DAY_MS - self.venue.page_size * _DAY_MS, beginning)
            days = await self._times(self._daily, start, end)
            if days:
                return days
            is_proven = is_proven and days is not None
            end = start
        return [] if is_proven else None

    @property
    def _daily(self) -> Series:
        return Series(self.series.exchange, self.series.symbol, _DAILY)

    async def _times(
        self,
        series: Series,
        start: int,
        end: int,
        *,
        to_first: bool = False,
        traded: bool = False,
        edges: bool = False,
    ) -> list[int] | None:
        """Return the starts of the candles from `start` to `end` (exclusive), in ms, ascending.

        If the answers prove nothing, the result is None.

        to_first: whether to stop when the first candle is proven. In this case, later candles are possibly not in the
            result.
        traded: whether to return only candles with a volume above zero.
        edges: see `Evidence`.
        """
        survey = survey_of(
            self.venue,
            [(start, end)],
            step=series.timeframe.ms,
            now=to_ms(self.now),
            honours_since=self.honours_since,
            edges=edges or self.venue.refuses_before_listing,
        )
        found: set[int] = set()
        for _ in range(_MOST_REQUESTS):
            done = to_first and found and survey.settled(start, min(found))
            question = None if done else survey.next_request(to_ms(self.now))
            if question is None:
                break
            until = from_ms(question.until) if question.names_end else None
            page = await self.request(series, from_ms(question.since), question.limit, until)
            try:
                survey.learn(question, page.times, to_ms(page.requested_at))
            except NoProgress:
                return None
            times = page.rows[:, 0].astype(np.int64)
            wanted = (times >= start) & (times < end) & ((page.rows[:, 5] > 0) | (not traded))
            found.update(times[wanted].tolist())
        self.honours_since = survey.honours_since
        proven = survey.settled(start, min(found) if to_first and found else end)
        return sorted(found) if proven and survey.horizon is None else None
