"""The events of one series in a story, as masks over the story's grid. The oracle uses no function of the product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property

import numpy as np

from titan10_dagster.candles.slices import days, from_ms, midnight, to_ms
from titan10_dagster.sandbox.truth import outage
from titan10_dagster.sandbox.venues.registry import venue
from titan10_dagster_tests.simulation.events import (
    Delisting,
    Event,
    Halt,
    Late,
    Listing,
    Outage,
    Redenominated,
    Relisting,
    Renamed,
    Span,
    Storm,
    WrongClock,
)
from titan10_dagster_tests.simulation.grid import Mask, grown, runs
from titan10_dagster_tests.simulation.growth import INCOMPLETE, STALE, STALE_MINUTES
from titan10_dagster_tests.simulation.record import Poll, Rewrite
from titan10_dagster_tests.simulation.story import DAY
from titan10_dagster_tests.simulation.tables import Key, read_candles
from titan10_dagster_tests.simulation.week import Week

_MINUTE = timedelta(minutes=1)
_LONGEST_POLL = timedelta(seconds=10)  # no poll of a simulated week takes longer

# The number of newest candles that the exchange serves. Two fewer candles count as reachable, because time passes
# during a request.
MEMORY: Mapping[str, int] = {"kraken": 720}
SLACK = 2
LONG = timedelta(minutes=50)  # if every minute has a row, a lack of trades does not explain a silence of this length


def known_since(week: Week, exchange: str, at: datetime) -> datetime:
    """Return the first time after `at` at which Titan-10 read the exchange's list of markets."""
    return min((read for read in week.record.markets_read[exchange] if read >= at), default=week.story.grid.end)


def unknown_market(week: Week, key: Key) -> Iterator[Span]:
    """Yield the spans in which Titan-10 has not read the new list yet, so it cannot know the market of a series."""
    for event in week.story.events:
        if (event.exchange, getattr(event, "symbol", None)) != key:
            continue
        if isinstance(event, Listing):
            yield Span(event.span.start, known_since(week, key[0], event.span.end))
        elif isinstance(event, Renamed):
            yield Span(event.span.start, known_since(week, key[0], event.span.start))
        elif isinstance(event, Relisting) and event.market_id is not None:
            yield Span(event.span.end, known_since(week, key[0], event.span.end))


class Truth:
    """The events of one series: when it traded, which candles the exchange could give, and which values they had."""

    def __init__(self, week: Week, key: Key) -> None:
        self.week, self.key = week, key
        self.exchange, self.symbol = key
        self.story, self.grid = week.story, week.story.grid
        self.memory = MEMORY.get(self.exchange)
        self.final = week.rows(key, self.story.start, self.story.judged_end)
        self.broken = self.grid.of(event.minute for event in week.record.broken if self.is_mine(event))
        self.broken_at_last = self.grid.at(self.final[self.final[:, 2] < self.final[:, 3], 0])
        self.exists = self.grid.at(self.final[:, 0]) & ~self.broken_at_last
        self.rewrites: dict[int, list[Rewrite]] = {}
        for rewrite in week.record.rewrites:
            if (rewrite.exchange, rewrite.symbol) == key:
                self.rewrites.setdefault(to_ms(rewrite.time), []).append(rewrite)

    def is_mine(self, event: Event) -> bool:
        return (event.exchange, getattr(event, "symbol", None)) == self.key

    def mine(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.week.story.of(kind) if self.is_mine(event)]

    # -- trading

    @cached_property
    def spells(self) -> Sequence[Span]:
        """Return the stretches in which the market is on the exchange's list."""
        start, end = self.grid.start, self.grid.end
        for event in self.mine(Listing):
            start = event.span.end
        for event in self.mine(Delisting):
            end = event.span.start
        spells = []
        for event in self.mine(Relisting):
            spells.append(Span(start, event.span.start))
            start = event.span.end
        return [*spells, Span(start, end)]

    @cached_property
    def unlisted(self) -> Mask:
        """Return the cells before the first listing."""
        return self.grid.within(self.grid.start, self.spells[0].start)

    @cached_property
    def gone(self) -> Mask:
        """Return the cells after the last delisting."""
        return self.grid.within(self.spells[-1].end, self.grid.end)

    @cached_property
    def off_list(self) -> Mask:
        """Return the cells between two listings."""
        listed = self.grid.none()
        for spell in self.spells:
            listed |= self.grid.within(spell.start, spell.end)
        return ~listed & ~self.unlisted & ~self.gone

    @cached_property
    def halted(self) -> Mask:
        mask = self.grid.none()
        for event in self.mine(Halt):
            mask |= self.grid.within(event.span.start, event.span.end)
        return mask

    @cached_property
    def down(self) -> Mask:
        """Return the cells of the story's outages and of the sandbox's own outages."""
        down = self.grid.none()
        for event in self.week.story.of(Outage):
            if event.exchange == self.exchange:
                down |= self.grid.in_span(event.span)
        for day in days(self.story.start.date(), self.story.last_day):
            stretch = outage(venue(self.exchange), (day - date(1970, 1, 1)).days)
            if stretch is not None:
                first, last = (midnight(day) + minutes * _MINUTE for minutes in stretch)
                down |= self.grid.within(first, last)
        return down

    @property
    def standstill(self) -> Mask:
        """Return the minutes between the first listing and the last delisting in which no trade was possible."""
        return self.down | self.halted | self.off_list

    @cached_property
    def silent(self) -> Mask:
        """Return the minutes without a candle from the first listing to the last delisting."""
        return ~self.grid.at(self.final[:, 0]) & ~self.unlisted & ~self.gone

    @cached_property
    def certain_standstill(self) -> Mask:
        """Return the minutes of a standstill that cannot be mistaken for a lack of trades.

        If an exchange gives every minute a row, these are silences that all series share, and long silences of one
        series. A symbol may have only its own silences. In this case the other symbol of the exchange is not listed,
        stands still, or became another market before the silence was observed twice, so its absence was never
        confirmed.
        """
        if self.memory is not None or venue(self.exchange).empty_minutes != "filled":
            return self.grid.none()
        alone = any(
            event.exchange == self.exchange
            for kind in (Listing, Delisting, Relisting, Halt)
            for event in self.week.story.of(kind)
        )
        certain = self.grid.none() if alone else self.down & ~self._lost_of_others()
        for first, last in runs(self.standstill & self.silent):
            if (last - first) * self.grid.step >= LONG:
                certain[first:last] = True
        return certain

    # -- what the exchange could give

    def reachable(self, first_day: date) -> Mask:
        """Return the candles from `first_day` on that Titan-10 could receive."""
        if self.memory is not None:
            reachable = self._polled(self.memory)
        elif self.refused_from is not None:
            reachable = self._polled_before(self.refused_from) | ~self.open_at_refusal
        else:
            reachable = self.grid.all()
        return reachable & self.grid.within(midnight(first_day), self.story.judged_end) & ~self.of_a_former_market

    @cached_property
    def refused_from(self) -> datetime | None:
        """Return the time from which the exchange refuses candles of the delisted market; None if it serves these
        candles.
        """
        for event in self.mine(Delisting):
            if isinstance(event, Delisting) and event.refusal is not None:
                return event.span.start
        return None

    @cached_property
    def open_at_refusal(self) -> Mask:
        """Return the days that were not final when the exchange began to refuse the candles of the delisted market."""
        mask = self.grid.none()
        if self.refused_from is not None:
            last_step = self._last_step_before(self.refused_from)
            for day in days(self.grid.start.date(), (self.grid.end - DAY).date()):
                last_open = self.week.record.open_until.get((*self.key, day))
                if last_open is None or last_open >= last_step:
                    mask |= self.grid.within(midnight(day), midnight(day) + DAY)
        return mask

    def _last_step_before(self, end: datetime) -> datetime:
        """Return the last step before `end`. Between this step and `end`, nothing was fetched."""
        return max((at for at in self.week.record.steps if at < end), default=self.story.start)

    def _polled_before(self, end: datetime) -> Mask:
        """Return the candles that live polls received before `end`, on the day of the candle and in complete answers.

        Runs may have fetched more candles, so more than these candles can be stored.
        """
        reachable = self.grid.none()
        received = self.story.start
        for poll in sorted(self.week.record.polls, key=lambda poll: poll.at):
            if poll.exchange != self.exchange or self.symbol not in poll.answered or poll.at >= end:
                continue
            first = max(received, midnight(poll.at.date()))
            if not poll.spoiled and not poll.ahead:
                reachable |= self.grid.within(first, self.grid.floor(poll.at)) & ~self._hidden(poll)
            received = max(first, self.grid.floor(poll.at))
        return reachable

    def _polled(self, memory: int) -> Mask:
        reachable = self.grid.none()
        for poll in self.week.record.polls:
            if poll.exchange == self.exchange and self.symbol in poll.answered and not poll.spoiled:
                reachable |= self._given(poll, memory)
        return reachable

    def _given(self, poll: Poll, memory: int) -> Mask:
        """Return the candles that the exchange could give in this poll.

        This machine's clock determines the newest requested candle (which must have ended) and the oldest requested
        candle (which should still be served).
        """
        newest = self.grid.floor(min(poll.at, poll.at + poll.ahead))
        oldest = self.grid.floor(max(poll.at, poll.at + poll.ahead)) - (memory - SLACK) * self.grid.step
        return self.grid.within(oldest, newest) & ~self._hidden(poll)

    def _hidden(self, poll: Poll) -> Mask:
        """Return the candles that the exchange had not published at the poll, or had published as broken candles."""
        hidden = self.grid.none()
        for event in self.mine(Late):
            if isinstance(event, Late) and poll.at < event.span.end:
                hidden |= self.grid.in_span(event.hidden)
        for broken in self.week.record.broken:
            if self.is_mine(broken) and poll.at < broken.span.end:
                hidden |= self.grid.of([broken.minute])
        return hidden

    @cached_property
    def of_a_former_market(self) -> Mask:
        """Return the days that were open when the market got another id.

        For these days, the exchange now returns candles of the new market. Titan-10 does not mix candles of two
        markets. Therefore candles of the former market that were not stored before are lost.
        """
        lost = self.grid.none()
        for event in self.week.story.events:
            changed = isinstance(event, Renamed) or (isinstance(event, Relisting) and event.market_id is not None)
            if not self.is_mine(event) or not changed:
                continue
            read = known_since(self.week, self.exchange, event.span.start)
            last_step = self._last_step_before(event.span.start)
            for day in days(self.story.start.date(), event.span.start.date()):
                last_open = self.week.record.open_until.get((*self.key, day))
                if last_open is not None and last_open >= last_step and day < read.date():
                    lost |= self.grid.within(midnight(day), midnight(day) + DAY)
        return lost

    # -- values

    def values(self, time_ms: int, fetched_at: datetime | None) -> set[tuple[float, ...]]:
        """Return the values that a rewritten candle may have, if its day was fetched last at `fetched_at`.

        If the candle was still served at `fetched_at` and the answer was complete, the candle has the value of this
        instant. Otherwise it may have any value that the exchange ever gave.
        """
        rewrites = self.rewrites[time_ms]
        if fetched_at is None or not self._answers_whole(from_ms(time_ms), fetched_at):
            return {rewrite.old for rewrite in rewrites} | {rewrite.new for rewrite in rewrites}
        before = [rewrite.new for rewrite in rewrites if rewrite.at <= fetched_at]
        return {before[-1] if before else rewrites[0].old}

    def _answers_whole(self, time: datetime, fetched_at: datetime) -> bool:
        if self.refused_from is not None and fetched_at >= self.refused_from:
            return False
        if self.memory is not None and fetched_at > time + (self.memory - SLACK) * self.grid.step:
            return False
        wrong_clocks = self.week.story.of(WrongClock)
        margin = max((abs(event.ahead) for event in wrong_clocks), default=timedelta())
        doubtful = [event.span for event in wrong_clocks]
        for storm in self.week.story.of(Storm):
            if storm.kind in INCOMPLETE and storm.exchange == self.exchange:
                doubtful.append(storm.span)
        return not any(span.start - margin <= fetched_at <= span.end + margin for span in doubtful)

    @cached_property
    def unfinished(self) -> Mask:
        """Return the candles that looked finished but were unfinished.

        A server of the exchange that is behind returns its newest candle unfinished. If this machine's clock is ahead,
        the unfinished candle looks finished. A poll that begins at the end of a minute also gets the next candle.
        """
        mask = self.grid.none()
        for at in self.week.record.steps:
            for event in self.week.story.events:
                if not event.span.holds(at):
                    continue
                if isinstance(event, Storm) and event.kind == STALE and event.exchange == self.exchange:
                    behind = at - STALE_MINUTES * _MINUTE
                    mask |= self.grid.of([behind, behind + _LONGEST_POLL])
                elif isinstance(event, WrongClock) and event.ahead > timedelta():
                    mask |= self.grid.of([at, at + _LONGEST_POLL])
        return mask

    @cached_property
    def spoiled(self) -> Mask:
        """Return the candles that an exchange may have given only in incomplete answers, and has refused or no longer
        served since.

        A poll after a downtime requests the candles of a day or two.
        """
        mask = self.grid.none()
        back = (self.memory or 0) * self.grid.step if self.refused_from is None else 2 * DAY
        for event in self.week.story.of(Storm):
            if event.exchange == self.exchange and event.kind in INCOMPLETE:
                mask |= self.grid.within(event.span.start - back, event.span.end)
        return mask

    # -- reasons

    def allowed(self, reachable: Mask) -> Mapping[str, Mask]:
        """Return the minutes that may have each reason at the end."""
        short = self.memory is not None
        # A minute without trades next to a standstill belongs to the same silence, and a silence has only one reason.
        silenced = grown(self.standstill & self.silent, self.silent)
        removed = self._removed(silenced)
        together = grown((self.down | self._other_is_silent() & self.standstill) & self.silent, self.silent)
        behind = ~reachable if short or self.refused_from is not None else self.grid.none()
        # If an exchange serves only recent candles, its answers do not show when it listed a symbol.
        unseen = (self.unlisted | self.gone) if short else self.grid.none()
        # Minutes without a trade that were not confirmed before the exchange stopped serving the day.
        forgotten = self.silent | unseen if short else self.silent & self.open_at_refusal
        broken_to_the_end = self.broken & (self.broken_at_last | behind)
        # The first candle dates a listing, and the last candle a delisting. So minutes without a trade just after the
        # listing or just before the delisting belong to it.
        unlisted = grown(self.unlisted, self.unlisted | self.silent)
        gone = self.gone | self._called_gone(behind)
        gone = grown(gone, gone | self.silent)
        return {
            "pre_listing": unlisted,
            "delisted": gone,
            "no_trades": (self.silent & ~self.certain_standstill) | unseen,
            "outage": (together & ~removed) | self._down_when_delisted(),
            "halted": silenced & ~removed,
            "not_listed": removed,
            # This reason is not final, so it is allowed only for candles that the exchange no longer serves.
            "quarantined": (broken_to_the_end | self.spoiled) & behind,
            "broken_at_source": broken_to_the_end | (self.spoiled & behind),
            "beyond_horizon": behind | forgotten | self.of_a_former_market,
        }

    def _down_when_delisted(self) -> Mask:
        """Return the minutes after the delisting in the silence of the exchange during which the market was delisted.

        In these minutes no answer shows whether the market or the whole exchange was closed.
        """
        mask = self.grid.none()
        silent = self.down.copy()
        for other in self._others:
            silent |= other.silent
        first_gone = int(self.gone.argmax())
        for first, last in runs(silent & self.gone):
            if first == first_gone and first > 0 and self.down[first - 1]:
                mask[first:last] = True
        return mask

    def _called_gone(self, behind: Mask) -> Mask:
        """Return the candles after the last stored candle for which the exchange refused requests, because the market
        is closed.

        Titan-10 knows no better end of the market than the last stored candle.
        """
        if self.refused_from is None:
            return self.grid.none()
        stored = read_candles(self.week.url, self.key, self.story.timeframe, self.grid.start, self.grid.end)
        after = from_ms(int(stored[-1, 0])) + self.grid.step if len(stored) else self.grid.start
        return behind & self.grid.within(after, self.grid.end)

    def _removed(self, silenced: Mask) -> Mask:
        """Return the silences of a week or longer, because no exchange halts a market for this long."""
        removed = self.grid.none()
        for first, last in runs(silenced):
            if (last - first) * self.grid.step >= timedelta(days=7):
                removed[first:last] = True
        return removed

    @cached_property
    def _others(self) -> Sequence[Truth]:
        """Return the other series of the exchange."""
        others = [symbol for symbol in self.story.symbols[self.exchange] if symbol != self.symbol]
        return [Truth(self.week, (self.exchange, symbol)) for symbol in others]

    def _other_is_silent(self) -> Mask:
        """Return the minutes in which another symbol of the exchange stands still too, so that a silence is shared."""
        silent = self.grid.none()
        for other in self._others:
            silent |= other.standstill
        return silent

    def _lost_of_others(self) -> Mask:
        lost = self.grid.none()
        for other in self._others:
            lost |= other.of_a_former_market
        return lost

    # -- breaks

    def breaks(self) -> Iterator[Span]:
        """Yield stretches. In each of these stretches, a break must be recorded.

        A change of the market breaks the series twice: at its last candle before the change was seen, and at the
        midnight before this candle. A redenomination breaks the series at the first stored candle afterwards, and a
        return at another price at the first candle afterwards.
        """
        for event in self.week.story.events:
            if not self.is_mine(event):
                continue
            if isinstance(event, Redenominated):
                yield Span(event.span.start, self._first_stored(event.span.start) + self.grid.step)
            elif isinstance(event, Renamed):
                seen = known_since(self.week, self.exchange, event.span.start)
                yield Span(self._stored_before(event.span.start), seen + self.grid.step)
            elif isinstance(event, Relisting) and event.market_id is not None:
                seen = known_since(self.week, self.exchange, event.span.end)
                last = max(seen, self.first_candle(event.span.end))
                yield Span(self._stored_before(event.span.start), last + self.grid.step)

    def _stored_before(self, at: datetime) -> datetime:
        """Return the earliest instant at which the last stored candle before `at` may end.

        Each step stores at least the day before the step, even without polls.
        """
        steps = [step for step in self.week.record.steps if step <= at]
        return midnight((max(steps) if steps else self.story.start).date()) - DAY

    def _first_stored(self, since: datetime) -> datetime:
        """Return the start of the first candle at or after an instant.

        If the exchange has a short memory, earlier candles may be lost. Then it is the first stored candle.
        """
        if self.memory is None:
            return self.first_candle(since)
        stored = read_candles(self.week.url, self.key, self.story.timeframe, since, self.grid.end)
        return from_ms(int(stored[0, 0])) if len(stored) else self.grid.end - DAY

    def first_candle(self, since: datetime) -> datetime:
        """Return the start of the exchange's first candle at or after an instant."""
        cells = np.flatnonzero(self.exists)
        later = cells[cells >= self.grid.cell(since)]
        return self.grid.time(int(later[0])) if len(later) else self.grid.end - DAY
