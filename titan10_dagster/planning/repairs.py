"""The past days to fetch again because candles are missing without a final reason, and when each is due.

| slice | is fetched again |
|-|-|
| live, although its day is over | one hour after the daily settlement should have stored it |
| a hole: it has no ledger row | likewise; then after 5 minutes, then after pauses that double |
| partial: its symbol failed, or its file could not be written | after 5 minutes, then after pauses that double |
| settled, with an unexplained gap | 6 hours after the last counted observation; a second observation settles it |
| settled, with a candle in quarantine | after 6 hours |
| settled, with gaps that a late answer could correct, see `later_checks` | after a day, and once more after a week |

The pauses are those of `attempts.pause`. A run that failed and left no trace in the ledger counts as an attempt too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from titan10_dagster.candles.fetched import HORIZON_SLACK
from titan10_dagster.candles.gaps import OBSERVATION_SPACING
from titan10_dagster.candles.slices import Slice, SliceState, midnight
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.planning.attempts import Attempt, Attempts, pause
from titan10_dagster.planning.breaker import Health, Permit, may_request
from titan10_dagster.planning.later_checks import CheckedLater, due_from
from titan10_dagster.planning.missing_days import MissingDays, around

SETTLEMENT = timedelta(hours=2)  # after midnight UTC: the time of the daily settlement, also used by defs/schedules.py
OVERDUE = timedelta(hours=3)

_DAY = timedelta(days=1)
Days = dict[date, set[str]]  # the symbols that are due, by day
Rank = tuple[int, timedelta]

# The first component of a rank.
_EXPIRING, _KEPT, _GONE = 0, 1, 2


@dataclass(frozen=True)
class OpenSlice:
    """A slice that misses candles without a final reason; instants are aware and UTC.

    Attributes:
        fetched_at: the last fetch in the ledger; of a live slice, the last poll.
        first_seen: the first observation of its open gaps.
        unexplained_seen: the last counted observation of gaps without a reason; None if all candles that are missing
            are in quarantine.
        missing_until: the end of the last open gap. For a slice without a gap, `first_seen` is `fetched_at`, and
            `missing_until` is the end of the slice.
    """

    slice: Slice
    state: SliceState
    fetched_at: datetime
    first_seen: datetime
    unexplained_seen: datetime | None
    missing_until: datetime

    @property
    def looked_at(self) -> datetime:
        """The last fetch of the whole slice. Polls do not count; they may continue after the end of the day."""
        return min(self.fetched_at, self.slice.end) if self.state == SliceState.LIVE else self.fetched_at


@dataclass(frozen=True)
class Repairable:
    """The facts about an exchange that a plan needs.

    Attributes:
        depth: how many candles back from now the exchange serves; None: all.
        under_way: whether other runs, such as a backfill or the daily settlement, are fetching its days.
    """

    health: Health
    depth: int | None
    days_per_run: int
    under_way: bool = False

    def is_blocked(self, now: datetime) -> bool:
        """Return whether the breaker refuses requests."""
        return may_request(self.health, now).permit is Permit.REFUSED


@dataclass(frozen=True)
class RepairLimits:
    """The most partitions of one plan, and the most runs of one exchange in it."""

    partitions: int = 62
    runs: int = 2


@dataclass(frozen=True)
class Repair:
    """One run: the days `first` to `last` (both included) of one exchange, and the symbols concerned."""

    exchange: str
    first: date
    last: date
    symbols: tuple[str, ...]
    expiring: bool

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


@dataclass(frozen=True)
class RepairPlan:
    """The repairs to start now, most urgent first, and the numbers of slices that wait, by the reason for waiting.

    Attributes:
        waiting: slices that are not due yet.
        busy: slices of exchanges whose days other runs are fetching.
        blocked: slices of exchanges whose breaker is open.
        postponed: slices that are due but exceed the limits of a plan.
    """

    repairs: tuple[Repair, ...]
    waiting: int
    busy: int
    blocked: int
    postponed: int


@dataclass(frozen=True)
class _Candidate:
    """A day of some symbols to fetch again.

    `rank`: the sort key. `yields`: whether other runs of the exchange come first.
    """

    rank: Rank
    exchange: str
    day: date
    symbols: Collection[str]
    due: bool
    yields: bool = False


def plan_repairs(
    slices: Iterable[OpenSlice],
    *,
    holes: Iterable[MissingDays] = (),
    later: Iterable[CheckedLater] = (),
    exchanges: Mapping[str, Repairable],
    attempts: Sequence[Attempt] = (),
    now: datetime,
    limits: RepairLimits | None = None,
) -> RepairPlan:
    """Return which days of which exchanges to fetch again now, and for which symbols.

    Days that the exchange deletes soon come first, then the newest days. Days that it no longer serves come last: they
    cost no request, and the run only records why the candles are missing. Holes that do not expire wait while other
    runs fetch days of their exchange. Exchanges that are not in `exchanges` and days that are not over are left out.
    """
    known = Attempts(attempts)
    in_flight = known.in_flight
    due: list[_Candidate] = []
    waiting = busy = blocked = 0
    candidates = [
        *_of_slices(slices, exchanges, known, now),
        *_of_holes(holes, exchanges, known, now),
        *_of_later_checks(later, exchanges, known, now),
    ]
    for candidate in candidates:
        count = len(candidate.symbols)
        if exchanges[candidate.exchange].is_blocked(now):
            blocked += count
        elif candidate.yields or candidate.exchange in in_flight:
            busy += count
        elif candidate.due:
            due.append(candidate)
        else:
            waiting += count
    repairs, taken = _repairs(due, exchanges, limits or RepairLimits())
    postponed = sum(len(candidate.symbols) for candidate in due) - taken
    return RepairPlan(tuple(repairs), waiting, busy, blocked, postponed)


def _of_slices(
    slices: Iterable[OpenSlice], exchanges: Mapping[str, Repairable], known: Attempts, now: datetime
) -> Iterator[_Candidate]:
    for open_slice in slices:
        series, day, end = open_slice.slice.series, open_slice.slice.day, open_slice.slice.end
        if series.exchange not in exchanges or end > now:
            continue
        served_for = _served_for(open_slice.missing_until, series.timeframe, exchanges[series.exchange].depth, now)
        last_attempt = max([open_slice.looked_at, *known.times(series.exchange, day, series.symbol)])
        due = is_due(open_slice, served_for, last_attempt, now)
        yield _Candidate(_rank(end, served_for, now), series.exchange, day, (series.symbol,), due)


def _of_holes(
    holes: Iterable[MissingDays], exchanges: Mapping[str, Repairable], known: Attempts, now: datetime
) -> Iterator[_Candidate]:
    for hole in holes:
        if hole.exchange not in exchanges:
            continue
        for day in hole.stretch:
            yield from _of_day(hole, day, exchanges[hole.exchange], known, now)


def _of_later_checks(
    later: Iterable[CheckedLater], exchanges: Mapping[str, Repairable], known: Attempts, now: datetime
) -> Iterator[_Candidate]:
    """Yield the slices whose check for late candles is due. The other slices do not count as waiting."""
    for checked in later:
        series, day = checked.slice.series, checked.slice.day
        if series.exchange not in exchanges:
            continue
        exchange = exchanges[series.exchange]
        served_for = _served_for(checked.missing_until, series.timeframe, exchange.depth, now)
        last_attempt = max([checked.last_seen, *known.times(series.exchange, day, series.symbol)])
        is_gone = served_for is not None and served_for <= timedelta(0)
        due = due_from(checked, last_attempt)
        if not is_gone and due is not None and now >= due:
            rank = _rank(checked.slice.end, served_for, now)
            yields = exchange.under_way and rank[0] != _EXPIRING
            yield _Candidate(rank, series.exchange, day, (series.symbol,), True, yields)


def _of_day(hole: MissingDays, day: date, exchange: Repairable, known: Attempts, now: datetime) -> Iterator[_Candidate]:
    """Yield a missing day as two parts: for the symbols that are due, and for the symbols that wait."""
    end = midnight(day) + _DAY
    rank = _rank(end, _served_for(end, hole.timeframe, exchange.depth, now), now)
    yields = exchange.under_way and rank[0] != _EXPIRING
    due = due_of_hole(hole, day, known, now)
    if due:
        yield _Candidate(rank, hole.exchange, day, due, True, yields)
    if len(due) < len(hole.symbols):  # the comparison is cheap, and on most days no symbol waits
        waiting = [symbol for symbol in hole.symbols if symbol not in due]
        yield _Candidate(rank, hole.exchange, day, waiting, False, yields)


def due_of_hole(hole: MissingDays, day: date, known: Attempts, now: datetime) -> Sequence[str]:
    """Return the symbols to request now for a day of a hole.

    The daily settlement has an hour to fetch the day first.
    """
    if now < midnight(day) + _DAY + OVERDUE:
        return ()
    return known.due(hole.exchange, day, hole.symbols, now)


def is_due(open_slice: OpenSlice, served_for: timedelta | None, last_attempt: datetime, now: datetime) -> bool:
    """Return whether to fetch the slice again now.

    A candle in quarantine that the exchange no longer serves is never fetched again. `served_for` is the result of
    `_served_for`.
    """
    is_gone = served_for is not None and served_for <= timedelta(0)
    if open_slice.state == SliceState.SETTLED and open_slice.unexplained_seen is None and is_gone:
        return False
    return now >= due_at(open_slice, last_attempt)


def due_at(open_slice: OpenSlice, last_attempt: datetime) -> datetime:
    """Return when to fetch the slice again after `last_attempt`; see the table above."""
    if open_slice.state == SliceState.LIVE and last_attempt <= open_slice.looked_at:
        return open_slice.slice.end + OVERDUE
    if open_slice.state == SliceState.SETTLED:
        first = open_slice.unexplained_seen or open_slice.first_seen
        return last_attempt + pause(last_attempt - first, OBSERVATION_SPACING)
    # A gap of live polling is older than the first fetch of the whole day, from which pauses count.
    first = max(open_slice.first_seen, open_slice.slice.end + SETTLEMENT)
    return last_attempt + pause(last_attempt - first)


def _served_for(until: datetime, timeframe: Timeframe, depth: int | None, now: datetime) -> timedelta | None:
    """Return how long the exchange will still serve the candle that ends at `until`.

    None: without limit. Zero or less: it no longer does.
    """
    if depth is None:
        return None
    return until + (depth - HORIZON_SLACK) * timeframe.delta - now


def _rank(end: datetime, served_for: timedelta | None, now: datetime) -> Rank:
    """Return the sort key of a day: expiring days (soonest first), kept days (newest first), days no longer served."""
    if served_for is None:
        return _KEPT, now - end
    if served_for > timedelta(0):
        return _EXPIRING, served_for
    return _GONE, now - end


def _repairs(
    due: Sequence[_Candidate], exchanges: Mapping[str, Repairable], limits: RepairLimits
) -> tuple[list[Repair], int]:
    """Return the runs, and how many slices of `due` are in them.

    The most urgent day that is left starts a run, which takes the due days around it as well.
    """
    open_: defaultdict[str, Days] = defaultdict(lambda: defaultdict(set))
    for candidate in due:
        open_[candidate.exchange][candidate.day].update(candidate.symbols)
    repairs: list[Repair] = []
    runs: Counter[str] = Counter()
    taken, left = 0, limits.partitions
    for candidate in sorted(due, key=lambda candidate: (candidate.rank, candidate.exchange, candidate.day)):
        name = candidate.exchange
        room = min(left, exchanges[name].days_per_run)
        if room < 1:
            break
        if candidate.day not in open_[name] or runs[name] >= limits.runs:
            continue  # the day is in an earlier run, or the exchange has enough runs
        stretch = around(candidate.day, open_[name], room)
        symbols: set[str] = set()
        for day in stretch:
            of_day = open_[name].pop(day)
            symbols |= of_day
            taken += len(of_day)
        left -= stretch.days
        runs[name] += 1
        expiring = candidate.rank[0] == _EXPIRING
        repairs.append(Repair(name, stretch.first, stretch.last, tuple(sorted(symbols)), expiring))
    return repairs, taken
