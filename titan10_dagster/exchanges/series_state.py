"""The state of one series during a fetch. This module does no I/O and uses no event loop.

The state has three parts. The `Survey` tracks which candles are open. (A candle is open as long as it is not known
whether the exchange has it.) `ReceivedDays` contains the received rows. `Bounds` tracks the first and the last candle
of the series at the exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum

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

# If a slice begins with at least one hour without candles, Titan-10 possibly searches for the first candle of the
# series. If a slice ends with at least one hour without candles, Titan-10 possibly searches for the last candle.
_SILENCE_MS = 3_600_000


@dataclass(frozen=True, eq=False)
class Reply:
    """The outcome of a page request and its retries. Exactly one of `page` and `error` is set."""

    request: PageRequest
    page: Page | None
    error: FetchError | None
    effort: Effort

    @property
    def day(self) -> date:
        """Return the UTC day in which the target of the request begins."""
        return from_ms(self.request.target[0]).date()


class Bound(Enum):
    """A bound of a series at the exchange. The value describes the bound in messages."""

    LISTED = "the first candle"
    NO_LONGER_SERVED = "the first candle that the exchange still serves"
    DELISTED = "the last candle"


@dataclass(frozen=True, eq=False)
class Finding:
    """The outcome of a search for a bound.

    trigger: the slice that caused the search, because the slice has no candles at its start or end.
    found: the result; None if the search found or proved nothing.
    error: the error that ended the search; None if there was no error.
    """

    bound: Bound
    trigger: Slice
    found: End | Beginning | None
    error: FetchError | None
    effort: Effort


@dataclass
class Bounds:
    """The known bounds of a series at the exchange.

    listed: the start of the first candle.
    delisted: the end of the last candle.
    found: the start of the first candle, if this fetch found it.
    begins: the time (ms) before which the exchange has no candles, if this fetch found this time. Some exchanges answer
        with an error if a request begins before this time.
    active: whether the exchange lists the market as open for trading.
    has_candles: whether the search for the last candle found a candle.
    has_none: whether the search for the last candle proved that the series has no candle.
    in_doubt: the bounds for which this fetch can still search.
    searching: whether a search is in progress.
    unexplained: whether it is unknown why there are no candles before the first received candle.
    refusal: the exchange's error for a page that possibly begins before the listing; None if there was no such error,
        or if a known bound explains the error.
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
        """Return whether the whole slice is before the listing or after the delisting."""
        early = self.listed is not None and slice_.end <= self.listed
        return early or (self.delisted is not None and slice_.start >= self.delisted)

    def start_search(self, bound: Bound) -> None:
        self.in_doubt.discard(bound)
        self.searching = True

    def learn_end(self, end: End, last: int | None, survey: Survey) -> None:
        """Record the result of the search for the last candle.

        The end of the series is not recorded if a received candle contradicts it. It is also not recorded if the
        exchange lists the market as open for trading, because the market is possibly only quiet.

        `last`: the start of the last received candle (ms).
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
        """Record the result of the search for the first candle.

        If a received candle contradicts the result, no bound is recorded.

        `first`: the start of the first received candle (ms).
        """
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
    """The state of one series: its survey, its bounds, and the received rows of the waiting slices.

    waiting: the slices that `release` has not returned yet, each with its start and end (ms).
    """

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
        """Return the next request; None if no request is needed now, or if a search for a bound is in progress."""
        return None if self.bounds.searching else self.survey.next_request(now)

    def request_recent(self, slice_: Slice, now: datetime) -> PageRequest:
        """Return a request for recent candles. The answer shows whether the symbol has candles at all."""
        self._requested_recent = True
        return self.survey.recent_request(to_ms(now), to_ms(slice_.start))

    def take(self, reply: Reply) -> None:
        """Process the outcome of a page request. If the outcome is an error, only the cost of the request is recorded.

        Raises:
            MalformedAnswer: the answers to many requests for the page left some of its candles open.
        """
        self._received.add_effort(reply.day, reply.effort)
        page = reply.page
        if page is None:
            return
        requested_at = to_ms(page.requested_at)
        self._received.note_request(*reply.request.target, page.requested_at)
        # Candles that ended after the start of the fetch are dropped. They were not requested, and possibly only some
        # of them were received.
        last_start = min(requested_at, to_ms(self._planned_at)) - self.series.timeframe.ms
        ended = np.searchsorted(page.rows[:, 0], last_start, side="right")
        self._received.keep(page.rows[:ended])
        self._received.note_cut_short(page.cut_short)
        self._received.note_dropped(reply.day, page.dropped, page.untimed[page.untimed <= last_start])
        try:
            self.survey.learn(reply.request, page.times, requested_at)
        except NoProgress as error:
            raise _malformed(self.series, reply.request, error) from error

    def take_refusal(self, reply: Reply) -> bool:
        """Process an error for a page. Possibly the exchange sent it because the page begins before the listing.

        Return whether this cause is possible. If so, the candles of the page stay open and can be requested again. If
        no known bound explains the error yet, the error is kept in `bounds.refusal`.
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
        """Return whether the market is closed and the exchange serves no candles of this market.

        The proof depends on the exchange. If the exchange serves candles of any age, the proof is that the search for
        the last candle found no candle. If the exchange serves only recent candles, the proof is that the answer to the
        request for recent candles had no candle.
        """
        if self.bounds.active or self.survey.answered:
            return False
        return self.bounds.has_none if self._serves_oldest else self._requested_recent

    # -- slices

    def settled(self) -> list[Slice]:
        """Return the waiting slices that are settled, the oldest first.

        A slice is settled if each of its candles was received or is proven to be absent. The list is empty during a
        search for a bound, and while recent candles are requested.
        """
        if self.survey.requests_recent or self.bounds.searching:
            return []
        return [slice_ for slice_, (start, end) in self.waiting.items() if self.survey.settled(start, end)]

    def is_doubtful(self, slice_: Slice) -> bool:
        """Return whether recent candles of the symbol must be requested before the slice is released.

        This is the case if all answers were empty although the slice should have candles.
        """
        return not (self._answered or self._requested_recent or self._is_excused(slice_))

    def release(self, slice_: Slice) -> FetchedSlice:
        """Return the fetched slice with its record, and remove the slice and its rows from this object."""
        del self.waiting[slice_]
        horizon = self.survey.horizon
        inexplicable = self.bounds.unexplained and self._silent_until(slice_) > to_ms(slice_.start)
        unproven_until = self.survey.reach.unproven_until(to_ms(slice_.start), to_ms(slice_.end))
        received = self._received.release(slice_.day)
        # The time of the fetch is the time of the request, even if the slice is released much later.
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
            answered=self._is_excused(slice_) or (self._answered and not inexplicable and unproven_until is None),
            horizon=None if horizon is None else from_ms(horizon),
            listed=self.bounds.listed,
            delisted=self.bounds.delisted,
            note=_joined(received.note, _unproven_note(unproven_until)),
        )
        candles = Candles.from_rows(received.rows)
        # `fetched_at` is the time of the first request for the day. If this machine's clock is ahead, another page of
        # the day can have a candle that ended up to a second after `fetched_at`. Such a candle is dropped.
        return FetchedSlice(record, candles.drop_unfinished(self.series.timeframe, record.fetched_at))

    # -- bounds

    def bound_in_doubt(self, slice_: Slice) -> Bound | None:
        """Return the bound that must be found before this settled slice is released; None if no search is needed.

        There are two reasons to search for the last candle. First, the slice ends with an hour without candles and the
        exchange lists the market as closed. Second, no candle of the symbol was received, not even a recent candle.

        A search for the first candle is needed if the slice begins with an hour without candles and no earlier candle
        was received. If the first candle of the series is already known, a search for the retention horizon is needed
        instead, but only if the whole slice is before the first received candle.

        Each search is made at most once. Because of these searches, the result of a day does not depend on the other
        days of the same fetch.
        """
        if self._is_excused(slice_) or self.survey.horizon is not None:
            return None
        in_doubt = self.bounds.in_doubt
        start, end = to_ms(slice_.start), to_ms(min(slice_.end, self._planned_at))
        last = self._received.last_of(slice_.day)
        silent_from = start if last is None else last + self.series.timeframe.ms
        is_closed = not self.bounds.active and end - silent_from >= _SILENCE_MS
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
        """The first waiting slice begins with a silence (a time without candles). Return the end of this silence."""
        return from_ms(self._silent_until(next(iter(self.waiting))))

    def learn_bound(self, finding: Finding) -> None:
        """Record the result of a search for a bound. If a received candle contradicts the result, ignore the bound."""
        self.bounds.searching = False
        self._received.add_effort(finding.trigger.day, finding.effort)
        if isinstance(finding.found, Beginning):
            self.bounds.learn_beginning(finding.found, self._received.first, self.survey)
        elif finding.found is not None:
            self.bounds.learn_end(finding.found, self._received.last, self.survey)

    # -- conclusions

    @property
    def _answered(self) -> bool:
        """Return whether it is known that the symbol has candles: a candle was received, or a bound was found."""
        return self.survey.answered or self.bounds.found is not None or self.bounds.has_candles

    def _is_excused(self, slice_: Slice) -> bool:
        """Return whether the slice is expected to have no candles.

        This is the case if the whole slice is before the horizon, before the listing, or after the delisting.
        """
        horizon = self.survey.horizon
        beyond = horizon is not None and to_ms(slice_.end) <= horizon
        return beyond or self.bounds.excludes(slice_)

    def _silent_until(self, slice_: Slice) -> int:
        return self._received.silent_until(slice_, min(slice_.end, self._planned_at))


def _unproven_note(until: int | None) -> str | None:
    """Return a note about the unproven part of a slice. `until`: the end of this part (ms); None if there is none."""
    if until is None:
        return None
    return (
        "the exchange returned fewer candles than it usually serves, and none before"
        f" {from_ms(until):%Y-%m-%d %H:%M} UTC, so it is unknown whether earlier candles exist"
    )


def _joined(*notes: str | None) -> str | None:
    return "; ".join(note for note in notes if note) or None


def _malformed(series: Series, request: PageRequest, error: NoProgress) -> MalformedAnswer:
    start, end = map(from_ms, request.target)
    return MalformedAnswer(
        f"{series}: the exchange repeatedly answered without the candles from {start:%Y-%m-%d %H:%M} to"
        f" {end:%Y-%m-%d %H:%M} UTC ({error}). Fetch the day again later. If the fetch fails again, the exchange has"
        " probably changed the limits of its answers: correct the exchange's record in"
        " titan10_dagster/exchanges/venues.",
        exchange=series.exchange,
        symbol=series.symbol,
    )
