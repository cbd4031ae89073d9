"""The story of a year of one exchange: coarse candles, few symbols, and markets that come, go and change.

There is no live polling: each day is settled at night, and the repair sensor runs at night and in the morning. All
lengths are shares of the story, so that a shorter story has the same events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from titan10_dagster_tests.simulation.events import (
    Ban,
    Delisting,
    Downtime,
    Event,
    Halt,
    Late,
    Listing,
    Outage,
    Redenominated,
    Relisting,
    Renamed,
    Revised,
    Span,
    Storm,
)
from titan10_dagster_tests.simulation.story import DAY, FAILURES, HOUR, MINUTE, SETTLE, Story

EXCHANGE = "coinbase"  # this exchange leaves out candles without trades
START = datetime(2024, 1, 1, tzinfo=UTC)
STEP = 5 * MINUTE
TAIL = 10  # in days; the later checks of the last day come a day and a week after this day

# BTC always trades, and ALGO is quiet. OLD is renamed to NEW. The names of the other constants describe the events of
# the symbols.
BTC, ALGO, LISTED_AGAIN, REUSED, REDENOMINATED, OLD, NEW = (
    f"{base}/USD" for base in ("BTC", "ALGO", "ETC", "AAVE", "LINK", "OLD", "NEW")
)
SYMBOLS = (BTC, ALGO, LISTED_AGAIN, REUSED, REDENOMINATED, OLD, NEW)


def write(seed: int, days: int) -> Story:
    """Return the story of a seed. It lasts `days` days. Its events need at least 30 days."""
    return _Author(Random(f"year {seed}"), days).write(seed)


@dataclass
class _Author:
    random: Random
    days: int
    events: list[Event] = field(default_factory=list)

    def write(self, seed: int) -> Story:
        self._markets()
        self._standstills()
        self._late_rows()
        self._answers()
        ordered = tuple(sorted(self.events, key=lambda event: (event.span.start, str(event))))
        return Story(
            seed,
            {EXCHANGE: SYMBOLS},
            tuple(self._steps()),
            ordered,
            start=START,
            quiet_end=START + (self.days + 1) * DAY,
            last_day=(START + (self.days - 1) * DAY).date(),
            timeframe="5m",
            live=False,
        )

    def _markets(self) -> None:
        """Draw the events of markets, each for a different market."""
        away = Span(self._at(0.25), self._at(0.45))
        self.events.append(Relisting(away, EXCHANGE, LISTED_AGAIN, None, 1.0))
        reused = Span(self._at(0.5), self._at(0.6))
        self.events.append(Relisting(reused, EXCHANGE, REUSED, "AAVEV2-USD", 40.0))
        at = self._at(0.4)
        self.events.append(Redenominated(Span(at, self._never), EXCHANGE, REDENOMINATED, 1_000.0))
        at = self._at(0.7)
        self.events.append(Renamed(Span(at, self._never), EXCHANGE, ALGO, "ALGOV2-USD"))
        at = self._at(0.55)
        self.events.append(Delisting(Span(at, self._never), EXCHANGE, OLD))
        self.events.append(Listing(Span(START, at), EXCHANGE, NEW))
        at = self._at(0.65)
        stretch = Span(at - 4 * DAY, at - 3 * DAY)
        self.events.append(Revised(Span(at, self._never), EXCHANGE, BTC, stretch, 0.5))

    def _standstills(self) -> None:
        for _ in range(max(self.days // 60, 2)):
            span = self._span(30 * MINUTE, 6 * HOUR)
            self.events.append(Outage(span, EXCHANGE, self.random.random() < 0.5))
        for symbol in (BTC, ALGO, OLD):
            length = self._length(2 * HOUR, 2 * DAY)
            start = self._at(self.random.uniform(0.1, 0.35))
            self.events.append(Halt(Span(start, start + length), EXCHANGE, symbol))

    def _late_rows(self) -> None:
        """Draw candles that are published late: short holes before the second request, long holes days after it."""
        for n in range(max(self.days // 30, 4)):
            start = self._at(self.random.uniform(0.05, 0.9))
            if n % 2:
                hidden = Span(start, start + self._length(2 * HOUR, 6 * HOUR))
                after = self._length(20 * HOUR, 6 * DAY)
            else:
                start = start.replace(hour=self.random.randrange(20, 23))
                hidden = Span(start, start + self._length(STEP, 40 * MINUTE))
                after = self._length(HOUR, 5 * HOUR)
            self.events.append(Late(Span(hidden.start, hidden.end + after), EXCHANGE, BTC, hidden))

    def _answers(self) -> None:
        for _ in range(max(self.days // 15, 3)):
            probability = self.random.choice((0.2, 0.5, 1.0))
            kind = self.random.choice([kind for kind in FAILURES if kind != "stall"])
            self.events.append(Storm(self._span(2 * HOUR, 12 * HOUR), EXCHANGE, kind, probability))
        for _ in range(max(self.days // 120, 1)):
            self.events.append(Ban(self._span(HOUR, 20 * HOUR), EXCHANGE))
            self.events.append(Downtime(self._span(10 * HOUR, 4 * DAY), None))

    def _steps(self) -> Iterator[datetime]:
        """Yield the nights and mornings on which Titan-10 runs."""
        down = [event.span for event in self.events if isinstance(event, Downtime)]
        for n in range(self.days + TAIL + 1):
            for hours in (SETTLE, SETTLE + 6 * HOUR + 30 * MINUTE):
                step = START + n * DAY + hours
                if not any(span.holds(step) for span in down):
                    yield step

    @property
    def _never(self) -> datetime:
        return START + 2 * self.days * DAY

    def _at(self, share: float) -> datetime:
        """Return an instant on the grid, at this share of the story or up to a hundredth of the story later."""
        cells = (self.days * DAY) // STEP
        return START + int(cells * (share + self.random.uniform(0.0, 0.01))) * STEP

    def _length(self, least: timedelta, most: timedelta) -> timedelta:
        return self.random.randint(least // STEP, most // STEP) * STEP

    def _span(self, shortest: timedelta, longest: timedelta) -> Span:
        length = self._length(shortest, longest)
        start = START + self._length(DAY, (self.days - 1) * DAY - length)
        return Span(start, start + length)
