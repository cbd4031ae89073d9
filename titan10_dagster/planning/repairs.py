"""What to fetch again now: slices of past days that miss candles without a final reason, and when each is due.

| slice | looked at again |
|-|-|
| live, though its day is over | an hour after the daily settlement should have had it |
| a hole: the ledger knows nothing of it | likewise; then after 5 minutes, then each time after about twice as long |
| partial: its symbol failed, or it was withheld | after 5 minutes, then each time after about twice as long |
| settled, with an unexplained gap | 6 hours after the look that counted; a second one settles it |
| settled, with a candle in quarantine | after 6 hours, then each time after about twice as long |

The pauses are those of `attempts.pause`. An attempt that left no trace in the ledger, because its run failed, is a look
as well.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from titan10_dagster.candles.gaps import SECOND_LOOK
from titan10_dagster.candles.slices import Slice, midnight
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.planning.attempts import Attempt, Attempts, pause
from titan10_dagster.planning.breaker import Health, Permit, may_request
from titan10_dagster.planning.missing_days import MissingDays, around

SETTLEMENT = timedelta(hours=2)  # after midnight: the daily schedule
OVERDUE = timedelta(hours=3)
SLACK = 2  # candles: the horizon moves while a run starts

_DAY = timedelta(days=1)
Days = dict[date, set[str]]  # the symbols that are due, by day


@dataclass(frozen=True)
class OpenSlice:
    """A slice that misses candles without a final reason; instants are aware and UTC.

    `fetched_at`: the last look that the ledger knows; of a live slice, the last poll. `first_seen`: of its open gaps,
    the first; `unexplained_seen`: the last counted look at those of them that nobody explained, None if all are in
    quarantine; `missing_until`: the end of the last of them. A slice without a gap has `fetched_at` and its own end
    there.
    """

    slice: Slice
    state: str
    fetched_at: datetime
    first_seen: datetime
    unexplained_seen: datetime | None
    missing_until: datetime

    @property
    def looked_at(self) -> datetime:
        """The last look at the whole slice: polls, which may go on after its day is over, are none."""
        return min(self.fetched_at, self.slice.end) if self.state == "live" else self.fetched_at


@dataclass(frozen=True)
class Repairable:
    """What a plan must know of an exchange.

    `depth`: how many candles back from now it gives, None for all. `under_way`: others fetch days of it now, such as a
    backfill or the daily settlement.
    """

    health: Health
    depth: int | None
    days_per_run: int
    under_way: bool = False

    def is_shut(self, now: datetime) -> bool:
        return may_request(self.health, now).permit is Permit.REFUSED


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
    """What to repair now, most urgent first. Of the other slices, `waiting` are not due yet, `busy` belong to an
    exchange of which days are being fetched, `shut_out` to one whose breaker is open, `postponed` found no room."""

    repairs: tuple[Repair, ...]
    waiting: int
    busy: int
    shut_out: int
    postponed: int


def plan_repairs(
    slices: Iterable[OpenSlice],
    *,
    holes: Iterable[MissingDays] = (),
    exchanges: Mapping[str, Repairable],
    attempts: Sequence[Attempt] = (),
    now: datetime,
    limits: RepairLimits | None = None,
) -> RepairPlan:
    """Which days of which exchanges to fetch again now, and for which symbols.

    First what the exchange will soon not give any more, then the newest; last what it gives no more already: that
    costs no request, and the run only writes down why the candles are missing. Holes that do not perish wait until
    nobody else fetches days of their exchange. Exchanges that are not in `exchanges`, and days that are not over, are
    left out.
    """
    tried = Attempts(attempts)
    in_flight = tried.in_flight
    shut = {name for name, one in exchanges.items() if one.is_shut(now)}
    wishes = [*_of_slices(slices, exchanges, tried, now), *_of_holes(holes, exchanges, tried, now)]
    busy = [one for one in wishes if one.exchange not in shut and (one.yields or one.exchange in in_flight)]
    free = [one for one in wishes if one.exchange not in shut | in_flight and not one.yields]
    due = [one for one in free if one.due]
    repairs, taken = _repairs(due, exchanges, limits or RepairLimits())
    return RepairPlan(
        repairs=tuple(repairs),
        waiting=_slices(free) - _slices(due),
        busy=_slices(busy),
        shut_out=_slices(wishes) - _slices(busy) - _slices(free),
        postponed=_slices(due) - taken,
    )


@dataclass(frozen=True)
class _Wish:
    """A day of some symbols to fetch again. `rank` sorts; `due`: now; `yields`: to others who fetch at the moment."""

    rank: tuple[int, timedelta]
    exchange: str
    day: date
    symbols: Collection[str]
    due: bool
    yields: bool = False


def _slices(wishes: Iterable[_Wish]) -> int:
    return sum(len(one.symbols) for one in wishes)


def _of_slices(
    slices: Iterable[OpenSlice], exchanges: Mapping[str, Repairable], tried: Attempts, now: datetime
) -> Iterator[_Wish]:
    for one in slices:
        series, end = one.slice.series, one.slice.end
        if series.exchange not in exchanges or end > now:
            continue
        reach = _reach(one.missing_until, series.timeframe, exchanges[series.exchange].depth, now)
        last_look = max([one.looked_at, *tried.looks(series.exchange, one.slice.day, series.symbol)])
        due = is_due(one, reach, last_look, now)
        yield _Wish(_urgency(end, reach, now), series.exchange, one.slice.day, (series.symbol,), due)


def _of_holes(
    holes: Iterable[MissingDays], exchanges: Mapping[str, Repairable], tried: Attempts, now: datetime
) -> Iterator[_Wish]:
    for hole in holes:
        if hole.exchange in exchanges:
            for day in hole.stretch:
                yield from _of_day(hole, day, exchanges[hole.exchange], tried, now)


def _of_day(hole: MissingDays, day: date, one: Repairable, tried: Attempts, now: datetime) -> Iterator[_Wish]:
    end = midnight(day) + _DAY
    rank = _urgency(end, _reach(end, hole.timeframe, one.depth, now), now)
    yields = one.under_way and rank[0] > 0
    due = due_of_hole(hole, day, tried, now)
    waiting = [symbol for symbol in hole.symbols if symbol not in due] if len(due) < len(hole.symbols) else []
    if due:
        yield _Wish(rank, hole.exchange, day, due, True, yields)
    if waiting:
        yield _Wish(rank, hole.exchange, day, waiting, False, yields)


def due_of_hole(hole: MissingDays, day: date, tried: Attempts, now: datetime) -> Sequence[str]:
    """The symbols of which to ask for this missing day now. The daily settlement comes first, and has an hour."""
    if now < midnight(day) + _DAY + OVERDUE:
        return ()
    return tried.due(hole.exchange, day, hole.symbols, now)


def is_due(one: OpenSlice, reach: timedelta | None, last_look: datetime, now: datetime) -> bool:
    """Whether to look again now; never at a candle in quarantine that the exchange gives no more (see `_reach`)."""
    gone = reach is not None and reach <= timedelta(0)
    if one.state == "settled" and one.unexplained_seen is None and gone:
        return False
    return now >= due_at(one, last_look)


def due_at(one: OpenSlice, last_look: datetime) -> datetime:
    """When to look again after `last_look`; see the table above."""
    if one.state == "live" and last_look <= one.looked_at:
        return one.slice.end + OVERDUE
    if one.state == "settled":
        return last_look + pause(last_look - (one.unexplained_seen or one.first_seen), SECOND_LOOK)
    # A gap of live polling is older than the first fetch of the whole day.
    return last_look + pause(last_look - max(one.first_seen, one.slice.end + SETTLEMENT))


def _reach(until: datetime, timeframe: Timeframe, depth: int | None, now: datetime) -> timedelta | None:
    """For how long the exchange still gives the candle that ends at `until`; None: for ever; not positive: no more."""
    return None if depth is None else until + (depth - SLACK) * timeframe.delta - now


def _urgency(end: datetime, reach: timedelta | None, now: datetime) -> tuple[int, timedelta]:
    """Sorts days by their `end`: what perishes, the soonest first; what stays, the newest first; what is gone."""
    if reach is None:
        return 1, now - end
    return (0, reach) if reach > timedelta(0) else (2, now - end)


def _repairs(
    due: Sequence[_Wish], exchanges: Mapping[str, Repairable], limits: RepairLimits
) -> tuple[list[Repair], int]:
    """The runs, and how many slices of `due` are in them."""
    open_: defaultdict[str, Days] = defaultdict(lambda: defaultdict(set))
    for one in due:
        open_[one.exchange][one.day].update(one.symbols)
    repairs: list[Repair] = []
    runs: Counter[str] = Counter()
    taken, left = 0, limits.partitions
    for one in sorted(due, key=lambda one: (one.rank, one.exchange, one.day)):
        name = one.exchange
        room = min(left, exchanges[name].days_per_run)
        if room < 1:
            break
        if one.day not in open_[name] or runs[name] >= limits.runs:
            continue
        stretch = around(one.day, open_[name], room)
        symbols = [open_[name].pop(day) for day in stretch]
        taken += sum(map(len, symbols))
        left -= stretch.days
        runs[name] += 1
        perishable = one.rank[0] == 0
        repairs.append(Repair(name, stretch.first, stretch.last, tuple(sorted(set().union(*symbols))), perishable))
    return repairs, taken
