"""Gaps: the runs of candles that a slice misses, and why.

`explain` is arithmetic on a slice's grid, one cell a candle: the previous gaps are painted on it, the
evidence decides each cell, and the runs of missing cells that agree in everything are the new gaps. Nothing
is cut or joined by hand.

An absent candle is believed absent for good only after the exchange answered well for it twice, at least
SECOND_LOOK apart: two looks at the same hiccup are one look (passivbot made false gaps permanent that way).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.columns import Mask
from titan10_dagster.candles.slices import Slice, Times, to_datetime64
from titan10_dagster.candles.timeframes import Timeframe

SECOND_LOOK = timedelta(hours=6)

Ints = NDArray[np.int64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Reason(StrEnum):
    UNKNOWN = "unknown"
    NO_TRADES = "no_trades"
    OUTAGE = "outage"
    PRE_LISTING = "pre_listing"
    DELISTED = "delisted"
    BEYOND_HORIZON = "beyond_horizon"
    QUARANTINED = "quarantined"


@dataclass(frozen=True)
class ReasonFacts:
    """`settled`: asking the exchange again would change nothing, so nobody does."""

    sentence: str
    settled: bool


REASONS: Mapping[Reason, ReasonFacts] = MappingProxyType(
    {
        Reason.UNKNOWN: ReasonFacts("Not explained yet; it will be asked for again.", False),
        Reason.NO_TRADES: ReasonFacts(
            "The exchange left it out of two good answers, six hours or more apart: nothing was traded.", True
        ),
        Reason.OUTAGE: ReasonFacts(
            "Most symbols lack it after two good answers, while other exchanges traded: the exchange was down.",
            True,
        ),
        Reason.PRE_LISTING: ReasonFacts("The exchange did not trade the symbol yet.", True),
        Reason.DELISTED: ReasonFacts(
            "The exchange did not trade the symbol any more; a later candle takes that back.", True
        ),
        Reason.BEYOND_HORIZON: ReasonFacts("Older than what the exchange still gives out.", True),
        Reason.QUARANTINED: ReasonFacts(
            "The exchange gave a candle that breaks a rule; it is kept in quarantine.", False
        ),
    }
)

# Absent from two good answers, whatever the cause.
BELIEVED = frozenset({Reason.NO_TRADES, Reason.OUTAGE})

_CODES = {reason: code for code, reason in enumerate(Reason)}
_REASONS = tuple(Reason)


@dataclass(frozen=True, order=True)
class Gap:
    """A run of missing candles, [start, end), with its reason and the evidence for it.

    `observations` counts the looks that found it absent; `last_seen` is the last one counted, `first_seen`
    when it was first noticed. All instants are aware and UTC.
    """

    start: datetime
    end: datetime
    reason: Reason
    observations: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one look at a slice says about the candles that it misses.

    `answered`: the exchange answered well for the whole slice. `horizon`: it can give nothing before it.
    `listed`, `delisted`: it traded the symbol in [listed, delisted). `quarantined`: the starts of the
    candles that broke a rule, datetime64[ms]. Instants are aware and UTC; None: not known.
    """

    observed_at: datetime
    answered: bool = True
    horizon: datetime | None = None
    listed: datetime | None = None
    delisted: datetime | None = None
    quarantined: Times = field(default_factory=lambda: np.empty(0, "datetime64[ms]"))


def count(gap: Gap, timeframe: Timeframe) -> int:
    """How many candles the gap misses."""
    return (gap.end - gap.start) // timeframe.delta


def missing_runs(times: Times, slice_: Slice) -> list[tuple[datetime, datetime]]:
    """The runs [start, end) of the slice's grid that are not in `times` (datetime64[ms], any order)."""
    missing = ~_marked(times, slice_)
    start, step = slice_.start, slice_.series.timeframe.delta
    return [(start + a * step, start + b * step) for a, b in _runs(missing, ())]


def explain(times: Times, slice_: Slice, evidence: Evidence, previous: Sequence[Gap] = ()) -> list[Gap]:
    """The gaps of a slice, sorted and disjoint, that cover every candle of its grid not in `times`.

    `times`: the starts of the candles that are there, datetime64[ms], any order. `previous`: the slice's
    gaps as they were known before this look; what is still missing of them keeps its observations and first
    sighting.

    The look counts for a candle if the exchange was in a position to give it: it answered, the candle was
    over, not behind the horizon, and did not come broken; and if it is the first such look or SECOND_LOOK
    after the last one counted. The first of these that holds is the reason:

    1. over before the listing: pre_listing; starting after the delisting: delisted. But a candle that is
       there is proof of trade: nothing after it is pre_listing and nothing before it delisted
    2. it came and broke a rule: quarantined
    3. known as no_trades, outage, pre_listing or delisted and not contradicted by the evidence: as it was
    4. seen absent twice: no_trades (a look at one series cannot tell an outage: see candles/outages.py)
    5. before the horizon: beyond_horizon, unless it is known as quarantined, which stays until the exchange
       answers for it
    6. known as beyond_horizon, and this look says nothing of it: as it was
    7. unknown

    What was delisted and is so no more was looked at while the market was closed: its looks are counted anew.
    The same look twice gives the same gaps.
    """
    present = _marked(times, slice_)
    if present.all():
        return []
    known = _paint(previous, slice_, _microseconds(evidence.observed_at))
    look = _look(present, slice_, evidence)
    return _gaps(~present, slice_, _observe(known, look, evidence.observed_at))


def within(gaps: Sequence[Gap], slice_: Slice, reasons: Container[Reason] = frozenset(Reason)) -> Mask:
    """Which candles of the slice's grid lie in gaps with one of `reasons`: (expected,) bool."""
    mask = np.zeros(slice_.expected, np.bool_)
    for gap, cells in _places(gaps, slice_):
        if gap.reason in reasons:
            mask[cells] = True
    return mask


def with_outages(gaps: Sequence[Gap], slice_: Slice, down: Mask) -> list[Gap]:
    """The gaps of a slice, told which of its candles, (expected,) bool, fell into an outage of the exchange.

    What is known as no_trades or outage is outage there, and no_trades elsewhere; all else stays as it is.
    """
    cells = _paint(gaps, slice_, 0)
    told = np.where(down, _CODES[Reason.OUTAGE], _CODES[Reason.NO_TRADES])
    believed = np.isin(cells.reason, [_CODES[reason] for reason in BELIEVED])
    reason = np.where(believed, told, cells.reason).astype(np.int8)
    return _gaps(within(gaps, slice_), slice_, replace(cells, reason=reason))


def resumed(gaps: Sequence[Gap], slice_: Slice, traded: datetime) -> list[Gap]:
    """The gaps of a slice of a symbol that was traded at the instant `traded` (aware, UTC), in this slice or later.

    What is called delisted before that was a halt at most: it is unknown, and the looks at it are counted anew.
    """
    cells = _paint(gaps, slice_, 0)
    halted = within(gaps, slice_, {Reason.DELISTED}) & (np.arange(slice_.expected) < _cell(traded, slice_))
    reason = np.where(halted, _CODES[Reason.UNKNOWN], cells.reason).astype(np.int8)
    observations = np.where(halted, 0, cells.observations)
    return _gaps(within(gaps, slice_), slice_, replace(cells, reason=reason, observations=observations))


@dataclass(frozen=True, eq=False)
class _Cells:
    """What is known of each candle of the grid: (expected,) arrays; instants in microseconds since 1970."""

    reason: NDArray[np.int8]
    observations: Ints
    first_seen: Ints
    last_seen: Ints

    def all(self) -> tuple[NDArray[np.int8], Ints, Ints, Ints]:
        return self.reason, self.observations, self.first_seen, self.last_seen


@dataclass(frozen=True, eq=False)
class _Look:
    """What the evidence says of each candle of the grid: (expected,) masks."""

    pre_listing: Mask  # told to be before the listing, and no candle says otherwise
    perhaps_pre_listing: Mask  # not told when the listing was, and no candle says that it was earlier
    delisted: Mask
    perhaps_delisted: Mask
    quarantined: Mask
    beyond: Mask
    horizon_is_told: bool
    heard: Mask  # the exchange was in a position to give it


def _look(present: Mask, slice_: Slice, evidence: Evidence) -> _Look:
    cells = np.arange(slice_.expected)
    nowhere = np.zeros(len(cells), np.bool_)
    there = np.flatnonzero(present)
    first, last = (there[0], there[-1]) if len(there) else (len(cells), -1)
    before_all, after_all = cells < first, cells > last
    unlisted = cells < _cells_over(evidence.listed, slice_) if evidence.listed else nowhere
    delisted = cells >= _cell(evidence.delisted, slice_) if evidence.delisted else nowhere
    beyond = cells < _cell(evidence.horizon, slice_) if evidence.horizon else nowhere
    quarantined = _marked(evidence.quarantined, slice_, exactly=False)
    over = cells < _cells_over(evidence.observed_at, slice_)
    return _Look(
        pre_listing=unlisted & before_all,
        perhaps_pre_listing=nowhere if evidence.listed else before_all,
        delisted=delisted & after_all,
        perhaps_delisted=nowhere if evidence.delisted else after_all,
        quarantined=quarantined,
        beyond=beyond,
        horizon_is_told=evidence.horizon is not None,
        heard=over & ~beyond & ~quarantined & evidence.answered,
    )


def _observe(known: _Cells, look: _Look, observed_at: datetime) -> _Cells:
    now = _microseconds(observed_at)
    taken_back = (known.reason == _CODES[Reason.DELISTED]) & ~look.delisted & ~look.perhaps_delisted
    before = np.where(taken_back, 0, known.observations)
    due = (before == 0) | (now - known.last_seen >= SECOND_LOOK // _MICROSECOND)
    counted = look.heard & due
    observations = before + counted
    return _Cells(
        reason=_reasons(known.reason, look, observations),
        observations=observations,
        first_seen=known.first_seen,
        last_seen=np.where(counted, now, known.last_seen),
    )


def _reasons(was: NDArray[np.int8], look: _Look, observations: Ints) -> NDArray[np.int8]:
    def known_as(reason: Reason) -> Mask:
        mask: Mask = was == _CODES[reason]
        return mask

    kept = known_as(Reason.NO_TRADES) | known_as(Reason.OUTAGE)
    kept |= known_as(Reason.PRE_LISTING) & look.perhaps_pre_listing
    kept |= known_as(Reason.DELISTED) & look.perhaps_delisted
    silent = ~look.heard
    still_broken = known_as(Reason.QUARANTINED) & silent
    still_beyond = known_as(Reason.BEYOND_HORIZON) & silent & (not look.horizon_is_told)
    ladder: list[tuple[Mask, NDArray[np.int8] | int]] = [
        (look.pre_listing, _CODES[Reason.PRE_LISTING]),
        (look.delisted, _CODES[Reason.DELISTED]),
        (look.quarantined, _CODES[Reason.QUARANTINED]),
        (kept, was),
        (observations >= 2, _CODES[Reason.NO_TRADES]),
        (still_broken, was),
        (look.beyond, _CODES[Reason.BEYOND_HORIZON]),
        (still_beyond, was),
    ]
    reasons = np.full(len(was), _CODES[Reason.UNKNOWN], np.int8)
    for mask, reason in reversed(ladder):
        reasons = np.where(mask, reason, reasons).astype(np.int8)
    return reasons


def _paint(previous: Sequence[Gap], slice_: Slice, now: int) -> _Cells:
    size = slice_.expected
    cells = _Cells(
        reason=np.full(size, _CODES[Reason.UNKNOWN], np.int8),
        observations=np.zeros(size, np.int64),
        first_seen=np.full(size, now),
        last_seen=np.full(size, now),
    )
    for gap, over in _places(previous, slice_):
        cells.reason[over] = _CODES[gap.reason]
        cells.observations[over] = gap.observations
        cells.first_seen[over] = _microseconds(gap.first_seen)
        cells.last_seen[over] = _microseconds(gap.last_seen)
    return cells


def _gaps(missing: Mask, slice_: Slice, cells: _Cells) -> list[Gap]:
    start, step = slice_.start, slice_.series.timeframe.delta
    runs = _runs(missing, cells.all())
    at = [a for a, _ in runs]
    reason, observations, first_seen, last_seen = (label[at].tolist() for label in cells.all())
    seen = {instant: _instant(instant) for instant in {*first_seen, *last_seen}}
    return [
        Gap(start + a * step, start + b * step, _REASONS[code], looks, seen[first], seen[last])
        for (a, b), code, looks, first, last in zip(runs, reason, observations, first_seen, last_seen, strict=True)
    ]


def _runs(mask: Mask, labels: Sequence[NDArray[np.int8] | Ints]) -> list[tuple[int, int]]:
    """The runs [a, b) of True within which no label changes."""
    cut = mask[1:] != mask[:-1]
    for label in labels:
        cut |= label[1:] != label[:-1]
    edges = np.concatenate(([0], np.flatnonzero(cut) + 1, [len(mask)]))
    inside = mask[edges[:-1]]
    return list(zip(edges[:-1][inside].tolist(), edges[1:][inside].tolist(), strict=True))


def _marked(times: Times, slice_: Slice, *, exactly: bool = True) -> Mask:
    """Which candles of the grid are in `times`; if not `exactly`, a time off the grid marks its own."""
    offset = (times - to_datetime64(slice_.start)).astype(np.int64)
    cell, rest = np.divmod(offset, slice_.series.timeframe.ms)
    fits = (cell >= 0) & (cell < slice_.expected)
    if exactly:
        fits &= rest == 0
    mask = np.zeros(slice_.expected, np.bool_)
    mask[cell[fits]] = True
    return mask


def _cell(instant: datetime, slice_: Slice) -> int:
    """The first candle of the grid that starts at or after the instant, 0 to expected."""
    cell = _ceil(instant - slice_.start, slice_.series.timeframe.delta)
    return min(max(cell, 0), slice_.expected)


def _places(gaps: Iterable[Gap], slice_: Slice) -> Iterator[tuple[Gap, slice]]:
    """Each gap, and the candles of the grid that start in it."""
    start, step = slice_.start, slice_.series.timeframe.delta
    for gap in gaps:
        yield gap, slice(max(_ceil(gap.start - start, step), 0), max(_ceil(gap.end - start, step), 0))


def _ceil(span: timedelta, step: timedelta) -> int:
    return -(-span // step)


def _cells_over(instant: datetime, slice_: Slice) -> int:
    """How many candles of the grid have ended by then; below 0 before the day, above `expected` after."""
    return (instant - slice_.start) // slice_.series.timeframe.delta


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _instant(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
