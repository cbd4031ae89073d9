"""Find the first and the last candle that an exchange has of a series.

ccxt's `market['created']` is not the listing date (ccxt PR 26551), so the first candle is searched for with requests:

1. for 1d candles: a few dozen requests at most, and a single one if the exchange counts forward from `since`
2. for the series' own candles around the day that was found

Both steps accept only results that the survey proves: a first row is accepted once everything before it is proven
absent, a last row once everything after it is. The two results must agree. Otherwise an answer that lost rows would
make existing candles look like candles from before the listing.

They also disagree if an exchange no longer serves old minutes but still serves their days. It then answers `[]` without
an error, which looks like a lack of trades. Traded days are therefore compared with the series' own candles. A traded
day without any own candle is no longer served, and neither are earlier days. A traded day with an own candle is still
served, and so are later days. Bisection finds the border between the two kinds of days. A border within the day of the
listing counts as the listing, because a 1d candle does not show the minute in which trading began.

If an exchange answers with an error to every page that begins before the first candle, bisection finds the earliest
start without an error, for days and for the series' own candles. The wording of that error is not documented (ccxt PR
21686), so the error alone proves nothing. If days and own candles begin on the same day, that day is the listing. If
days begin earlier, it is the retention horizon.
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


# A market that has had no candles for less than this may only be halted.
HALT = timedelta(days=1)

_BEGINNING = datetime(2011, 1, 1, tzinfo=UTC)
_MOST_REQUESTS = 80
_DAY_MS = 86_400_000
_DAILY = Timeframe.parse("1d")


def serves_oldest_candles(venue: Venue) -> bool:
    """Return whether the exchange also serves its oldest candles."""
    return venue.depth is None and not venue.no_since


class BeginningKind(Enum):
    """The reason why a series has no candle before its first candle.

    LISTED: the symbol was not traded yet. NO_LONGER_SERVED: the symbol was traded, but the exchange no longer serves
        those candles.
    UNEXPLAINED: the exchange's answers contradict each other.
    """

    LISTED = auto()
    NO_LONGER_SERVED = auto()
    UNEXPLAINED = auto()


def is_rejection(error: FetchError | None) -> bool:
    """Return whether the exchange rejected the request for no known reason."""
    return type(error) is FetchError and error.status is not None


@dataclass(frozen=True)
class Beginning:
    """The start of the first candle of a series that an exchange serves (aware, UTC); None if it is not known."""

    how: BeginningKind
    instant: datetime | None


@dataclass(frozen=True)
class End:
    """The end of the last candle (aware, UTC) that an exchange serves of a series; None if it serves no candle."""

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
    """Return the beginning of the series; None if it has no candle or the exchange's answers cannot prove it.

    Args:
        request: requests one page. Its errors are passed on.
        silent_until: the end of the silence to explain. If the exchange serves candles from before it, None is returned
            too, even if it no longer serves still earlier candles.
        listed: the first candle, if it is known; then only the retention horizon is searched for.
        honours_since: what is known about the exchange's answers, see `pages.Survey`.
    """
    if not serves_oldest_candles(venue):
        return None
    search = _Search(request, venue, series, now, honours_since)
    return await (search.first(silent_until) if listed is None else search.memory(listed, silent_until))


async def last_candle(
    request: RequestPage, venue: Venue, series: Series, now: datetime, *, honours_since: bool | None = None
) -> End | None:
    """Return where the series ends if that is at least HALT ago or if it has no candle at all, else None.

    None is also returned if the answers cannot prove it. For the arguments, see `first_candle`.
    """
    if not serves_oldest_candles(venue):
        return None
    return await _Search(request, venue, series, now, honours_since).last()


@dataclass
class _Search:
    """One search for a bound. Facts about the exchange's paging that a survey finds are passed to the next survey."""

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
            # Start a day earlier, which must be empty: some exchanges' days do not begin at midnight UTC.
            earliest = max(days[0] - _DAY_MS, earliest)
        start = await self._accepted(self.series, earliest)
        times = await self._times(self.series, start, max(days[0], start) + 2 * _DAY_MS, to_first=True)
        # A page of days begins at midnight UTC. If days begin at another hour, the page leaves out the day before it.
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
        """Return the earliest start, not before `since`, that the exchange answers without an error.

        Raises the error if the newest start is rejected too.
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
        """Return the first candle still served, if the last traded day before `silent_until` is no longer served."""
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
        if newest is None or older != [] or later is None:  # a single missing day does not prove a horizon
            return Beginning(BeginningKind.UNEXPLAINED, None)
        return await self._edge([*later, today])

    async def _edge(self, days: Sequence[int]) -> Beginning:
        """Return the first candle of the series' own timeframe on traded days.

        Bisection finds the first day that still has one.
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
        """Return the newest days with a candle (ms), searched backwards; None if the answers prove nothing."""
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
        """Return the starts of the candles in [start, end), in ms, ascending; None if the answers prove nothing.

        to_first: stop as soon as the first candle is proven; later candles may be missing from the result.
        traded: only candles with a volume.
        edges: the candle at `start` may exist, so it needs as much evidence as the others.
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
