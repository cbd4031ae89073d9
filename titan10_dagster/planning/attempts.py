"""Decide when to repeat the requests for days that earlier runs did not complete.

After an attempt, the pause is as long as the time from the first attempt to this attempt. Therefore pauses double, and
no counter of attempts is needed. A pause takes at least five minutes and at most a week.

If runs for a day fail again and again, the day is requested together with fewer and fewer other days. So a day on which
every run fails, for example for lack of memory, does not stop its neighbours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from titan10_dagster.candles.slices import days

FIRST_RETRY = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(days=7)
LONGEST_REST = timedelta(hours=6)  # the longest pause for days that did not fail, after failed runs of their exchange


@dataclass(frozen=True)
class Attempt:
    """A run that was requested earlier.

    first, last: the days of the run, including both.
    at: the time of the request (aware, UTC).
    in_flight: whether the run has not ended yet.
    failed: whether the run ended with a failure.
    """

    exchange: str
    first: date
    last: date
    symbols: frozenset[str]
    at: datetime
    in_flight: bool
    failed: bool = False


def pause(since_first: timedelta, shortest: timedelta = FIRST_RETRY) -> timedelta:
    """Return how long to wait after an attempt. `since_first`: the time between the first attempt and this attempt."""
    return min(max(since_first, shortest), LONGEST_PAUSE)


class Attempts:
    """The attempts (earlier runs), with access by exchange and by day."""

    def __init__(self, attempts: Iterable[Attempt]) -> None:
        self._by_day: defaultdict[tuple[str, date], list[Attempt]] = defaultdict(list)
        self._by_exchange: defaultdict[str, list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            self._by_exchange[attempt.exchange].append(attempt)
            for day in days(attempt.first, attempt.last):
                self._by_day[attempt.exchange, day].append(attempt)

    @property
    def in_flight(self) -> set[str]:
        """Return the exchanges with a run that has not ended yet."""
        found = set()
        for exchange, attempts in self._by_exchange.items():
            if any(attempt.in_flight for attempt in attempts):
                found.add(exchange)
        return found

    def times(self, exchange: str, day: date, symbol: str) -> list[datetime]:
        """Return the times at which runs were requested for the slice of this symbol and day."""
        return [attempt.at for attempt in self._by_day.get((exchange, day), ()) if symbol in attempt.symbols]

    def not_before(self, exchange: str, day: date, symbol: str) -> datetime | None:
        """Return when the slice of a missing day can be requested again; None if no known attempt requested it."""
        times = self.times(exchange, day, symbol)
        if not times:
            return None
        last = max(times)
        return last + pause(last - min(times))

    def due(self, exchange: str, day: date, symbols: Sequence[str], now: datetime) -> Sequence[str]:
        """Return the symbols to request at `now`. `symbols`: the symbols for which this day is missing."""
        if (exchange, day) not in self._by_day:
            return symbols
        due = []
        for symbol in symbols:
            until = self.not_before(exchange, day, symbol)
            if until is None or until <= now:
                due.append(symbol)
        return due

    def days_together(self, exchange: str, day: date, most: int) -> int:
        """Return the largest number of days for a run with this day. Each failed run after the second halves `most`."""
        failed = sum(attempt.failed for attempt in self._by_day.get((exchange, day), ()))
        return max(most >> max(failed - 2, 0), 1)

    def rests_until(self, exchange: str) -> datetime | None:
        """Return the end of an exchange's pause after failed attempts. During the pause, no history is requested.

        The pause takes at most LONGEST_REST, because other days can possibly be fetched.

        The result is None if the last finished attempt succeeded, or if no attempt has finished.
        """
        ended = [attempt for attempt in self._by_exchange[exchange] if not attempt.in_flight]
        ended.sort(key=lambda attempt: attempt.at, reverse=True)
        failed: list[datetime] = []
        for attempt in ended:
            if not attempt.failed:
                break
            failed.append(attempt.at)
        if not failed:
            return None
        last, first = failed[0], failed[-1]
        return last + min(pause(last - first), LONGEST_REST)
