"""The events of a week, drawn from a seed before the week begins. The same seed always gives the same story."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from random import Random

from titan10_dagster.candles.slices import midnight
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster_tests.simulation.events import (
    Ban,
    Broken,
    DatabaseAway,
    Delisting,
    Downtime,
    E,
    Event,
    Kill,
    Late,
    Listing,
    Outage,
    Restated,
    Span,
    Storm,
)
from titan10_dagster_tests.simulation.grid import Grid
from titan10_dagster_tests.simulation.growth import LOSSES, STALE, STALE_MINUTES, Growth, late_holes
from titan10_dagster_tests.simulation.refusals import with_refusals

EXCHANGES = ("binance", "bybit", "coinbase", "kraken", "okx")
BASES = ("BTC", "ETH", "SOL", "ADA", "LINK", "ATOM", "XLM", "AAVE", "ALGO", "ETC")
# Each exchange has two symbols, so there are ten symbols together. With TITAN10_TEST_WEEK_SYMBOLS=10, each exchange has
# ten symbols, and a week takes several times as long.
SYMBOLS_EACH = int(os.environ.get("TITAN10_TEST_WEEK_SYMBOLS", "2"))

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
START = datetime(2024, 3, 4, tzinfo=UTC)
WEEK = 7 * DAY
LAST_DAY = (START + WEEK).date()  # the day after the week; this quiet day must be complete too
QUIET_END = START + WEEK + DAY + 12 * HOUR  # at this time, all data must have been requested twice
# Later checks come a day and a week after the second request. In this tail, Titan-10 runs rarely and does not poll. At
# the end of the tail, all slices must be final, and no slice of the week may still be requested. The step of hour 195
# is after all checks that are due a week after the step of hour 26.
TAIL = tuple(QUIET_END + hours * HOUR for hours in (26, 50, 170, 195, 216))
SETTLE = 2 * HOUR  # the time from midnight to the daily settlement

# Faults that lose no row: a repeated request succeeds sooner or later.
FAILURES = (
    "http_500", "http_502", "http_504", "maintenance", "reset", "short_body", "truncated", "html_200", "empty_body",
    "empty_object", "null_data", "http_429", "stall",
)  # fmt: skip
DISGUISES = ("duplicates", "disorder", "page_third")
FAULT_OPTIONS: Mapping[str, Mapping[str, float]] = {
    "http_429": {"retry_after": 0},
    "stall": {"seconds": 0.05},
    STALE: {"minutes": STALE_MINUTES},
}


@dataclass(frozen=True)
class Story:
    """A stretch of time: the symbols of each exchange, the instants at which Titan-10 runs, and the events.

    `quiet_end`: at this time, all data have been requested twice. The days from `start` to `last_day` are checked.
    """

    seed: int
    symbols: Mapping[str, tuple[str, ...]]
    steps: tuple[datetime, ...]
    events: tuple[Event, ...]
    start: datetime = START
    quiet_end: datetime = QUIET_END
    last_day: date = LAST_DAY
    timeframe: str = "1m"
    live: bool = True  # whether the exchanges are polled

    @property
    def exchanges(self) -> tuple[str, ...]:
        return tuple(self.symbols)

    @property
    def step(self) -> timedelta:
        """Return the length of a candle."""
        return TIMEFRAMES[self.timeframe].delta

    @property
    def end(self) -> datetime:
        """Return the instant of the last step."""
        return self.steps[-1]

    @property
    def judged_end(self) -> datetime:
        return midnight(self.last_day) + DAY

    @cached_property
    def grid(self) -> Grid:
        """Return the grid of all candles, from the day before the start. No candle of this day may be stored."""
        days_ = (self.end - self.start) // DAY + 2
        return Grid(self.start - DAY, self.step, days_ * DAY // self.step)

    def settlements_between(self, before: datetime, now: datetime) -> list[datetime]:
        """Return the instants of the daily settlement in (before, now].

        After a pause, the scheduler makes up for the last five settlements. In the tail, it makes up only for the last
        settlement, so the repair sensor has to fetch the other days.
        """
        numbers = range((now - self.start).days + 2)
        due = [self.start + n * DAY + SETTLE for n in numbers]
        most = 5 if now <= self.quiet_end else 1
        return [instant for instant in due if before < instant <= now][-most:]

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def described(self, exchanges: Sequence[str] | None = None) -> str:
        """Return a line for each event.

        With `exchanges`, only events of these exchanges and of Titan-10 itself are included.
        """
        lines = [f"seed {self.seed}: " + "; ".join(f"{name} {', '.join(own)}" for name, own in self.symbols.items())]
        for event in self.events:
            if exchanges is None or event.exchange is None or event.exchange in exchanges:
                lines.append(f"  {event}")
        return "\n".join(lines)


def write(seed: int) -> Story:
    """Return the story of a seed."""
    return _Author(Random(seed)).write(seed)


@dataclass
class _Author:
    random: Random
    events: list[Event] = field(default_factory=list)
    _midnights: list[datetime] = field(default_factory=list)

    def write(self, seed: int) -> Story:
        bases = self.random.sample(BASES, SYMBOLS_EACH)
        symbols = {name: tuple(f"{base}/{quote_of(name)}" for base in bases) for name in EXCHANGES}
        self._listings(symbols)
        for name in EXCHANGES:
            self._weather(name, symbols[name])
        self._ourselves()
        growth = Growth(Random(f"growth {seed}"), START, symbols, tuple(self.events))
        self.events += growth.draw()
        self._midnights = growth.midnights()
        self.events += late_holes(Random(f"late {seed}"), START, symbols, tuple(self.events))
        self.events = with_refusals(Random(f"refusal {seed}"), START, symbols, self.events)
        ordered = tuple(sorted(self.events, key=lambda event: (event.span.start, str(event))))
        return Story(seed, symbols, tuple(self._steps()), ordered)

    def _listings(self, symbols: Mapping[str, tuple[str, ...]]) -> None:
        for kind, chance in ((Listing, 0.4), (Delisting, 0.4)):
            if self.random.random() < chance:
                name = self.random.choice(EXCHANGES)
                at = self._instant(12 * HOUR, 5 * DAY).replace(second=0)
                span = Span(START, at) if kind is Listing else Span(at, TAIL[-1] + DAY)
                self.events.append(kind(span, name, symbols[name][0 if kind is Listing else -1]))

    def _weather(self, name: str, symbols: tuple[str, ...]) -> None:
        for _ in range(self._number(0, 2)):
            self.events.append(Outage(self._span(5 * MINUTE, 3 * HOUR), name, self.random.random() < 0.5))
        for _ in range(self._number(1, 3)):
            kind = self.random.choice(FAILURES + DISGUISES)
            chance = 0.5 if kind == "stall" else self.random.choice((0.2, 0.5, 1.0))
            self.events.append(Storm(self._span(30 * MINUTE, 8 * HOUR), name, kind, chance))
        if self.random.random() < 0.6:
            self.events.append(Storm(self._span(HOUR, 4 * HOUR), name, self.random.choice(LOSSES), 0.5))
        if self.random.random() < 0.5:
            self.events.append(Ban(self._span(10 * MINUTE, 20 * HOUR), name))
        for _ in range(self._number(1, 4)):
            self._candle(name, self.random.choice(symbols))

    def _candle(self, name: str, symbol: str) -> None:
        """Add an event that changes one candle or a few candles."""
        minute = self._instant(HOUR, WEEK).replace(second=0)
        kind = self.random.choice((Restated, Restated, Broken, Late))
        if kind is Restated:
            after = self.random.choice((2 * MINUTE, 3 * HOUR, 30 * HOUR))
            at = minute + after + self._length(MINUTE, 2 * HOUR)
            self.events.append(Restated(Span(at, at + MINUTE), name, symbol, minute))
        elif kind is Broken:
            heals = min(minute + self._length(10 * MINUTE, 40 * HOUR), START + WEEK)
            heals = heals if self.random.random() < 0.7 else TAIL[-1] + DAY  # never
            self.events.append(Broken(Span(minute, heals), name, symbol, minute))
        else:
            end = minute + self.random.randint(1, 40) * MINUTE
            self.events.append(
                Late(Span(minute, end + self._length(MINUTE, 3 * HOUR)), name, symbol, Span(minute, end))
            )

    def _ourselves(self) -> None:
        for longest in (3 * HOUR, 8 * HOUR, 30 * HOUR):
            if self.random.random() < 0.5:
                self.events.append(Downtime(self._span(longest / 3, longest), None))
        for _ in range(self._number(0, 3)):
            self.events.append(Kill(self._span(DAY, DAY), None, self.random.randint(1, 3)))
        for run in (True, False):
            if self.random.random() < 0.5:
                self.events.append(DatabaseAway(self._span(DAY, DAY), None, run, 0.3))

    def _steps(self) -> Iterator[datetime]:
        """Yield the instants at which Titan-10 runs: at the daily settlement, before some midnights, at random, and in
        the tail.
        """
        down = [event.span for event in self.events if isinstance(event, Downtime)]
        settlements = [START + n * DAY + SETTLE for n in range((QUIET_END - START).days + 1)]
        wanted = sorted({*self._random_steps(), *settlements, QUIET_END, *self._midnights, *TAIL})
        return (step for step in wanted if not any(span.holds(step) for span in down))

    def _random_steps(self) -> Iterator[datetime]:
        at = START + 7 * MINUTE
        while at < START + WEEK:
            yield at
            at += MINUTE if self.random.random() < 0.15 else self._length(10 * MINUTE, 3 * HOUR)
        while at < QUIET_END:
            yield at
            at += 4 * HOUR

    def _number(self, least: int, most: int) -> int:
        return self.random.randint(least, most)

    def _length(self, least: timedelta, most: timedelta) -> timedelta:
        return timedelta(seconds=round(self.random.uniform(least.total_seconds(), most.total_seconds())))

    def _instant(self, least: timedelta, most: timedelta) -> datetime:
        return START + self._length(least, most)

    def _span(self, shortest: timedelta, longest: timedelta) -> Span:
        length = self._length(shortest, longest)
        start = self._instant(30 * MINUTE, max(WEEK - length, 31 * MINUTE))
        return Span(start, start + length)


def quote_of(exchange: str) -> str:
    return "USD" if exchange in {"coinbase", "kraken"} else "USDT"
