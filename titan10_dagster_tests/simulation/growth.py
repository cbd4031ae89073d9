"""Events in addition to the events of `story`: changes of markets and candles, wrong answers, wrong clocks.

These events have a separate random generator, so that a seed keeps the events of `story`. A series has at most one of
these changes. If `story` lists or delists a series or rewrites its candles, the series has no such change. Otherwise
the values of a candle that is first rewritten and then redenominated would not be known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from titan10_dagster.sandbox.venues.registry import venue
from titan10_dagster_tests.simulation.events import (
    Broken,
    Delisting,
    Event,
    Halt,
    Late,
    Listing,
    Outage,
    RateLimited,
    Redenominated,
    Relisting,
    Renamed,
    Restated,
    Revised,
    Span,
    Storm,
    WrongClock,
)

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_WEEK = 7 * DAY

# Faults that leave rows out of an answer. The answer looks complete, so two such answers six hours apart count as
# proof. This is intended.
LOSSES = ("lost_rows", "empty_page")
# Faults that put a row that breaks a rule among valid rows.
ROW_FAULTS = (
    "off_grid", "null_row", "empty_row", "negative_time", "null_value", "nan_value", "zero_price", "negative_volume",
    "conflicting_duplicate",
)  # fmt: skip
STALE = "stale"  # a server of the exchange that is behind
STALE_MINUTES = 150
FORGETFUL = ("kraken",)  # exchanges with a short memory: they no longer serve the day of a later check
INCOMPLETE = (*LOSSES, *ROW_FAULTS, STALE)
APART = timedelta(hours=40)  # large enough, so that a day is not fetched twice during such faults

_Series = tuple[str, str]
_SHORT_OUTAGES = timedelta(minutes=90)  # the sum of all outages; 100 minutes are a hundredth of a week
_OF_MARKETS = (Listing, Delisting, Relisting, Renamed, Halt)
_MARKET_CHANGES = ("halt", "relisting", "reuse", "renamed", "redenominated", "revised")


@dataclass
class Growth:
    """The generator of these events, for a week that begins at `start`."""

    random: Random
    start: datetime
    symbols: Mapping[str, Sequence[str]]
    known: Sequence[Event]
    events: list[Event] = field(default_factory=list)

    def draw(self) -> list[Event]:
        free = self._free_series()
        for _ in range(self.random.randint(2, 4)):
            if free:
                exchange, symbol = free.pop(self.random.randrange(len(free)))
                self._change(self.random.choice(_MARKET_CHANGES), exchange, symbol)
        for exchange in self.symbols:
            self._answers(exchange)
        if self.random.random() < 0.3:
            minutes = self.random.choice((-30, -2, -1, 1, 2, 30))
            self.events.append(WrongClock(self._span(30 * MINUTE, 5 * HOUR), None, minutes * MINUTE))
        return self.events

    def midnights(self) -> list[datetime]:
        """Return instants just before midnight at which a step begins."""
        return [self.start + n * DAY - timedelta(seconds=1) for n in range(1, 8) if self.random.random() < 0.3]

    def _free_series(self) -> list[_Series]:
        touched = set()
        for event in self.known:
            if isinstance(event, (Listing, Delisting, Restated, Broken, Late)):
                touched.add((event.exchange, event.symbol))
        series = []
        for exchange, symbols in self.symbols.items():
            series += [(exchange, symbol) for symbol in symbols if (exchange, symbol) not in touched]
        return series

    def _change(self, kind: str, exchange: str, symbol: str) -> None:
        at = self._instant(DAY, 5 * DAY)
        open_ended = Span(at, at + 60 * DAY)
        if kind == "halt":
            span = Span(at, at + self._length(10 * MINUTE, 30 * HOUR))
            self.events.append(Halt(span, exchange, symbol))
        elif kind == "relisting":
            span = Span(at, at + self._length(3 * HOUR, 2 * DAY))
            self.events.append(Relisting(span, exchange, symbol, None, 1.0))
        elif kind == "reuse":
            span = Span(at, at + self._length(3 * HOUR, 2 * DAY))
            self.events.append(Relisting(span, exchange, symbol, self._market_id(symbol), 40.0))
        elif kind == "renamed":
            self.events.append(Renamed(open_ended, exchange, symbol, self._market_id(symbol)))
        elif kind == "redenominated":
            self.events.append(Redenominated(open_ended, exchange, symbol, 1_000.0))
        else:
            end = at - self._length(0 * HOUR, 20 * HOUR)
            stretch = Span(end - self._length(HOUR, 20 * HOUR), end)
            self.events.append(Revised(open_ended, exchange, symbol, stretch, 0.5))

    def _answers(self, exchange: str) -> None:
        if self.random.random() < 0.5:
            self._incomplete(exchange, self.random.choice(ROW_FAULTS))
        if self.random.random() < 0.3:
            self._incomplete(exchange, STALE)
        if self.random.random() < 0.15:
            limit = venue(exchange).limits[0]
            requests = self.random.choice((3, 8))
            factor = requests * limit.cost.get("candles", 1.0) / limit.allowed
            self.events.append(RateLimited(self._span(HOUR, 3 * HOUR), exchange, factor))

    def _incomplete(self, exchange: str, kind: str) -> None:
        """Add a storm of incomplete answers, if it is far enough from the other storms."""
        span = self._span(HOUR, 4 * HOUR)
        for event in (*self.known, *self.events):
            is_one = isinstance(event, Storm) and event.exchange == exchange and event.kind in INCOMPLETE
            if is_one and span.start < event.span.end + APART and event.span.start < span.end + APART:
                return
        self.events.append(Storm(span, exchange, kind, 0.5))

    def _market_id(self, symbol: str) -> str:
        return f"{symbol.split('/')[0]}V{self.random.randint(2, 9)}{symbol.split('/')[1]}"

    def _length(self, least: timedelta, most: timedelta) -> timedelta:
        """Return a length of whole minutes."""
        return self.random.randint(least // MINUTE, most // MINUTE) * MINUTE

    def _instant(self, least: timedelta, most: timedelta) -> datetime:
        return self.start + self._length(least, most)

    def _span(self, shortest: timedelta, longest: timedelta) -> Span:
        length = self._length(shortest, longest)
        start = self._instant(30 * MINUTE, _WEEK - length)
        return Span(start, start + length)


def late_holes(
    random: Random, start: datetime, symbols: Mapping[str, Sequence[str]], known: Sequence[Event]
) -> list[Event]:
    """Draw holes of busy series that are published a day to six days later, after their reason has become final.

    Only the later checks of busy series find these candles. Three conditions ensure that the checks find them. The
    exchange sends a row for every minute. Its outages are so short that the series stays busy. Nothing else happens to
    the day, because another fetch of the day would count as one of the checks.
    """
    events: list[Event] = []
    for exchange, of_exchange in symbols.items():
        if exchange in FORGETFUL or venue(exchange).empty_minutes != "filled":
            continue
        outages = [event.span for event in known if isinstance(event, Outage) and event.exchange == exchange]
        if sum((span.end - span.start for span in outages), timedelta()) > _SHORT_OUTAGES:
            continue
        symbol = random.choice(of_exchange)
        day = start + random.randint(1, 4) * DAY
        hidden_from = day + random.randint(60, 22 * 60) * MINUTE
        hidden = Span(hidden_from, hidden_from + random.randint(1, 9) * MINUTE)
        published = hidden.end + random.randint(30 * 60, 6 * 24 * 60) * MINUTE
        if not _is_disturbed(exchange, symbol, Span(day, day + DAY + 16 * HOUR), known):
            events.append(Late(Span(hidden.start, published), exchange, symbol, hidden))
    return events


def _is_disturbed(exchange: str, symbol: str, span: Span, known: Sequence[Event]) -> bool:
    """Return whether something else happens to the series within the span, or answers may be incomplete."""
    for event in known:
        is_mine = event.exchange == exchange and getattr(event, "symbol", symbol) == symbol
        # this counts at any time, because days of a former market are not checked later
        if is_mine and isinstance(event, _OF_MARKETS):
            return True
        if event.exchange != exchange or not (event.span.start < span.end and span.start < event.span.end):
            continue
        is_storm = isinstance(event, Storm) and event.kind not in INCOMPLETE
        if is_mine and not is_storm:
            return True
    return False
