"""The state of one series during a fetch: settled and open candles, doubtful bounds, and slices ready to land.

It does no I/O and uses no event loop.

It has three parts: the `Survey` tracks which candles are open, `ReceivedDays` holds the received rows, and `Bounds`
tracks the beginning and end of the series at the exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum, auto

import numpy as np

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord, Source
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series, Slice, from_ms, to_ms, windows
from titan10_dagster.errors import FetchError, MalformedAnswer
from titan10_dagster.exchanges.listing import Beginning, BeginningKind, End, is_rejection, serves_oldest_candles
from titan10_dagster.exchanges.pages import Page, PageRequest
from titan10_dagster.exchanges.received import DAY_MS, ReceivedDays
from titan10_dagster.exchanges.retries import Effort
from titan10_dagster.exchanges.survey import NoProgress, Survey, survey_of
from titan10_dagster.exchanges.venues.venue import Venue

_SILENCE_MS = 3_600_000  # a longer silence at the edge of the wanted candles raises doubts about the listing


@dataclass(frozen=True, eq=False)
class Reply:
    """The outcome of a page request, retries included: a page or an error."""

    request: PageRequest
    page: Page | None
    error: FetchError | None
    effort: Effort

    @property
    def day(self) -> date:
        """The first day for which the page was requested."""
        return from_ms(self.request.target[0]).date()


class Bound(Enum):
    """An edge of a series for which a search may be necessary.

    LISTED: its first candle. NO_LONGER_SERVED: the first candle that is still served. DELISTED: its last candle.
    """

    LISTED = auto()
    NO_LONGER_SERVED = auto()
    DELISTED = auto()


@dataclass(frozen=True, eq=False)
class Finding:
    """The outcome of a search for a bound. The slice `trigger` caused the search, because its edge had no candles."""

    bound: Bound
    trigger: Slice
    found: End | Beginning | None
    error: FetchError | None
    effort: Effort


@dataclass
class Bounds:
    """The known beginning and end of a series at the exchange.

    listed, delisted: its first candle and the end of its last one. found: the listing, if this fetch found it.
    active: the exchange lists the market as open. has_candles, has_none: what the search for the last candle found.
    begins: requests from before this time (ms) are refused. in_doubt: bounds for which no search was made yet.
    unexplained: there are no candles before the first received candle, and the reason is not known.
    refusal: an error of the exchange that no bound explains yet.
    """

    listed: datetime | None = None
    delisted: datetime | None = None
    found: datetime | None = None
    begins: int | None = None
    active: bool = True
    has_candles: bool = False
    has_none: bool = False
    in_doubt: set[Bound] = field(default_factory=set)
    searching: bool = False
    unexplained: bool = False
    refusal: FetchError | None = None

    @classmethod
    def of(cls, market: Market | None, venue: Venue) -> Bounds:
        bounds = cls(listed=market.listed if market is not None else None)
        if market is not None:
            bounds.active = market.active
        if market is not None and serves_oldest_candles(venue):
            bounds.in_doubt.add(Bound.LISTED if market.listed is None else Bound.NO_LONGER_SERVED)
            bounds.in_doubt.add(Bound.DELISTED)
        return bounds

    def excludes(self, slice_: Slice) -> bool:
        """Return whether the symbol was not listed during the slice."""
        early = self.listed is not None and slice_.end <= self.listed
        return early or (self.delisted is not None and slice_.start >= self.delisted)

    def start_search(self, bound: Bound) -> None:
        self.in_doubt.discard(bound)
        self.searching = True

    def learn_end(self, end: End, last: int | None, survey: Survey) -> None:
        """Record the end of the last candle, unless `last`, the last received candle (ms), contradicts it.

        A market that is still open may only be quiet; then only the fact that it has candles is recorded.
        """
        delisted = end.instant
        if delisted is None:
            self.has_none = last is None
            return
        self.has_candles = True
        if not self.active and (last is None or last < to_ms(delisted)):
            self.delisted = delisted
            survey.reach.absent_from(to_ms(delisted))

    def learn_beginning(self, beginning: Beginning, first: int | None, survey: Survey) -> None:
        """Record the first candle, unless `first`, the first received candle (ms), contradicts it."""
        instant = None if beginning.instant is None else to_ms(beginning.instant)
        contradicted = instant is None or (first is not None and first < instant)
        self.unexplained = beginning.how is BeginningKind.UNEXPLAINED or (
            beginning.how is BeginningKind.NO_LONGER_SERVED and contradicted
        )
        if instant is None or contradicted:
            return
        self.begins, self.refusal = instant, None
        if beginning.how is BeginningKind.NO_LONGER_SERVED:
            survey.reach.forgotten_before(instant)
            return
        survey.reach.absent_before(instant)
        if beginning.how is BeginningKind.LISTED:
            self.listed = self.found = beginning.instant


class SeriesState:
    """One series of a fetch: its survey, its bounds, and the rows of slices that have not landed."""

    def __init__(
        self,
        series: Series,
        slices: Sequence[Slice],
        *,
        venue: Venue,
        market: Market | None,
        now: datetime,
        ahead: int,
    ) -> None:
        self.series = series
        self.waiting = {slice_: (to_ms(slice_.start), to_ms(slice_.end)) for slice_ in sorted(slices)}
        self._planned_at = now
        self._may_refuse = venue.refuses_before_listing
        self._serves_oldest = serves_oldest_candles(venue)
        self.bounds = Bounds.of(market, venue)
        self._received = ReceivedDays(slices)
        self._requested_recent = False
        self.survey = survey_of(
            venue,
            [(to_ms(window.start), to_ms(window.end)) for window in windows(slices)],
            step=series.timeframe.ms,
            now=to_ms(now),
            ahead=ahead,
        )
        if self.bounds.listed is not None:
            self.survey.reach.absent_before(to_ms(self.bounds.listed))

    # -- requests and answers

    def next_request(self, now: int) -> PageRequest | None:
        """Return the next request. Return None if there is none now, or during a search for a bound."""
        return None if self.bounds.searching else self.survey.next_request(now)

    def request_recent(self, slice_: Slice, now: datetime) -> PageRequest:
        """Return a request for recent candles, which shows whether the symbol has any."""
        self._requested_recent = True
        return self.survey.recent_request(to_ms(now), to_ms(slice_.start))

    def take(self, reply: Reply) -> None:
        """Process an answer. Raises MalformedAnswer if the exchange repeatedly answers a different request."""
        self._received.add_effort(reply.day, reply.effort)
        page = reply.page
        if page is None:
            return
        requested_at = to_ms(page.requested_at)
        self._received.note_request(*reply.request.target, page.requested_at)
        # Candles that ended after the planning were not requested. They may have been received completely or only
        # partly.
        over = min(requested_at, to_ms(self._planned_at)) - self.series.timeframe.ms
        ended = np.searchsorted(page.rows[:, 0], over, side="right")
        self._received.keep(page.rows[:ended])
        self._received.note_cut_short(page.cut_short)
        self._received.note_dropped(reply.day, page.dropped, page.untimed[page.untimed <= over])
        try:
            self.survey.learn(reply.request, page.times, requested_at)
        except NoProgress as error:
            raise _malformed(self.series, reply.request, error) from error

    def take_refusal(self, reply: Reply) -> bool:
        """Process an error that may only mean "before the listing".

        Return whether it is such an error. The page stays open. If no bound explains the error yet, it is kept in
        `bounds.refusal`.
        """
        bounds = self.bounds
        in_doubt = bounds.searching or Bound.LISTED in bounds.in_doubt
        early = bounds.begins is not None and reply.request.since < bounds.begins
        if not (self._may_refuse and is_rejection(reply.error) and (in_doubt or early)):
            return False
        self._received.add_effort(reply.day, reply.effort)
        self.survey.withdraw(reply.request)
        bounds.refusal = None if early else reply.error
        return True

    @property
    def serves_nothing(self) -> bool:
        """Whether the market is closed and the exchange serves no candle of it.

        If the exchange serves its oldest candles too, the search for the last candle has to find none. Otherwise the
        recent candles are all that there could be.
        """
        if self.bounds.active or self.survey.answered:
            return False
        return self.bounds.has_none if self._serves_oldest else self._requested_recent

    # -- slices

    def settled(self) -> list[Slice]:
        """Return the waiting slices that are settled, oldest first; empty during a search for a bound."""
        if self.survey.requests_recent or self.bounds.searching:
            return []
        return [slice_ for slice_, (start, end) in self.waiting.items() if self.survey.settled(start, end)]

    def is_doubtful(self, slice_: Slice) -> bool:
        """Return whether all answers so far were empty, so that recent candles must be requested first."""
        return not (self._answered or self._requested_recent or self._is_excused(slice_))

    def release(self, slice_: Slice) -> FetchedSlice:
        """Return the slice in the form in which it lands, and drop its rows."""
        del self.waiting[slice_]
        horizon = self.survey.horizon
        inexplicable = self.bounds.unexplained and self._silent_until(slice_) > to_ms(slice_.start)
        received = self._received.release(slice_.day)
        # The slice is dated by its request, even if it lands much later.
        fetched_at = received.requested_at or self._planned_at
        if slice_.end > self._planned_at:
            fetched_at = min(fetched_at, self._planned_at)
        record = FetchRecord(
            slice=slice_,
            fetched_at=fetched_at,
            source=Source.REST,
            requests=received.effort.requests,
            retries=received.effort.retries,
            seconds=received.effort.seconds,
            answered=self._is_excused(slice_) or (self._answered and not inexplicable),
            horizon=None if horizon is None else from_ms(horizon),
            listed=self.bounds.listed,
            delisted=self.bounds.delisted,
            note=received.note,
        )
        candles = Candles.from_rows(received.rows)
        # If this machine's clock is ahead, the request times of a day's pages may differ by a second.
        return FetchedSlice(record, candles.drop_unfinished(self.series.timeframe, record.fetched_at))

    # -- bounds

    def bound_in_doubt(self, slice_: Slice) -> Bound | None:
        """Return the bound to search for before this settled slice lands, because the slice is silent at its edge.

        The last candle is searched for if the slice's end is silent and the exchange lists the market as closed, or if
        even recent candles are missing. A day must not depend on other days of the same fetch to show that the symbol
        has candles. The first candle is searched for if the slice's beginning is silent and no earlier candle was
        received. Each search is made once.
        """
        if self._is_excused(slice_) or self.survey.horizon is not None:
            return None
        in_doubt = self.bounds.in_doubt
        start, end = to_ms(slice_.start), to_ms(min(slice_.end, self._planned_at))
        last = self._received.last_of(slice_.day)
        over = start if last is None else last + self.series.timeframe.ms
        is_closed = not self.bounds.active and end - over >= _SILENCE_MS
        if Bound.DELISTED in in_doubt and (is_closed or (self._requested_recent and not self._answered)):
            return Bound.DELISTED
        silence = self._silent_until(slice_) - start
        if Bound.LISTED in in_doubt and self._answered and silence >= _SILENCE_MS:
            return Bound.LISTED
        if Bound.NO_LONGER_SERVED in in_doubt and self._answered and silence >= DAY_MS:
            return Bound.NO_LONGER_SERVED
        return None

    @property
    def silent_at_first(self) -> datetime:
        """Return the end of the silence at the beginning of the first waiting slice."""
        return from_ms(self._silent_until(next(iter(self.waiting))))

    def learn_bound(self, finding: Finding) -> None:
        """Record the bound that was found, unless a received candle contradicts it."""
        self.bounds.searching = False
        self._received.add_effort(finding.trigger.day, finding.effort)
        if isinstance(finding.found, Beginning):
            self.bounds.learn_beginning(finding.found, self._received.first, self.survey)
        elif finding.found is not None:
            self.bounds.learn_end(finding.found, self._received.last, self.survey)

    # -- judgements

    @property
    def _answered(self) -> bool:
        """Return whether the exchange knows the symbol: a candle was received, or a bound was found."""
        return self.survey.answered or self.bounds.found is not None or self.bounds.has_candles

    def _is_excused(self, slice_: Slice) -> bool:
        """Return whether no candle can be expected because the slice is beyond the horizon or outside the listing."""
        horizon = self.survey.horizon
        beyond = horizon is not None and to_ms(slice_.end) <= horizon
        return beyond or self.bounds.excludes(slice_)

    def _silent_until(self, slice_: Slice) -> int:
        return self._received.silent_until(slice_, min(slice_.end, self._planned_at))


def _malformed(series: Series, request: PageRequest, error: NoProgress) -> MalformedAnswer:
    start, end = map(from_ms, request.target)
    return MalformedAnswer(
        f"{series}: the exchange's answers leave {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC open, however often"
        f" they are requested ({error}). Fetch the day again later. If it fails again, the exchange has changed how it"
        " cuts its answers: its record in titan10_dagster/exchanges/venues must be corrected.",
        exchange=series.exchange,
        symbol=series.symbol,
    )
