"""What must be true of one series at the end of a week, minute by minute; see `oracle` for the rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime

from titan10_dagster.candles.slices import days, from_ms, midnight, to_ms
from titan10_dagster.sandbox.truth import outage
from titan10_dagster.sandbox.venues.registry import venue
from titan10_dagster_tests.simulation.audit import Audit
from titan10_dagster_tests.simulation.events import Delisting, Late, Listing, Outage
from titan10_dagster_tests.simulation.grid import Grid, Mask, grown
from titan10_dagster_tests.simulation.record import Poll, Rewrite
from titan10_dagster_tests.simulation.story import DAY, MINUTE, QUIET_END, SETTLE, START, WEEK
from titan10_dagster_tests.simulation.tables import Key, read_series
from titan10_dagster_tests.simulation.week import Week

FIRST = START.date()
LAST = (START + WEEK).date()  # a day more than the week: the quiet that follows it must be whole as well
END = midnight(LAST) + DAY
# From the day before, because a first poll of an exchange with a short memory brings yesterday's last candles too.
GRID = Grid(START - DAY, MINUTE, (midnight(QUIET_END.date()) + 2 * DAY - START) // MINUTE)

# The candles back from now that the exchange serves. Two fewer count as reachable: time passes during a request.
MEMORY: Mapping[str, int] = {"kraken": 720}
_SLACK = 2

_MOST = 4  # complaints of one kind


class Expectation:
    """One series over the simulated time: masks over `GRID`."""

    def __init__(self, week: Week, key: Key) -> None:
        self.week, self.key = week, key
        self.exchange, self.symbol = key
        self.memory = MEMORY.get(self.exchange)
        self.tables = read_series(week.url, key, "1m", GRID.start, GRID.end)
        self.audit = Audit(self.tables, GRID)
        self.judged = GRID.within(START, END)
        self.final = week.rows(self.exchange, self.symbol, START, END)
        self.there = self.audit.stored & self.judged
        self.broken = GRID.of(one.minute for one in week.record.broken if self._is_mine(one.exchange, one.symbol))
        self.exists = GRID.at(self.final[:, 0]) & ~self._broken_at_last()
        self.reachable = self._reachable() & GRID.within(midnight(self.since), END)

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
        first = min(self.tables.ledger, default=FIRST)
        settled = midnight(first) + SETTLE
        bad = any(at <= settled for at in self.week.record.disturbed[self.exchange])
        return first if bad else FIRST

    def complaints(self) -> Iterator[str]:
        yield from self.audit.complaints()
        yield from self._unsettled()
        yield from self._wrong_presence()
        yield from self._wrong_values()
        yield from self._wrong_reasons()
        yield from self._wrong_fills()
        yield from self._wrong_restatements()

    # -- complaints

    def _unsettled(self) -> Iterator[str]:
        for day in days(self.since, LAST):
            row = self.tables.ledger.get(day)
            if row is None or row.state != "settled":
                yield f"{day}: {'never fetched' if row is None else row.state}"

    def _wrong_presence(self) -> Iterator[str]:
        yield from self._spans(self.exists & self.reachable & ~self.there, "could have been had and is not stored")
        yield from self._spans(self.there & ~self.exists, "is stored and never was")

    def _wrong_values(self) -> Iterator[str]:
        rewritten = {to_ms(rewrite.time) for rewrite in self._rewrites()}
        final = {int(row[0]): tuple(row[1:]) for row in self.final}
        for row in self.tables.candles:
            time, values = int(row[0]), tuple(row[1:])
            wanted = final.get(time)
            if wanted is not None and time not in rewritten and values != wanted:
                yield f"{from_ms(time)}: stored {values}, the exchange has {wanted}"
            if time in rewritten and values not in self._possible(from_ms(time)):
                yield f"{from_ms(time)}: stored {values}, of {self._rewrites()}"

    def _wrong_reasons(self) -> Iterator[str]:
        allowed = self.allowed()
        for reason, missing in self.audit.missing.items():
            wrong = missing & self.judged & ~self.there & ~allowed.get(reason, GRID.none())
            yield from self._spans(wrong & ~(self.exists & self.reachable), f"is called {reason}", allowed)

    def _wrong_fills(self) -> Iterator[str]:
        """Filled candles must be proven absences: minutes that the exchange has no candle for, while it traded."""
        listed, delisted = self._trading()
        traded = GRID.within(listed, delisted)
        proven = traded & ~GRID.at(self.final[:, 0]) & self.allowed()["no_trades"]
        yield from self._spans(self.audit.filled() & self.judged & ~proven, "is filled, and no proven absence")

    def _wrong_restatements(self) -> Iterator[str]:
        kept = self.tables.restated
        for rewrite in self._rewrites():
            now = self._stored_at(rewrite.time)
            if rewrite.stored is not None and now != rewrite.stored and (rewrite.time, rewrite.stored) not in kept:
                yield f"{rewrite.time}: {rewrite.stored} was replaced by {now} and not kept"
        known = {(rewrite.time, rewrite.old) for rewrite in self._rewrites()}
        for time, old in sorted(kept - known):
            yield f"{time}: {old} is in the restatements, and the exchange did not rewrite it"

    # -- what is expected

    def _reachable(self) -> Mask:
        if self.memory is None:
            return GRID.all()
        reachable = GRID.none()
        for poll in self.week.record.polls:
            if poll.exchange == self.exchange and self.symbol in poll.answered and not poll.spoiled:
                reachable |= self._given(poll, self.memory)
        return reachable

    def _given(self, poll: Poll, memory: int) -> Mask:
        """Return the candles that the exchange could give in this poll."""
        over = START + (poll.at - START) // MINUTE * MINUTE
        given = GRID.within(over - (memory - _SLACK) * MINUTE, over)
        for late in self.week.story.of(Late):
            if self._is_mine(late.exchange, late.symbol) and poll.at < late.span.end:
                given &= ~GRID.in_span(late.hidden)
        for broken in self.week.record.broken:
            if self._is_mine(broken.exchange, broken.symbol) and poll.at < broken.span.end:
                given &= ~GRID.of([broken.minute])
        return given

    def allowed(self) -> Mapping[str, Mask]:
        """Return the minutes that may have each reason."""
        listed, delisted = self._trading()
        unlisted, gone = GRID.within(GRID.start, listed), GRID.within(delisted, GRID.end)
        silent = ~GRID.at(self.final[:, 0]) & ~unlisted & ~gone
        down, short = self._down(), self.memory is not None
        # A minute without trades beside an outage is part of one silence, and one silence has one reason.
        silenced = grown(down & silent, silent)
        certainly = down & self._is_telling() if not short else GRID.none()
        behind = ~self.reachable if short else GRID.none()
        # An exchange with a short memory cannot tell when it listed a symbol: there is no more to know than silence.
        untold = (unlisted | gone) if short else GRID.none()
        broken_to_the_end = self.broken & (self._broken_at_last() | behind)
        return {
            "pre_listing": unlisted,
            "delisted": gone,
            "no_trades": (silent & ~certainly) | untold,
            "outage": silenced,
            "halted": silenced,
            "quarantined": broken_to_the_end,
            "broken_at_source": broken_to_the_end,
            "beyond_horizon": behind | (silent | untold if short else GRID.none()),
        }

    def _down(self) -> Mask:
        """Return the outages of the story, and those that the sandbox has anyway."""
        down = GRID.none()
        for event in self.week.story.of(Outage):
            if event.exchange == self.exchange:
                down |= GRID.in_span(event.span)
        for day in days(FIRST, GRID.end.date() - DAY):
            stretch = outage(venue(self.exchange), (day - date(1970, 1, 1)).days)
            if stretch is not None:
                first, last = (midnight(day) + minutes * MINUTE for minutes in stretch)
                down |= GRID.within(first, last)
        return down

    def _is_telling(self) -> bool:
        """Whether an outage must be told from silence here: all series of the exchange have every other minute."""
        names = {event.exchange for event in (*self.week.story.of(Listing), *self.week.story.of(Delisting))}
        return venue(self.exchange).empty_minutes == "filled" and self.exchange not in names

    def _trading(self) -> tuple[datetime, datetime]:
        listed, delisted = GRID.start, GRID.end
        for event in self.week.story.of(Listing):
            if self._is_mine(event.exchange, event.symbol):
                listed = event.span.end
        for end in self.week.story.of(Delisting):
            if self._is_mine(end.exchange, end.symbol):
                delisted = end.span.start
        return listed, delisted

    def _possible(self, time: datetime) -> set[tuple[float, ...]]:
        """Return the values that a rewritten candle may have: those of when its day was fetched, if it was in reach."""
        rewrites = [rewrite for rewrite in self._rewrites() if rewrite.time == time]
        row = self.tables.ledger.get(time.date())
        if row is None or (self.memory is not None and row.fetched_at > time + (self.memory - _SLACK) * MINUTE):
            return {rewrite.old for rewrite in rewrites} | {rewrite.new for rewrite in rewrites}
        before = [rewrite.new for rewrite in rewrites if rewrite.at <= row.fetched_at]
        return {before[-1] if before else rewrites[0].old}

    def _broken_at_last(self) -> Mask:
        return GRID.at(self.final[self.final[:, 2] < self.final[:, 3], 0])

    def _stored_at(self, time: datetime) -> tuple[float, ...] | None:
        rows = self.tables.candles[self.tables.candles[:, 0] == to_ms(time)]
        return tuple(rows[0, 1:].tolist()) if len(rows) else None

    def _rewrites(self) -> Sequence[Rewrite]:
        return [rewrite for rewrite in self.week.record.rewrites if self._is_mine(rewrite.exchange, rewrite.symbol)]

    def _is_mine(self, exchange: str | None, symbol: str) -> bool:
        return (exchange, symbol) == self.key

    def _spans(self, wrong: Mask, what: str, allowed: Mapping[str, Mask] | None = None) -> Iterator[str]:
        """Yield a complaint for each of the first runs of minutes."""
        for span, cells in list(GRID.spans(wrong))[:_MOST]:
            wanted = ""
            if allowed is not None:
                cell = GRID.cell(span.start)
                wanted = f", not {' or '.join(reason for reason, mask in allowed.items() if mask[cell])}"
            yield f"{span} ({cells}) {what}{wanted}"
