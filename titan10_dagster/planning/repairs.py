"""Decide which past days to fetch again, and when. Candles of these days are missing, usually without a final reason.

| slice | is fetched again |
|-|-|
| live, although its day has ended | 3 hours after the end of the day (1 hour after the daily settlement started) |
| a hole: a slice without a ledger row | like a live slice; then after 5 minutes, then after pauses that double |
| partial: its symbol failed, or its file could not be written | after 5 minutes, then after pauses that double |
| settled, with a gap of unknown reason | 6 hours after the last fetch; the second counted observation is final |
| settled, with a candle in quarantine | 6 hours after the last fetch, then after pauses that double |
| settled, with gaps for which candles possibly arrive late (`later_checks`) | after a day, and once more after a week |

Some exchanges delete old candles. A partial or settled slice of such an exchange is also fetched three hours, one hour
and 20 minutes before the exchange deletes the candles that the slice is missing.

`attempts.pause` computes the pauses. A run that failed before it wrote a ledger row counts as an attempt too. A run
that was not allowed to make requests, because of a ban or an open breaker, is not an attempt.
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

# The daily settlement (the fetch of yesterday) starts at this time after midnight UTC. See also defs/schedules.py.
SETTLEMENT = timedelta(hours=2)
# If the daily settlement has not stored a day this long after the end of the day, the day is repaired.
OVERDUE = timedelta(hours=3)

# Missing candles that an exchange is going to delete are requested at each of these times before the deletion, because
# the exchange possibly publishes or corrects them late.
LAST_CHANCES = (timedelta(hours=3), timedelta(hours=1), timedelta(minutes=20))

_DAY = timedelta(days=1)
Days = dict[date, set[str]]  # for each day, the symbols that are due
Rank = tuple[int, timedelta]

# The first part of a Rank; repairs with a smaller value come first. 0: the exchange is going to delete the data. 1: the
# exchange keeps the data. 2: the exchange no longer serves the data.
_EXPIRING, _KEPT, _GONE = 0, 1, 2


@dataclass(frozen=True)
class OpenSlice:
    """A slice that is not settled, or that has open gaps (gaps without a final reason). Instants are aware and UTC.

    Attributes:
        fetched_at: the time of the last fetch in the ledger. For a live slice, it is the time of the last poll.
        first_seen: the time of the first observation of the open gaps. Without an open gap, it is `fetched_at`.
        unexplained_seen: the time of the last counted observation of a gap with the reason `unknown`. If there are
            several such gaps, it is the earliest of their times. None if there is no such gap.
        missing_until: the end of the last open gap. Without an open gap, it is the end of the slice.
    """

    slice: Slice
    state: SliceState
    fetched_at: datetime
    first_seen: datetime
    unexplained_seen: datetime | None
    missing_until: datetime

    @property
    def checked_at(self) -> datetime:
        """Return the time of the last fetch. For a live slice, return the end of its day if this is earlier.

        Polls of a live slice can continue after the end of its day. They do not delay the repair of the slice.
        """
        return min(self.fetched_at, self.slice.end) if self.state == SliceState.LIVE else self.fetched_at


@dataclass(frozen=True)
class Repairable:
    """The facts about an exchange that are needed to plan repairs.

    Attributes:
        depth: the number of newest candles that the exchange serves; None means all candles.
        days_per_run: the maximum number of days that one run fetches.
        under_way: whether other runs, such as a backfill or the daily settlement, are fetching days of the exchange.
    """

    health: Health
    depth: int | None
    days_per_run: int
    under_way: bool = False

    def is_blocked(self, now: datetime) -> bool:
        """Return whether the breaker of the exchange refuses requests at `now`."""
        return may_request(self.health, now).permit is Permit.REFUSED


@dataclass(frozen=True)
class RepairLimits:
    """The limits of one plan.

    partitions: the maximum number of partitions (UTC days of an exchange) in the plan.
    runs: the maximum number of runs for each exchange in the plan.
    """

    partitions: int = 62
    runs: int = 2


@dataclass(frozen=True)
class Repair:
    """A repair run for the days `first` to `last` (including both) of one exchange.

    symbols: the symbols that are fetched again.
    expiring: whether the exchange deletes the data soon.
    """

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
    """The repair runs to start now, and the numbers of slices that are not in these runs.

    Attributes:
        repairs: the runs, the most urgent first.
        blocked: the number of slices that wait because the breaker of the exchange is open.
        busy: the number of other slices that wait because runs are fetching days of the exchange.
        waiting: the number of other slices that are not due yet.
        postponed: the number of slices that are due but are above the limits of a plan.
    """

    repairs: tuple[Repair, ...]
    waiting: int
    busy: int
    blocked: int
    postponed: int


@dataclass(frozen=True)
class _Candidate:
    """A day that has to be fetched again for one or more symbols, now or later.

    rank: the sort key.
    due: whether the time to fetch the day has come.
    yields: whether the day waits until other runs of the exchange have ended.
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
    """Return the repair runs to start at `now` (aware, UTC).

    The days that an exchange deletes soon come first, then the other days from the newest to the oldest. The days that
    an exchange no longer serves come last. Runs for these days send no REST requests. If the exchange has no archive,
    they only record why the candles are missing.

    Holes (usually days without a ledger row) and later checks wait while other runs fetch days of the exchange.
    Exception: they do not wait if the exchange deletes their candles soon. Days that have not ended yet are left out.
    Days of exchanges that are not in `exchanges` are left out too.
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
    repairs, taken = _repairs(due, exchanges, known, limits or RepairLimits())
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
        last_attempt = max([open_slice.checked_at, *known.times(series.exchange, day, series.symbol)])
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
    """Yield the slices that are due for a check for late candles.

    Slices that are not due are not counted as waiting.
    """
    for checked in later:
        series, day = checked.slice.series, checked.slice.day
        if series.exchange not in exchanges:
            continue
        exchange = exchanges[series.exchange]
        last_attempt = max([checked.last_seen, *known.times(series.exchange, day, series.symbol)])
        if is_check_due(checked, last_attempt, exchange.depth, now):
            served_for = _served_for(checked.missing_until, series.timeframe, exchange.depth, now)
            rank = _rank(checked.slice.end, served_for, now)
            yields = exchange.under_way and rank[0] != _EXPIRING
            yield _Candidate(rank, series.exchange, day, (series.symbol,), True, yields)


def _of_day(hole: MissingDays, day: date, exchange: Repairable, known: Attempts, now: datetime) -> Iterator[_Candidate]:
    """Yield up to two candidates for a missing day: one with the due symbols, and one with the waiting symbols."""
    end = midnight(day) + _DAY
    rank = _rank(end, _served_for(end, hole.timeframe, exchange.depth, now), now)
    yields = exchange.under_way and rank[0] != _EXPIRING
    due = due_of_hole(hole, day, known, now)
    if due:
        yield _Candidate(rank, hole.exchange, day, due, True, yields)
    # On most days all symbols are due. Then this comparison of two lengths avoids the search for waiting symbols.
    if len(due) < len(hole.symbols):
        waiting = [symbol for symbol in hole.symbols if symbol not in due]
        yield _Candidate(rank, hole.exchange, day, waiting, False, yields)


def due_of_hole(hole: MissingDays, day: date, known: Attempts, now: datetime) -> Sequence[str]:
    """Return the symbols to request now for a missing day.

    No symbol is requested until OVERDUE after the end of the day, because the daily settlement can still fetch the day.
    """
    if now < midnight(day) + _DAY + OVERDUE:
        return ()
    return known.due(hole.exchange, day, hole.symbols, now)


def is_due(open_slice: OpenSlice, served_for: timedelta | None, last_attempt: datetime, now: datetime) -> bool:
    """Return whether the slice is fetched again now.

    If all missing candles of a settled slice are in quarantine, and the exchange no longer serves these candles, the
    slice is never fetched again.

    `served_for`: how long the exchange will still serve the missing candles (the result of `_served_for`).
    `last_attempt`: the time of the last fetch of the slice, or of the last attempt to fetch it.
    """
    if open_slice.state == SliceState.SETTLED and open_slice.unexplained_seen is None and _is_gone(served_for):
        return False
    is_last_chance = open_slice.state != SliceState.LIVE and _is_last_chance(served_for, last_attempt, now)
    return is_last_chance or now >= due_at(open_slice, last_attempt)


def _is_last_chance(served_for: timedelta | None, last_attempt: datetime, now: datetime) -> bool:
    """Return whether a slice must be requested now, because the exchange deletes the missing candles soon.

    The slice is requested once in each of LAST_CHANCES before the deletion.
    """
    if served_for is None or _is_gone(served_for):
        return False
    return any(served_for <= chance and last_attempt < now + served_for - chance for chance in LAST_CHANCES)


def is_check_due(checked: CheckedLater, last_attempt: datetime, depth: int | None, now: datetime) -> bool:
    """Return whether a settled slice is checked for late candles now. `depth`: see `Repairable`."""
    served_for = _served_for(checked.missing_until, checked.slice.series.timeframe, depth, now)
    due = due_from(checked, last_attempt)
    if due is None or _is_gone(served_for):
        return False
    return now >= due or _is_last_chance(served_for, last_attempt, now)


def due_at(open_slice: OpenSlice, last_attempt: datetime) -> datetime:
    """Return the time to fetch the slice again after `last_attempt` (see the table at the top of this module)."""
    if open_slice.state == SliceState.LIVE and last_attempt <= open_slice.checked_at:
        return open_slice.slice.end + OVERDUE
    if open_slice.state == SliceState.SETTLED:
        first = open_slice.unexplained_seen or open_slice.first_seen
        return last_attempt + pause(last_attempt - first, OBSERVATION_SPACING)
    # The pause depends on the time since the first fetch of the whole day, which is the daily settlement or later. Live
    # polling possibly saw the gap before this fetch.
    first = max(open_slice.first_seen, open_slice.slice.end + SETTLEMENT)
    return last_attempt + pause(last_attempt - first)


def _served_for(until: datetime, timeframe: Timeframe, depth: int | None, now: datetime) -> timedelta | None:
    """Return how long the exchange will still serve the candle that ends at `until`.

    None means that the exchange keeps the candle. If the result is zero or negative, the exchange no longer serves the
    candle.
    """
    if depth is None:
        return None
    return until + (depth - HORIZON_SLACK) * timeframe.delta - now


def _is_gone(served_for: timedelta | None) -> bool:
    """Return whether the exchange no longer serves the candle. `served_for`: the result of `_served_for`."""
    return served_for is not None and served_for <= timedelta(0)


def _rank(end: datetime, served_for: timedelta | None, now: datetime) -> Rank:
    """Return the sort key of a day.

    First come the days that the exchange deletes soon (the soonest first). Then come the days that the exchange keeps
    (the newest first). The days that the exchange no longer serves come last.
    """
    if served_for is None:
        return _KEPT, now - end
    if served_for > timedelta(0):
        return _EXPIRING, served_for
    return _GONE, now - end


def _repairs(
    due: Sequence[_Candidate], exchanges: Mapping[str, Repairable], known: Attempts, limits: RepairLimits
) -> tuple[list[Repair], int]:
    """Return the runs to start, and the number of slices of `due` in these runs.

    For each run, the most urgent day that is not in a run yet is chosen. Then the run takes the neighbouring due days
    too.
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
            continue  # the day is in an earlier run, or the exchange has the maximum number of runs
        stretch = around(candidate.day, open_[name], known.days_together(name, candidate.day, room))
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
