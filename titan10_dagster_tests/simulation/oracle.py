"""What must be true at the end of a week, by what happened in it; nothing here asks the pipeline what it thinks.

**Stored** must be every candle that an exchange has at last, if it could ever have given it to us: always, of an
exchange with its whole history; of one with a short memory (Kraken: 720 minutes), if a live poll of ours was answered
while the candle was over, published, whole and within reach. And where the exchange was well for longer than a breaker
rests, that poll must have been answered. A candle that breaks a rule to the end counts as not there.

**Its values** are those that the exchange gave when the ledger says that its day was fetched. Of a rewritten candle
that was beyond the horizon by then, any values that the exchange ever gave. A value of ours that was replaced stands
in `restatements`, and nothing else does.

**A human** hears only of what we cannot mend ourselves, once, and once when it is over; and of every long ban.

**A missing minute** has one of the reasons that fit what happened to it, see `_allowed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.fetched import HORIZON_SLACK
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.slices import Series, Slice, SliceState, days, from_ms, midnight, to_ms
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.ingest.days import ledger_rows
from titan10_dagster.ingest.inspection import unaccounted_slices
from titan10_dagster.planning.alerts import Kind
from titan10_dagster.sandbox.truth import outage
from titan10_dagster.sandbox.venues.registry import venue
from titan10_dagster.store import ledger
from titan10_dagster_tests.simulation.story import (
    DAY,
    EXCHANGES,
    HOUR,
    MINUTE,
    SETTLE,
    START,
    WEEK,
    Ban,
    Delisting,
    Downtime,
    Late,
    Listing,
    Outage,
    Span,
    Storm,
)
from titan10_dagster_tests.simulation.week import ONE_MINUTE, Poll, Rewrite, SentAlert, Week

Mask = NDArray[np.bool_]

FIRST = START.date()
LAST = (START + WEEK).date()  # a day more than the week: the quiet that follows it must be whole as well
MINUTES = ((LAST - FIRST).days + 1) * 1440
END = midnight(LAST) + DAY
WELL = timedelta(hours=1, minutes=10)  # longer than the longest pause of a breaker
_TROUBLE = (Ban, Outage, Storm)
_MOST = 4  # complaints of one kind and series


@dataclass(frozen=True)
class Complaint:
    """Something that is not as it must be."""

    exchange: str
    text: str

    def __str__(self) -> str:
        return f"{self.exchange} {self.text}"


def judge(week: Week) -> list[Complaint]:
    """Everything that is wrong with what a week left behind."""
    complaints = [Complaint("", text) for text in week.record.complaints]
    complaints += _unaccounted(week)
    complaints += _unanswered(week)
    complaints += _alarms(week)
    for exchange, symbols in week.story.symbols.items():
        for symbol in symbols:
            complaints += _Expectation(week, Series(exchange, symbol, ONE_MINUTE)).complaints()
    return complaints


def _unaccounted(week: Week) -> Iterator[Complaint]:
    for exchange in EXCHANGES:
        for one in unaccounted_slices(week.titan10, exchange, days(FIRST, LAST)):
            yield Complaint(exchange, f"ledger, candles and gaps contradict each other: {one}")


def _unanswered(week: Week) -> Iterator[Complaint]:
    """Polls that should have been answered: nothing had disturbed the exchange for a while."""
    for poll in week.record.polls:
        well = not any(poll.at - WELL <= at <= poll.at for at in week.record.disturbed[poll.exchange])
        listed = {
            symbol
            for symbol in week.story.symbols[poll.exchange]
            if _known_since(week, poll.exchange, symbol) < poll.at
        }
        if well and listed - poll.answered:
            yield Complaint(poll.exchange, f"was well, but {sorted(listed - poll.answered)} got no answer at {poll.at}")


def _alarms(week: Week) -> Iterator[Complaint]:
    """Letters that nobody should have had to read, and letters that are missing."""
    standing: dict[tuple[str, Kind], SentAlert] = {}
    for letter in week.record.notifications:
        key = letter.exchange, letter.kind
        if letter.begins == (key in standing):
            yield Complaint(letter.exchange, f"the alert {letter.kind} begins or ends twice at {letter.at}")
        if letter.begins:
            standing[key] = letter
            if not _is_justified(week, letter):
                yield Complaint(letter.exchange, f"the alert {letter.kind} at {letter.at} has no reason")
        else:
            standing.pop(key, None)
    for letter in standing.values():
        yield Complaint(letter.exchange, f"the alert {letter.kind} of {letter.at} was never taken back")
    other = [one for one in week.story.events if isinstance(one, (Outage, Storm))]
    for ban in week.story.of(Ban):
        # Where answers do not come through, nobody hears of the ban at once.
        clear = not any(
            one.exchange == ban.exchange and one.span.start < ban.span.end and ban.span.start < one.span.end
            for one in other
        )
        if clear and not _was_told_of(week, ban):
            yield Complaint(ban.exchange or "", f"nobody was told of the ban of {ban.span}")


def _is_justified(week: Week, letter: SentAlert) -> bool:
    """Whether something went on that we cannot mend: of the exchange until just now, or of ourselves this morning."""
    if letter.kind is Kind.GAPS:
        return False  # no trouble of the week lasts for days
    if letter.kind is Kind.LIVE and _nothing_trades(week, letter.exchange, letter.at - WELL):
        return True
    back = 10 * HOUR if letter.kind is Kind.SETTLEMENT else WELL
    trouble = [one.span for one in week.story.events if one.exchange == letter.exchange and isinstance(one, _TROUBLE)]
    if letter.kind is Kind.SETTLEMENT:
        trouble += [one.span for one in week.story.of(Downtime)]
    disturbed = any(letter.at - back <= at <= letter.at for at in week.record.disturbed[letter.exchange])
    return disturbed or any(span.start <= letter.at and span.end >= letter.at - back for span in trouble)


def _nothing_trades(week: Week, exchange: str, at: datetime) -> bool:
    """Whether none of our symbols traded there: not any more, or not yet as far as we could know."""
    gone = {one.symbol for one in week.story.of(Delisting) if one.exchange == exchange and one.span.start <= at}
    return all(symbol in gone or _known_since(week, exchange, symbol) > at for symbol in week.story.symbols[exchange])


def _was_told_of(week: Week, ban: Ban) -> bool:
    """Whether a letter was sent of the ban, if it was so long that one is due: an hour after we ran into it."""
    inside = [at for at in week.record.steps if ban.span.holds(at)]
    late = [at for at in inside if at >= inside[0] + HOUR + MINUTE]
    letters = [one for one in week.record.notifications if (one.exchange, one.kind) == (ban.exchange, Kind.BREAKER)]
    before = [one for one in letters if late and one.at <= late[0]]
    return not late or bool(before and (before[-1].begins or before[-1].at >= inside[0]))


def _known_since(week: Week, exchange: str, symbol: str) -> datetime:
    """From when on we can know that the exchange lists the symbol: its list is read once a day."""
    for one in week.story.of(Listing):
        if (one.exchange, one.symbol) == (exchange, symbol):
            return min((at for at in week.record.markets_read[exchange] if at >= one.span.end), default=END)
    return START


class _Expectation:
    """One series over the week, minute by minute: (MINUTES,) masks."""

    def __init__(self, week: Week, series: Series) -> None:
        self.week, self.series = week, series
        self.depth = venue_of(series.exchange).depth
        self.final = week.rows(series.exchange, series.symbol, START, END)
        self.stored = week.stored(series, START, END)
        slices = week.titan10.slices(series.exchange, days(FIRST, LAST), [series.symbol])
        self.slices = slices
        self.ledger = ledger_rows(week.titan10, slices)
        self.broken = self._at(one.minute for one in week.record.broken if self._is_mine(one.exchange, one.symbol))
        self.exists = self._of(self.final[:, 0]) & ~self._broken_at_last()
        self.reachable = self._reachable() & self._in(Span(midnight(self.since), END))

    @property
    def since(self) -> date:
        """The first day that must be there.

        A symbol that the exchange never listed is perhaps misspelled, and nothing of it is noted; so the first day is
        that of its listing. Days before the first one that came are history, which a backfill brings; that can only be
        if no request was answered, so the first day was a bad one.
        """
        for listing in self.week.story.of(Listing):
            if self._is_mine(listing.exchange, listing.symbol):
                return listing.span.end.date()
        first = min((slice_.day for slice_ in self.ledger), default=FIRST)
        settled = midnight(first) + SETTLE
        bad = any(at <= settled for at in self.week.record.disturbed[self.series.exchange])
        return first if bad else FIRST

    def complaints(self) -> Iterator[Complaint]:
        yield from self._unsettled()
        yield from self._wrong_presence()
        yield from self._wrong_values()
        yield from self._wrong_reasons()
        yield from self._wrong_restatements()

    # -- complaints

    def _unsettled(self) -> Iterator[Complaint]:
        for slice_ in self.slices:
            row = self.ledger.get(slice_)
            if slice_.day >= self.since and (row is None or row.state != SliceState.SETTLED):
                yield self._complaint(f"{slice_.day}: {'never fetched' if row is None else row.state}")

    def _wrong_presence(self) -> Iterator[Complaint]:
        there = self._of(self.stored[:, 0])
        yield from self._runs(self.exists & self.reachable & ~there, "could have been had and is not stored")
        yield from self._runs(there & ~self.exists, "is stored and never was")

    def _wrong_values(self) -> Iterator[Complaint]:
        rewritten = self._of(np.array([to_ms(one.time) for one in self._rewrites()], np.float64))
        final = {int(row[0]): tuple(row[1:]) for row in self.final}
        for row in self.stored:
            minute = self._minute(row[0])
            wanted = final.get(int(row[0]))
            if wanted is not None and not rewritten[minute] and tuple(row[1:]) != wanted:
                yield self._complaint(f"{from_ms(int(row[0]))}: stored {tuple(row[1:])}, it is {wanted}")
            if rewritten[minute] and tuple(row[1:]) not in self._possible(from_ms(int(row[0]))):
                yield self._complaint(f"{from_ms(int(row[0]))}: stored {tuple(row[1:])}, of {self._rewrites()}")

    def _wrong_reasons(self) -> Iterator[Complaint]:
        allowed = self._allowed()
        there = self._of(self.stored[:, 0])
        for reason, missing in self._missing().items():
            wrong = missing & ~there & ~allowed.get(reason, np.zeros(MINUTES, np.bool_))
            yield from self._runs(wrong & ~(self.exists & self.reachable), f"is called {reason}", allowed)

    def _wrong_restatements(self) -> Iterator[Complaint]:
        kept = self._restatements()
        for rewrite in self._rewrites():
            now = self._stored_at(rewrite.time)
            if rewrite.stored is not None and now != rewrite.stored and (rewrite.time, rewrite.stored) not in kept:
                yield self._complaint(f"{rewrite.time}: {rewrite.stored} was replaced by {now} and not kept")
        known = {(one.time, one.old) for one in self._rewrites()}
        for time, old in kept:
            if (time, old) not in known:
                yield self._complaint(f"{time}: {old} is in the restatements, and nobody rewrote it")

    # -- what is expected

    def _reachable(self) -> Mask:
        if self.depth is None:
            return np.ones(MINUTES, np.bool_)
        reachable = np.zeros(MINUTES, np.bool_)
        for poll in self.week.record.polls:
            if poll.exchange == self.series.exchange and self.series.symbol in poll.answered and not poll.spoiled:
                reachable |= self._given(poll, self.depth)
        return reachable

    def _given(self, poll: Poll, depth: int) -> Mask:
        over = (poll.at - START) // MINUTE
        given = np.zeros(MINUTES, np.bool_)
        given[max(over - depth + HORIZON_SLACK, 0) : max(min(over, MINUTES), 0)] = True
        for late in self.week.story.of(Late):
            if self._is_mine(late.exchange, late.symbol) and poll.at < late.span.end:
                given &= ~self._in(late.hidden)
        for broken in self.week.record.broken:
            if self._is_mine(broken.exchange, broken.symbol) and poll.at < broken.span.end:
                given &= ~self._at([broken.minute])
        return given

    def _allowed(self) -> Mapping[Reason, Mask]:
        """The minutes that may bear each reason."""
        listed, delisted = self._trading()
        unlisted, gone = self._in(Span(START, listed)), self._in(Span(delisted, END))
        silent = ~self._of(self.final[:, 0]) & ~unlisted & ~gone
        down, short = self._down(), self.depth is not None
        # A minute without trades beside an outage is part of one silence, and one silence has one reason.
        silenced = _grown(down & silent, silent)
        certainly = down & self._is_telling() if not short else np.zeros(MINUTES, np.bool_)
        behind = ~self.reachable if short else np.zeros(MINUTES, np.bool_)
        # An exchange with a short memory cannot tell when it listed a symbol: there is no more to know than silence.
        untold = (unlisted | gone) if short else np.zeros(MINUTES, np.bool_)
        return {
            Reason.PRE_LISTING: unlisted,
            Reason.DELISTED: gone,
            Reason.NO_TRADES: (silent & ~certainly) | untold,
            Reason.OUTAGE: silenced,
            Reason.HALTED: silenced,
            Reason.NOT_LISTED: np.zeros(MINUTES, np.bool_),
            Reason.QUARANTINED: self.broken & (self._broken_at_last() | behind),
            Reason.BROKEN_AT_SOURCE: self.broken & (self._broken_at_last() | behind),
            Reason.BEYOND_HORIZON: behind | (silent | untold if short else False),
        }

    def _down(self) -> Mask:
        """The outages of the story, and those that the sandbox has anyway."""
        down = np.zeros(MINUTES, np.bool_)
        for event in self.week.story.of(Outage):
            if event.exchange == self.series.exchange:
                down |= self._in(event.span)
        for n, day in enumerate(days(FIRST, LAST)):
            stretch = outage(venue(self.series.exchange), (day - date(1970, 1, 1)).days)
            if stretch is not None:
                down[n * 1440 + stretch[0] : n * 1440 + stretch[1]] = True
        return down

    def _is_telling(self) -> bool:
        """Whether an outage must be told from silence here: all series of the exchange have every other minute."""
        names = {one.exchange for one in (*self.week.story.of(Listing), *self.week.story.of(Delisting))}
        return venue(self.series.exchange).empty_minutes == "filled" and self.series.exchange not in names

    def _trading(self) -> tuple[datetime, datetime]:
        listed, delisted = START, END
        for event in self.week.story.of(Listing):
            if self._is_mine(event.exchange, event.symbol):
                listed = event.span.end
        for end in self.week.story.of(Delisting):
            if self._is_mine(end.exchange, end.symbol):
                delisted = end.span.start
        return listed, delisted

    def _possible(self, time: datetime) -> set[tuple[float, ...]]:
        """The values that a rewritten candle may have: those of when its day was fetched, if it was in reach then."""
        rewrites = [one for one in self._rewrites() if one.time == time]
        row = self.ledger.get(Slice(self.series, time.date()))
        if row is None or (self.depth is not None and row.fetched_at > time + (self.depth - HORIZON_SLACK) * MINUTE):
            return {one.old for one in rewrites} | {one.new for one in rewrites}
        before = [one.new for one in rewrites if one.at <= row.fetched_at]
        return {before[-1] if before else rewrites[0].old}

    def _broken_at_last(self) -> Mask:
        return self._of(self.final[self.final[:, 2] < self.final[:, 3], 0])

    # -- what there is

    def _missing(self) -> Mapping[Reason, Mask]:
        found: dict[Reason, Mask] = {reason: np.zeros(MINUTES, np.bool_) for reason in Reason}
        for one in ledger.gaps(
            self.week.titan10.database, self.series.exchange, symbol=self.series.symbol, start=START, end=END
        ):
            found[one.gap.reason] |= self._in(Span(one.gap.start, one.gap.end))
        return found

    def _restatements(self) -> set[tuple[datetime, tuple[float, ...]]]:
        with self.week.titan10.database.transaction() as cursor:
            cursor.execute(
                'SELECT "time", old_open, old_high, old_low, old_close, old_volume FROM restatements'
                " WHERE exchange = %s AND symbol = %s",
                [self.series.exchange, self.series.symbol],
            )
            return {(time, tuple(values)) for time, *values in cursor.fetchall()}

    def _stored_at(self, time: datetime) -> tuple[float, ...] | None:
        rows = self.stored[self.stored[:, 0] == to_ms(time)]
        return tuple(rows[0, 1:].tolist()) if len(rows) else None

    def _rewrites(self) -> Sequence[Rewrite]:
        return [one for one in self.week.record.rewrites if self._is_mine(one.exchange, one.symbol)]

    # -- minutes

    def _is_mine(self, exchange: str | None, symbol: str) -> bool:
        return (exchange, symbol) == (self.series.exchange, self.series.symbol)

    def _minute(self, ms: float) -> int:
        return int(ms - to_ms(START)) // 60_000

    def _of(self, times: NDArray[np.float64]) -> Mask:
        mask = np.zeros(MINUTES, np.bool_)
        mask[((times - to_ms(START)) // 60_000).astype(np.int64)] = True
        return mask

    def _at(self, minutes: Iterator[datetime] | Sequence[datetime]) -> Mask:
        return self._of(np.array([to_ms(one) for one in minutes], np.float64))

    def _in(self, span: Span) -> Mask:
        first, last = (min(max((one - START) // MINUTE, 0), MINUTES) for one in (span.start, span.end))
        mask = np.zeros(MINUTES, np.bool_)
        mask[first:last] = True
        return mask

    def _runs(self, wrong: Mask, what: str, allowed: Mapping[Reason, Mask] | None = None) -> Iterator[Complaint]:
        """A complaint for each run of minutes, the first few."""
        edges = np.flatnonzero(np.diff(np.concatenate(([False], wrong, [False])).astype(np.int8)))
        for a, b in list(zip(edges[::2], edges[1::2], strict=True))[:_MOST]:
            wanted = "" if allowed is None else f", not {' or '.join(r for r, mask in allowed.items() if mask[a])}"
            span = Span(START + int(a) * MINUTE, START + int(b) * MINUTE)
            yield self._complaint(f"{span} ({b - a}) {what}{wanted}")

    def _complaint(self, text: str) -> Complaint:
        return Complaint(self.series.exchange, f"{self.series.symbol} {text}")


def _grown(seed: Mask, within: Mask) -> Mask:
    """Return the runs of `within` that hold a minute of `seed`."""
    starts = within & ~np.concatenate([[False], within[:-1]])
    run = np.cumsum(starts)
    return within & np.isin(run, run[seed])
