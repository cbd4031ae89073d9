"""The autopilot: missing history, chunk by chunk, until there is none.

A chunk is a contiguous range of days of one exchange, as many as a backfill run takes of it. Where one failed, its days
wait as those of a repair do, ever longer, and so does its exchange until one succeeds: the others go on.
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
    """Which end of the missing history comes first."""

    NEWEST_FIRST = "newest_first"
    OLDEST_FIRST = "oldest_first"


@dataclass(frozen=True)
class Chunk:
    """One run: the days `first` to `last` (both included) of one exchange, and the symbols that miss any of them."""

    exchange: str
    first: date
    last: date
    symbols: tuple[str, ...]


@dataclass(frozen=True)
class HistoryPlan:
    """What to request now, at most one chunk an exchange. `missing`: the days that each exchange misses, these chunks
    included; the exchanges that do and get no chunk are `busy` (days of them are being fetched), `shut_out` (their
    breaker is open) or `resting` (after a failure, or before the daily settlement)."""

    chunks: tuple[Chunk, ...]
    missing: Mapping[str, int]
    busy: tuple[str, ...]
    shut_out: tuple[str, ...]
    resting: tuple[str, ...]


def plan_history(
    history: Iterable[MissingDays],
    *,
    exchanges: Mapping[str, Repairable],
    attempts: Sequence[Attempt] = (),
    now: datetime,
    order: Order = Order.NEWEST_FIRST,
) -> HistoryPlan:
    """Which chunk of history to request now of each exchange that misses some, and is neither busy nor shut."""
    tried = Attempts(attempts)
    missing = _by_exchange(one for one in history if one.exchange in exchanges)
    busy = {name for name in missing if exchanges[name].under_way} | tried.in_flight & missing.keys()
    shut = {name for name in missing if exchanges[name].is_shut(now)} - busy
    free = [name for name in missing if name not in busy | shut]
    chunks = [_chunk(name, missing[name], exchanges[name].days_per_run, tried, now, order) for name in free]
    found = tuple(one for one in chunks if one is not None)
    return HistoryPlan(
        chunks=found,
        missing={name: len({day for one in ones for day in one.stretch}) for name, ones in missing.items()},
        busy=tuple(sorted(busy)),
        shut_out=tuple(sorted(shut)),
        resting=tuple(sorted(set(free) - {one.exchange for one in found})),
    )


def _by_exchange(history: Iterable[MissingDays]) -> dict[str, list[MissingDays]]:
    by_exchange: defaultdict[str, list[MissingDays]] = defaultdict(list)
    for one in history:
        by_exchange[one.exchange].append(one)
    return by_exchange


def _chunk(
    exchange: str, missing: Sequence[MissingDays], most: int, tried: Attempts, now: datetime, order: Order
) -> Chunk | None:
    rests_until = tried.rests_until(exchange)
    if rests_until is not None and now < rests_until:
        return None
    due: defaultdict[date, set[str]] = defaultdict(set)
    for one in missing:
        for day in one.stretch:
            symbols = due_of_hole(one, day, tried, now)
            if symbols:
                due[day].update(symbols)
    if not due:
        return None
    stretch = around(max(due) if order is Order.NEWEST_FIRST else min(due), due, most)
    return Chunk(exchange, stretch.first, stretch.last, tuple(sorted(set().union(*(due[day] for day in stretch)))))
