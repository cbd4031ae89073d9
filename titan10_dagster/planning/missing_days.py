"""Days without a ledger row, classified as holes or history.

| days without a ledger row | are | and are fetched |
|-|-|-|
| after the series was first on duty | a hole: Titan-10 was down | by the repair sensor |
| between known days, a month or less | a hole: one run of a backfill failed | by the repair sensor |
| of a run that was requested and failed | always a hole | by the repair sensor |
| all others, back to the exchange's start | history that was never requested | by a backfill, or by the autopilot |

A series is on duty from its first day that was fetched on that day or on the day after. Live polling and the daily
settlement fetch days so early. A single old day, fetched as a test, therefore starts no download of the years after it.
A symbol that is added later has its own first day of duty.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from titan10_dagster.candles.timeframes import Timeframe

LONGEST_HOLE = 31  # days; for holes between known days from before the series was on duty

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
    """The days with ledger rows, for several series of one exchange with the same days.

    Attributes:
        stretches: in ascending order; they neither overlap nor touch.
        on_duty_since: the first day that was fetched on that day or the day after; None if there is none.
    """

    exchange: str
    timeframe: Timeframe
    symbols: tuple[str, ...]
    stretches: tuple[Stretch, ...]
    on_duty_since: date | None


@dataclass(frozen=True)
class MissingDays:
    """Days without a ledger row, the same for each of `symbols`."""

    exchange: str
    timeframe: Timeframe
    symbols: tuple[str, ...]
    stretch: Stretch

    @property
    def slices(self) -> int:
        return self.stretch.days * len(self.symbols)


@dataclass(frozen=True)
class Missing:
    """All missing days, as holes and history; see the table above."""

    holes: tuple[MissingDays, ...]
    history: tuple[MissingDays, ...]


def missing_days(known: Iterable[KnownDays], starts: Mapping[str, date], yesterday: date) -> Missing:
    """Return the days without a ledger row, from each exchange's first day to `yesterday`."""
    holes: list[MissingDays] = []
    history: list[MissingDays] = []
    for series in known:
        for stretch in between(series.stretches, starts[series.exchange], yesterday):
            missing = MissingDays(series.exchange, series.timeframe, series.symbols, stretch)
            if is_hole(stretch, series):
                holes.append(missing)
            else:
                history.append(missing)
    return Missing(tuple(holes), tuple(history))


@dataclass(frozen=True)
class FailedRequest:
    """Days of an exchange that a failed run should have fetched.

    Attributes:
        symbols: None means all symbols.
        at: when the run ended, aware and UTC; None if that is not known.
    """

    exchange: str
    stretch: Stretch
    symbols: frozenset[str] | None = None
    at: datetime | None = None


def with_failed_requests(missing: Missing, failed: Iterable[FailedRequest]) -> Missing:
    """Return the missing days, with the days of failed runs as holes and not as history.

    If a run dies before it stores anything, its days have no ledger rows. The oldest days of a series then look like
    history that was never requested, although their files may even have landed.
    """
    requests = list(failed)
    holes, history = list(missing.holes), []
    for days_ in missing.history:
        failed_days = _days_by_symbols(days_, requests)
        if not failed_days:
            history.append(days_)
            continue
        every_symbol = frozenset(days_.symbols)
        for symbols, stretch in _runs(days_.stretch, failed_days):
            if symbols:
                holes.append(_part(days_, stretch, symbols))
            if symbols != every_symbol:
                history.append(_part(days_, stretch, every_symbol - symbols))
    return Missing(tuple(holes), tuple(history))


def still_missing(missing: Missing, failed: Iterable[FailedRequest]) -> list[MissingDays]:
    """Return the missing days, holes and history alike, that failed runs should have fetched."""
    every = Missing((), (*missing.holes, *missing.history))
    return list(with_failed_requests(every, failed).holes)


def _days_by_symbols(missing: MissingDays, requests: Sequence[FailedRequest]) -> dict[date, frozenset[str]]:
    """Return the symbols that failed runs should have fetched, for each of these missing days."""
    found: dict[date, frozenset[str]] = {}
    for request in requests:
        if request.exchange != missing.exchange:
            continue
        symbols = frozenset(missing.symbols) & (request.symbols or frozenset(missing.symbols))
        first = max(request.stretch.first, missing.stretch.first)
        last = min(request.stretch.last, missing.stretch.last)
        if symbols and first <= last:
            for day in Stretch(first, last):
                found[day] = found.get(day, frozenset()) | symbols
    return found


def _runs(stretch: Stretch, symbols: Mapping[date, frozenset[str]]) -> Iterator[tuple[frozenset[str], Stretch]]:
    """Yield the parts of the stretch, in ascending order. All days of a part have the same symbols."""
    none: frozenset[str] = frozenset()
    first = stretch.first
    for day in stretch:
        is_end = day == stretch.last
        if is_end or symbols.get(day + _DAY, none) != symbols.get(day, none):
            yield symbols.get(day, none), Stretch(first, day)
            first = day + _DAY


def _part(missing: MissingDays, stretch: Stretch, symbols: frozenset[str]) -> MissingDays:
    """Return a part of the missing days, with only these symbols, in their order."""
    ordered = tuple(symbol for symbol in missing.symbols if symbol in symbols)
    return MissingDays(missing.exchange, missing.timeframe, ordered, stretch)


def between(known: Sequence[Stretch], first: date, last: date) -> Iterator[Stretch]:
    """Yield the days from `first` to `last` that are in none of the stretches `known`. Both are in ascending order."""
    for stretch in known:
        if stretch.first > last:
            break
        if first < stretch.first:
            yield Stretch(first, stretch.first - _DAY)
        first = max(first, stretch.last + _DAY)
    if first <= last:
        yield Stretch(first, last)


def is_hole(stretch: Stretch, known: KnownDays) -> bool:
    """Return whether the missing days are a hole; see the table above."""
    if known.on_duty_since is not None and stretch.first > known.on_duty_since:
        return True
    if not known.stretches or stretch.days > LONGEST_HOLE:
        return False
    return known.stretches[0].last < stretch.first and stretch.last < known.stretches[-1].first


def around(day: date, days: Collection[date], most: int) -> Stretch:
    """Return the longest stretch of `days` around one of them, at most `most` long. Earlier days come first."""
    first = last = day
    while (last - first).days + 1 < most:
        if first - _DAY in days:
            first -= _DAY
        elif last + _DAY in days:
            last += _DAY
        else:
            break
    return Stretch(first, last)
