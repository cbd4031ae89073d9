"""What to fetch again now: slices of past days that miss candles without a final reason, and when each is due.

| slice | looked at again |
|-|-|
| live, though its day is over | an hour after the daily settlement should have had it |
| partial: its symbol failed, or it was withheld | after 5 minutes, then each time after about twice as long |
| settled, with an unexplained gap | 6 hours after the look that counted; a second one settles it |
| settled, with a candle in quarantine | after 6 hours, then each time after about twice as long |

Nothing counts the looks: the next pause is as long as the time from the first look to the last, which doubles it. An
attempt that left no trace in the ledger, because its run failed, is a look as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from titan10_dagster.candles.gaps import SECOND_LOOK
from titan10_dagster.candles.health import Health, Permit, may_request
from titan10_dagster.candles.slices import Slice

FIRST_RETRY = timedelta(minutes=5)
LONGEST_PAUSE = timedelta(days=7)
SETTLEMENT = timedelta(hours=2)  # after midnight: the daily schedule
OVERDUE = timedelta(hours=3)
SLACK = 2  # candles: the horizon moves while a run starts

_DAY = timedelta(days=1)
Days = dict[date, set[str]]  # the symbols that are due, by day


@dataclass(frozen=True)
class OpenSlice:
    """A slice that misses candles without a final reason; instants are aware and UTC.

    `fetched_at`: the last look that the ledger knows. `first_seen`: of its open gaps, the first; `unexplained_seen`:
    the last counted look at those of them that nobody explained, None if all are in quarantine; `missing_until`: the
    end of the last of them. A slice without a gap has `fetched_at` and its own end there.
    """

    slice: Slice
    state: str
    fetched_at: datetime
    first_seen: datetime
    unexplained_seen: datetime | None
    missing_until: datetime


@dataclass(frozen=True)
class Attempt:
    """A repair that was requested before: the days `first` to `last` of these symbols."""

    exchange: str
    first: date
    last: date
    symbols: frozenset[str]
    at: datetime
    in_flight: bool


@dataclass(frozen=True)
class Repairable:
    """What a plan must know of an exchange; `depth`: how many candles back from now it gives, None for all."""

    health: Health
    depth: int | None
    days_per_run: int


@dataclass(frozen=True)
class RepairLimits:
    """Most partitions of one plan, and most runs of one exchange in it."""

    partitions: int = 62
    runs: int = 2


@dataclass(frozen=True)
class Repair:
    """One run: the days `first` to `last` (both included) of one exchange, and the symbols concerned."""

    exchange: str
    first: date
    last: date
    symbols: tuple[str, ...]
    perishable: bool

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


@dataclass(frozen=True)
class RepairPlan:
    """What to repair now, most urgent first. Of the open slices, `waiting` are not due yet, `busy` belong to an
    exchange with a repair under way, `shut_out` to one whose breaker is open, `postponed` found no room."""

    repairs: tuple[Repair, ...]
    waiting: int
    busy: int
    shut_out: int
    postponed: int


def plan_repairs(
    slices: Iterable[OpenSlice],
    *,
    exchanges: Mapping[str, Repairable],
    attempts: Sequence[Attempt] = (),
    now: datetime,
    limits: RepairLimits | None = None,
) -> RepairPlan:
    """Which days of which exchanges to fetch again now, and for which symbols.

    First what the exchange will soon not give any more, then the newest; last what it gives no more already: that
    costs no request, and the run only writes down why the candles are missing. Exchanges that are not in
    `exchanges`, and days that are not over, are left out.
    """
    in_flight = {attempt.exchange for attempt in attempts if attempt.in_flight}
    shut = {name for name, one in exchanges.items() if may_request(one.health, now).permit is Permit.REFUSED}
    known = [one for one in slices if one.slice.series.exchange in exchanges and one.slice.end <= now]
    shut_out = [one for one in known if one.slice.series.exchange in shut]
    busy = [one for one in known if one.slice.series.exchange in in_flight - shut]
    free = [one for one in known if one.slice.series.exchange not in in_flight | shut]
    looks = _Looks(attempts)
    due = [one for one in free if is_due(one, exchanges[one.slice.series.exchange].depth, looks.last(one), now)]
    repairs, taken = _repairs(due, exchanges, now, limits or RepairLimits())
    return RepairPlan(
        repairs=tuple(repairs),
        waiting=len(free) - len(due),
        busy=len(busy),
        shut_out=len(shut_out),
        postponed=len(due) - taken,
    )


def is_due(one: OpenSlice, depth: int | None, last_look: datetime, now: datetime) -> bool:
    """Whether to look again now; never at a candle in quarantine that the exchange gives no more."""
    if one.state == "settled" and one.unexplained_seen is None and _reach(one, depth, now) <= timedelta(0):
        return False
    return now >= due_at(one, last_look)


def due_at(one: OpenSlice, last_look: datetime) -> datetime:
    """When to look again after `last_look`; see the table above."""
    if one.state == "live" and last_look <= one.fetched_at:
        return one.slice.end + OVERDUE
    if one.state == "settled":
        return last_look + _pause(last_look - (one.unexplained_seen or one.first_seen), SECOND_LOOK)
    # A gap of live polling is older than the first fetch of the whole day.
    return last_look + _pause(last_look - max(one.first_seen, one.slice.end + SETTLEMENT), FIRST_RETRY)


def _pause(since_first: timedelta, shortest: timedelta) -> timedelta:
    return min(max(since_first, shortest), LONGEST_PAUSE)


def _reach(one: OpenSlice, depth: int | None, now: datetime) -> timedelta:
    """For how long the exchange still gives the last of the missing candles; not positive: it does not."""
    if depth is None:
        return timedelta.max
    return one.missing_until + (depth - SLACK) * one.slice.series.timeframe.delta - now


class _Looks:
    """The attempts, by day."""

    def __init__(self, attempts: Iterable[Attempt]) -> None:
        self._by_day: defaultdict[tuple[str, date], list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            for n in range((attempt.last - attempt.first).days + 1):
                self._by_day[attempt.exchange, attempt.first + n * _DAY].append(attempt)

    def last(self, one: OpenSlice) -> datetime:
        """The last look at the slice, whether the ledger knows of it or not."""
        attempts = self._by_day.get((one.slice.series.exchange, one.slice.day), ())
        symbol = one.slice.series.symbol
        return max([one.fetched_at, *(attempt.at for attempt in attempts if symbol in attempt.symbols)])


def _urgency(one: OpenSlice, depth: int | None, now: datetime) -> tuple[int, timedelta]:
    """Sorts: what perishes, the soonest first; what stays, the newest first; what is gone."""
    reach = _reach(one, depth, now)
    if reach <= timedelta(0):
        return 2, now - one.slice.end
    return (1, now - one.slice.end) if depth is None else (0, reach)


def _repairs(
    due: Sequence[OpenSlice], exchanges: Mapping[str, Repairable], now: datetime, limits: RepairLimits
) -> tuple[list[Repair], int]:
    """The runs, and how many slices of `due` are in them."""
    open_: defaultdict[str, Days] = defaultdict(lambda: defaultdict(set))
    for one in due:
        open_[one.slice.series.exchange][one.slice.day].add(one.slice.series.symbol)
    ranked = sorted((_urgency(one, exchanges[one.slice.series.exchange].depth, now), one.slice) for one in due)
    repairs: list[Repair] = []
    taken = 0
    for (class_, _), slice_ in ranked:
        name = slice_.series.exchange
        room = min(limits.partitions - sum(one.days for one in repairs), exchanges[name].days_per_run)
        if slice_.day not in open_[name] or room < 1 or sum(one.exchange == name for one in repairs) >= limits.runs:
            continue
        first, last = _around(slice_.day, open_[name], room)
        symbols = [open_[name].pop(first + n * _DAY) for n in range((last - first).days + 1)]
        taken += sum(map(len, symbols))
        repairs.append(Repair(name, first, last, tuple(sorted(set().union(*symbols))), class_ == 0))
    return repairs, taken


def _around(day: date, due: Days, most: int) -> tuple[date, date]:
    """The longest stretch of due days around `day`, up to `most` of them; first those before it."""
    first = last = day
    while (last - first).days + 1 < most:
        if first - _DAY in due:
            first -= _DAY
        elif last + _DAY in due:
            last += _DAY
        else:
            break
    return first, last
