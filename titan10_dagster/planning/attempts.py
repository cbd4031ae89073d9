"""Runs that were requested before, and when to ask again for what they did not bring.

Nothing counts the looks: the next pause is as long as the time from the first look to the last, which doubles it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from titan10_dagster.candles.slices import days

FIRST_RETRY = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(days=7)


@dataclass(frozen=True)
class Attempt:
    """A run that was requested before: the days `first` to `last` of these symbols."""

    exchange: str
    first: date
    last: date
    symbols: frozenset[str]
    at: datetime
    in_flight: bool
    failed: bool = False


def pause(since_first: timedelta, shortest: timedelta = FIRST_RETRY) -> timedelta:
    """How long to wait after a look that came `since_first` after the first one."""
    return min(max(since_first, shortest), LONGEST_PAUSE)


class Attempts:
    """The attempts, by day."""

    def __init__(self, attempts: Iterable[Attempt]) -> None:
        self._by_day: defaultdict[tuple[str, date], list[Attempt]] = defaultdict(list)
        self._by_exchange: defaultdict[str, list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            self._by_exchange[attempt.exchange].append(attempt)
            for day in days(attempt.first, attempt.last):
                self._by_day[attempt.exchange, day].append(attempt)

    @property
    def in_flight(self) -> set[str]:
        """The exchanges of which one has not ended yet."""
        return {name for name, ones in self._by_exchange.items() if any(one.in_flight for one in ones)}

    def looks(self, exchange: str, day: date, symbol: str) -> list[datetime]:
        """When the slice was asked for."""
        return [one.at for one in self._by_day.get((exchange, day), ()) if symbol in one.symbols]

    def not_before(self, exchange: str, day: date, symbol: str) -> datetime | None:
        """When to ask again for a slice of which the ledger knows nothing; None: nobody asked for it yet."""
        looks = self.looks(exchange, day, symbol)
        return max(looks) + pause(max(looks) - min(looks)) if looks else None

    def due(self, exchange: str, day: date, symbols: Sequence[str], now: datetime) -> Sequence[str]:
        """Those of `symbols` to ask for now, if the ledger knows nothing of their slices of this day."""
        if (exchange, day) not in self._by_day:
            return symbols
        waits = {symbol: self.not_before(exchange, day, symbol) for symbol in symbols}
        return [symbol for symbol, until in waits.items() if until is None or until <= now]

    def rests_until(self, exchange: str) -> datetime | None:
        """When to ask the exchange for anything again, after attempts that failed one after the other; None: now."""
        ended = sorted((one for one in self._by_exchange[exchange] if not one.in_flight), key=lambda one: one.at)
        failed: list[datetime] = []
        for one in reversed(ended):
            if not one.failed:
                break
            failed.append(one.at)
        return failed[0] + pause(failed[0] - failed[-1]) if failed else None
