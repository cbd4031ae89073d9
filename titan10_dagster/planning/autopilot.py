"""The autopilot: it requests missing history chunk by chunk until no history is missing.

A chunk has consecutive days of one exchange. It has at most as many days as one backfill run fetches. If a chunk fails,
its days are requested again after pauses that double, like the days of a repair. In these pauses no other chunk of this
exchange is requested, but for at most six hours (`attempts.LONGEST_REST`). Other exchanges continue.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from titan10_dagster.planning.attempts import Attempt, Attempts
from titan10_dagster.planning.missing_days import MissingDays, around
from titan10_dagster.planning.repairs import Repairable, due_of_hole


class Order(StrEnum):
    """The order in which missing history is fetched."""

    NEWEST_FIRST = "newest_first"
    OLDEST_FIRST = "oldest_first"


@dataclass(frozen=True)
class Chunk:
    """The days of one run: `first` to `last` (including both) of one exchange.

    `symbols`: the symbols for which at least one of these days is requested.
    """

    exchange: str
    first: date
    last: date
    symbols: tuple[str, ...]


@dataclass(frozen=True)
class HistoryPlan:
    """The chunks to request now, at most one for each exchange, and the exchanges without a chunk.

    Attributes:
        missing: the number of missing days for each exchange, including the days of the chunks.
        busy: the exchanges without a chunk because a run is fetching their days, for example an earlier chunk.
        blocked: the exchanges without a chunk because their breaker is open.
        resting: the exchanges without a chunk because of a pause after a failed attempt, or because the daily
            settlement comes first.
    """

    chunks: tuple[Chunk, ...]
    missing: Mapping[str, int]
    busy: tuple[str, ...]
    blocked: tuple[str, ...]
    resting: tuple[str, ...]


def plan_history(
    history: Iterable[MissingDays],
    *,
    exchanges: Mapping[str, Repairable],
    attempts: Sequence[Attempt] = (),
    now: datetime,
    order: Order = Order.NEWEST_FIRST,
) -> HistoryPlan:
    """Return the chunks of history to request at `now` (aware, UTC).

    `history`: the missing days. Days of exchanges that are not in `exchanges` are ignored.
    """
    known = Attempts(attempts)
    in_flight = known.in_flight
    missing = _by_exchange(history, exchanges)
    chunks: list[Chunk] = []
    busy: list[str] = []
    blocked: list[str] = []
    resting: list[str] = []
    for name, stretches in missing.items():
        if exchanges[name].under_way or name in in_flight:
            busy.append(name)
        elif exchanges[name].is_blocked(now):
            blocked.append(name)
        elif (chunk := _chunk(name, stretches, exchanges[name].days_per_run, known, now, order)) is not None:
            chunks.append(chunk)
        else:
            resting.append(name)
    return HistoryPlan(
        chunks=tuple(chunks),
        missing={name: _count_days(stretches) for name, stretches in missing.items()},
        busy=tuple(sorted(busy)),
        blocked=tuple(sorted(blocked)),
        resting=tuple(sorted(resting)),
    )


def _by_exchange(history: Iterable[MissingDays], exchanges: Mapping[str, Repairable]) -> dict[str, list[MissingDays]]:
    by_exchange: defaultdict[str, list[MissingDays]] = defaultdict(list)
    for missing in history:
        if missing.exchange in exchanges:
            by_exchange[missing.exchange].append(missing)
    return by_exchange


def _count_days(missing: Iterable[MissingDays]) -> int:
    """Return the number of days that are missing for at least one symbol."""
    days: set[date] = set()
    for days_missing in missing:
        days.update(days_missing.stretch)
    return len(days)


def _chunk(
    exchange: str, missing: Sequence[MissingDays], most: int, known: Attempts, now: datetime, order: Order
) -> Chunk | None:
    """Return the next chunk of the exchange, with at most `most` days.

    The result is None if no day is due, or during a pause after failed attempts.
    """
    rests_until = known.rests_until(exchange)
    if rests_until is not None and now < rests_until:
        return None
    due: defaultdict[date, set[str]] = defaultdict(set)
    for days_missing in missing:
        for day in days_missing.stretch:
            symbols = due_of_hole(days_missing, day, known, now)
            if symbols:
                due[day].update(symbols)
    if not due:
        return None
    day = max(due) if order is Order.NEWEST_FIRST else min(due)
    stretch = around(day, due, known.days_together(exchange, day, most))
    concerned = set().union(*(due[day] for day in stretch))
    return Chunk(exchange, stretch.first, stretch.last, tuple(sorted(concerned)))
