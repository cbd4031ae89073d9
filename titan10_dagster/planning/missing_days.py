"""Find the days without a ledger row, and classify them as holes or history.

The days of a hole should be in the database, and the repair sensor fetches these days. The days of history were never
requested, or only by the autopilot. A backfill or the autopilot fetches these days.

A series is on duty if Titan-10 fetches its days regularly. Live polling fetches a day on the same day, and the daily
settlement fetches a day on the next day. The first day that was fetched in this way is the first day on duty. Each
symbol has its own first day on duty.

| days without a ledger row | class | probable reason |
|-|-|-|
| days after the first day on duty | hole | Titan-10 was down |
| a stretch of at most 31 days between days with ledger rows | hole | a run of a backfill failed |
| days of a run that was requested and failed | hole | the run failed |
| all other days since the first day in the exchange's settings | history | the days were never requested |

If a user only fetches an old day as a test, the series is not on duty. Therefore the days after this old day are
history, and they are not repaired.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from titan10_dagster.candles.timeframes import Timeframe

# A stretch with more missing days than this is history. Exception: the series was already on duty (see above).
LONGEST_HOLE = 31

_DAY = timedelta(days=1)


@dataclass(frozen=True, order=True)
class Stretch:
    """The UTC days from `first` to `last`, including both. `first` must not be after `last`."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    def __iter__(self) -> Iterator[date]:
        return (self.first + n * _DAY for n in range(self.days))


@dataclass(frozen=True)
class KnownDays:
    """The days with ledger rows of one or more series of an exchange. All of these series have the same days.

    Attributes:
        stretches: the days as stretches in ascending order. At least one day without a row is between two stretches.
        on_duty_since: the first day that was fetched before the end of the following day. None if there is no such day.
            Also None if no day is missing after the first day with a row, because the value is not needed then.
    """

    exchange: str
    timeframe: Timeframe
    symbols: tuple[str, ...]
    stretches: tuple[Stretch, ...]
    on_duty_since: date | None


@dataclass(frozen=True)
class MissingDays:
    """Days that are missing for all symbols in `symbols`, usually because they have no ledger row.

    Days that REST no longer serves are also missing if the archive should be tried for them.
    """

    exchange: str
    timeframe: Timeframe
    symbols: tuple[str, ...]
    stretch: Stretch

    @property
    def slices(self) -> int:
        return self.stretch.days * len(self.symbols)


@dataclass(frozen=True)
class Missing:
    """All missing days, classified as holes and history (see the table at the top of this module)."""

    holes: tuple[MissingDays, ...]
    history: tuple[MissingDays, ...]


def missing_days(known: Iterable[KnownDays], starts: Mapping[str, date], yesterday: date) -> Missing:
    """Return the days without a ledger row up to `yesterday`.

    `starts`: the first day of each exchange in the settings.
    """
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
        symbols: the symbols of the run; None means all symbols.
        at: the time at which the run ended (aware, UTC); None if the time is not known.
    """

    exchange: str
    stretch: Stretch
    symbols: frozenset[str] | None = None
    at: datetime | None = None


def with_failed_requests(missing: Missing, failed: Iterable[FailedRequest]) -> Missing:
    """Return the missing days. The days of failed runs are classified as holes and not as history.

    If a run dies before it stores anything, its days have no ledger rows. Then the oldest days of a series look like
    history that was never requested. But these days were requested, and possibly their files are already in the landing
    zone.
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
    """Return the missing days of failed runs. Both holes and history are searched."""
    every = Missing((), (*missing.holes, *missing.history))
    return list(with_failed_requests(every, failed).holes)


def _days_by_symbols(missing: MissingDays, requests: Sequence[FailedRequest]) -> dict[date, frozenset[str]]:
    """Return the symbols of failed runs for each missing day that such a run should have fetched."""
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
    """Split the stretch into parts in which all days have the same symbols. Yield each part's symbols and days."""
    none: frozenset[str] = frozenset()
    first = stretch.first
    for day in stretch:
        is_end = day == stretch.last
        if is_end or symbols.get(day + _DAY, none) != symbols.get(day, none):
            yield symbols.get(day, none), Stretch(first, day)
            first = day + _DAY


def _part(missing: MissingDays, stretch: Stretch, symbols: frozenset[str]) -> MissingDays:
    """Return the missing days, reduced to the given days and symbols."""
    ordered = tuple(symbol for symbol in missing.symbols if symbol in symbols)
    return MissingDays(missing.exchange, missing.timeframe, ordered, stretch)


def between(known: Sequence[Stretch], first: date, last: date) -> Iterator[Stretch]:
    """Yield the days from `first` to `last` that are not in `known`, as stretches in ascending order.

    `known`: stretches in ascending order.
    """
    for stretch in known:
        if stretch.first > last:
            break
        if first < stretch.first:
            yield Stretch(first, stretch.first - _DAY)
        first = max(first, stretch.last + _DAY)
    if first <= last:
        yield Stretch(first, last)


def is_hole(stretch: Stretch, known: KnownDays) -> bool:
    """Return whether the missing days are a hole and not history (see the table at the top of this module)."""
    if known.on_duty_since is not None and stretch.first > known.on_duty_since:
        return True
    if not known.stretches or stretch.days > LONGEST_HOLE:
        return False
    return known.stretches[0].last < stretch.first and stretch.last < known.stretches[-1].first


def around(day: date, days: Collection[date], most: int) -> Stretch:
    """Return a stretch that contains `day` and has at most `most` days. All of its other days are in `days`.

    The stretch grows first towards earlier days, then towards later days.
    """
    first = last = day
    while (last - first).days + 1 < most:
        if first - _DAY in days:
            first -= _DAY
        elif last + _DAY in days:
            last += _DAY
        else:
            break
    return Stretch(first, last)
