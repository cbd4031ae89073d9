"""Days of which the ledger knows nothing, and whose they are.

| days without a row | are | and come |
|-|-|-|
| after we were first on duty for the series | a hole: an outage of our own | by themselves |
| between days that are known, a month or less | a hole: of a backfill, one run failed | by themselves |
| all others back to the exchange's start | history that nobody asked for yet | by a backfill, or by the autopilot |

On duty: the day was fetched on the day itself or the next one, as live polling and the daily settlement do. So one old
day, fetched on trial, does not set off the years that follow it; and a symbol that is added later has its own duty.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from titan10_dagster.candles.timeframes import Timeframe

LONGEST_HOLE = 31  # days, between known days from before we were on duty

_DAY = timedelta(days=1)


@dataclass(frozen=True, order=True)
class Stretch:
    """The UTC days `first` to `last`, both included; `first` is not after `last`."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    def __iter__(self) -> Iterator[date]:
        return (self.first + n * _DAY for n in range(self.days))


@dataclass(frozen=True)
class KnownDays:
    """The days that the ledger knows of some series of an exchange, the same of each of `symbols`.

    `stretches` ascend, and neither overlap nor touch. `on_duty_since`: the first day that was fetched as it ended.
    """

    exchange: str
    timeframe: Timeframe
    symbols: tuple[str, ...]
    stretches: tuple[Stretch, ...]
    on_duty_since: date | None


@dataclass(frozen=True)
class MissingDays:
    """Days of some symbols of an exchange of which the ledger knows nothing."""

    exchange: str
    timeframe: Timeframe
    symbols: tuple[str, ...]
    stretch: Stretch

    @property
    def slices(self) -> int:
        return self.stretch.days * len(self.symbols)


@dataclass(frozen=True)
class Missing:
    """All missing days, by whose they are; see the table above."""

    holes: tuple[MissingDays, ...]
    history: tuple[MissingDays, ...]


def missing_days(known: Iterable[KnownDays], starts: Mapping[str, date], yesterday: date) -> Missing:
    """What the ledger does not know from each exchange's day of start to `yesterday`."""
    holes: list[MissingDays] = []
    history: list[MissingDays] = []
    for one in known:
        for stretch in between(one.stretches, starts[one.exchange], yesterday):
            whose = holes if is_hole(stretch, one) else history
            whose.append(MissingDays(one.exchange, one.timeframe, one.symbols, stretch))
    return Missing(tuple(holes), tuple(history))


def between(known: Sequence[Stretch], first: date, last: date) -> Iterator[Stretch]:
    """The days from `first` to `last` that are in none of `known`, which ascend; ascending."""
    for stretch in known:
        if stretch.first > last:
            break
        if first < stretch.first:
            yield Stretch(first, stretch.first - _DAY)
        first = max(first, stretch.last + _DAY)
    if first <= last:
        yield Stretch(first, last)


def is_hole(stretch: Stretch, known: KnownDays) -> bool:
    """Whether the missing days are an outage of ours, or of a backfill; see the table above."""
    if known.on_duty_since is not None and stretch.first > known.on_duty_since:
        return True
    if not known.stretches or stretch.days > LONGEST_HOLE:
        return False
    return known.stretches[0].last < stretch.first and stretch.last < known.stretches[-1].first


def around(day: date, days: Collection[date], most: int) -> Stretch:
    """The longest stretch of `days` around one of them, up to `most`; first those before it."""
    first = last = day
    while (last - first).days + 1 < most:
        if first - _DAY in days:
            first -= _DAY
        elif last + _DAY in days:
            last += _DAY
        else:
            break
    return Stretch(first, last)
