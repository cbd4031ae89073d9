"""Gaps: the runs of missing candles in a slice, and their reasons.

`explain` works on a slice's grid, one cell for each candle. It marks the previous gaps on the grid, decides each cell
by the evidence, and returns the runs of missing cells with equal properties as the new gaps.

A candle counts as finally absent only after two complete answers for it, at least OBSERVATION_SPACING apart. Two
observations of the same short failure count as one (without this rule, passivbot made false gaps permanent).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from titan10_dagster.candles.columns import Mask
from titan10_dagster.candles.slices import Slice, Times, to_datetime64
from titan10_dagster.candles.timeframes import Timeframe

OBSERVATION_SPACING = timedelta(hours=6)

Ints = NDArray[np.int64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Reason(StrEnum):
    """The reason why a candle is missing; `REASONS` has a sentence for each reason."""

    UNKNOWN = "unknown"
    NO_TRADES = "no_trades"
    OUTAGE = "outage"
    PRE_LISTING = "pre_listing"
    DELISTED = "delisted"
    BEYOND_HORIZON = "beyond_horizon"
    QUARANTINED = "quarantined"
    BROKEN_AT_SOURCE = "broken_at_source"
    HALTED = "halted"
    NOT_LISTED = "not_listed"


@dataclass(frozen=True)
class ReasonFacts:
    """`settled`: the reason is final. Another request would change nothing, so none is made."""

    sentence: str
    settled: bool


REASONS: Mapping[Reason, ReasonFacts] = MappingProxyType(
    {
        Reason.UNKNOWN: ReasonFacts("Not explained yet; it will be requested again.", False),
        Reason.NO_TRADES: ReasonFacts(
            "The exchange left it out of two good answers, six hours or more apart, in a silence that is usual for the "
            "series: no trades.",
            True,
        ),
        Reason.OUTAGE: ReasonFacts(
            "Most symbols lack it after two good answers, while other exchanges traded: the exchange was down.",
            True,
        ),
        Reason.PRE_LISTING: ReasonFacts("The exchange did not trade the symbol yet.", True),
        Reason.DELISTED: ReasonFacts("The exchange no longer traded the symbol. A later candle revokes this.", True),
        Reason.BEYOND_HORIZON: ReasonFacts("Older than the candles that the exchange still serves.", True),
        Reason.QUARANTINED: ReasonFacts(
            "The exchange gave a candle that breaks a rule; it is kept in quarantine.", False
        ),
        Reason.BROKEN_AT_SOURCE: ReasonFacts(
            "The exchange gave the same broken candle in two good answers, six hours or more apart; it is kept in "
            "quarantine. It is checked again a day and a week later.",
            True,
        ),
        Reason.HALTED: ReasonFacts(
            "A silence too long, or shared by too many series, for a lack of trades: trading stood still. The table "
            "silences has the evidence.",
            True,
        ),
        Reason.NOT_LISTED: ReasonFacts(
            "A silence of a week or longer of a series that traded often: the market was off the exchange's list. The "
            "table silences has the evidence.",
            True,
        ),
    }
)

# Reasons for candles that were absent from two complete answers, for any cause.
CONFIRMED_ABSENT = frozenset({Reason.NO_TRADES, Reason.OUTAGE, Reason.HALTED, Reason.NOT_LISTED})

_CODES = {reason: code for code, reason in enumerate(Reason)}
_REASONS = tuple(Reason)


@dataclass(frozen=True, order=True)
class Gap:
    """A run of missing candles, [start, end), with its reason and the evidence for it.

    `observations` counts the complete answers without these candles; `last_seen` is the time of the last counted
    answer, `first_seen` the time at which the gap was first found. All instants are aware and UTC.
    """

    start: datetime
    end: datetime
    reason: Reason
    observations: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, eq=False)
class Evidence:
    """The evidence of one fetch of a slice about its missing candles.

    `answered`: the exchange answered completely for the whole slice. `horizon`: the exchange serves no candles before
        this time.
    `listed`, `delisted`: it traded the symbol in [listed, delisted). `quarantined`: the starts of the candles that
    broke a rule, datetime64[ms]; `broken_twice`: the starts of candles that were equally broken in an answer
    OBSERVATION_SPACING or more earlier. Instants are aware and UTC; None: not known. `finished`: the answer is a file
    that the exchange published after the day, so one observation proves as much as two answers hours apart.
    """

    observed_at: datetime
    _: KW_ONLY
    answered: bool = True
    finished: bool = False
    horizon: datetime | None = None
    listed: datetime | None = None
    delisted: datetime | None = None
    quarantined: Times = field(default_factory=lambda: np.empty(0, "datetime64[ms]"))
    broken_twice: Times = field(default_factory=lambda: np.empty(0, "datetime64[ms]"))


def count(gap: Gap, timeframe: Timeframe) -> int:
    """Return the number of candles in the gap."""
    return (gap.end - gap.start) // timeframe.delta


def missing_runs(times: Times, slice_: Slice) -> list[tuple[datetime, datetime]]:
    """Return the runs [start, end) of the slice's grid that are not in `times` (datetime64[ms], any order)."""
    missing = ~_marked(times, slice_)
    start, step = slice_.start, slice_.series.timeframe.delta
    return [(start + a * step, start + b * step) for a, b in _runs(missing, ())]


def explain(times: Times, slice_: Slice, evidence: Evidence, previous: Sequence[Gap] = ()) -> list[Gap]:
    """Return the gaps of a slice, sorted and disjoint, that cover every candle of its grid not in `times`.

    `times`: the starts of the stored candles, datetime64[ms], any order. `previous`: the slice's gaps before this
    fetch. A candle that is still missing keeps its observations and `first_seen`.

    The fetch counts as an observation of a candle if the exchange could have returned it: the exchange answered, and
    the candle had ended, was not before the horizon, and was not received broken. It must also be the first such fetch,
    or at least OBSERVATION_SPACING after the last counted fetch. The reason is the first of these that applies:

    1. it ended before the listing: pre_listing; it started after the delisting: delisted. A stored candle proves
       trade: no candle after it is pre_listing and no candle before it is delisted
    2. it was received and broke a rule: quarantined, or broken_at_source if the same row was received before
    3. known as no_trades, outage, halted, not_listed, pre_listing or delisted and not contradicted by the evidence:
       unchanged
    4. observed as absent twice: no_trades (candles/outages.py decides between the reasons for a silence)
    5. before the horizon: beyond_horizon, unless it is known as quarantined or broken_at_source; these stay until the
       exchange answers for it
    6. known as beyond_horizon, and this fetch has no evidence about it: unchanged
    7. unknown

    If a delisting is revoked, counting of observations starts again, because earlier observations were made while the
    market was closed. Calling the function twice with the same fetch gives the same gaps.
    """
    present = _marked(times, slice_)
    if present.all():
        return []
    known = _paint(previous, slice_, _microseconds(evidence.observed_at))
    findings = _findings(present, slice_, evidence)
    return _gaps(~present, slice_, _observe(known, findings, evidence))


def within(gaps: Sequence[Gap], slice_: Slice, reasons: Container[Reason] = frozenset(Reason)) -> Mask:
    """Return which candles of the slice's grid lie in gaps with one of `reasons`: (expected,) bool."""
    mask = np.zeros(slice_.expected, np.bool_)
    for gap, cells in _places(gaps, slice_):
        if gap.reason in reasons:
            mask[cells] = True
    return mask


def reclassified(gaps: Sequence[Gap], slice_: Slice, masks: Mapping[Reason, Mask]) -> list[Gap]:
    """Return the gaps of a slice after a decision about its silences.

    `masks` has the candles, (expected,) bool, of each reason; they do not overlap. Finally absent candles
    (CONFIRMED_ABSENT) get the reason of the mask that contains them, else no_trades. Other candles stay unchanged.
    """
    cells = _paint(gaps, slice_, 0)
    absent = np.isin(cells.reason, [_CODES[reason] for reason in CONFIRMED_ABSENT])
    reason = np.where(absent, _CODES[Reason.NO_TRADES], cells.reason)
    for of_mask, mask in masks.items():
        reason = np.where(absent & mask, _CODES[of_mask], reason)
    return _gaps(within(gaps, slice_), slice_, replace(cells, reason=reason.astype(np.int8)))


def resumed(
    gaps: Sequence[Gap], slice_: Slice, traded: datetime, reasons: Container[Reason] = frozenset({Reason.DELISTED})
) -> list[Gap]:
    """Return the gaps of a slice whose symbol traded at the instant `traded` (aware, UTC), in this slice or later.

    Candles before that instant with one of `reasons` become unknown, and their observations start again: the market
    was only halted.
    """
    cells = _paint(gaps, slice_, 0)
    halted = within(gaps, slice_, reasons) & (np.arange(slice_.expected) < _cell(traded, slice_))
    reason = np.where(halted, _CODES[Reason.UNKNOWN], cells.reason).astype(np.int8)
    observations = np.where(halted, 0, cells.observations)
    return _gaps(within(gaps, slice_), slice_, replace(cells, reason=reason, observations=observations))


_ENOUGH = 2  # observations after which an absent candle is finally absent


@dataclass(frozen=True, eq=False)
class _Cells:
    """The known facts about each candle of the grid: (expected,) arrays; instants in microseconds since 1970."""

    reason: NDArray[np.int8]
    observations: Ints
    first_seen: Ints
    last_seen: Ints

    def all(self) -> tuple[NDArray[np.int8], Ints, Ints, Ints]:
        return self.reason, self.observations, self.first_seen, self.last_seen


@dataclass(frozen=True, eq=False)
class _Findings:
    """The evidence about each candle of the grid: (expected,) masks."""

    pre_listing: Mask  # before the known listing, and before every stored candle
    perhaps_pre_listing: Mask  # the listing is not known, but before every stored candle
    delisted: Mask  # after the known delisting, and after every stored candle
    perhaps_delisted: Mask  # the delisting is not known, but after every stored candle
    quarantined: Mask
    broken_twice: Mask
    beyond: Mask
    horizon_is_known: bool
    answered: Mask  # the exchange could have returned the candle


def _findings(present: Mask, slice_: Slice, evidence: Evidence) -> _Findings:
    cells = np.arange(slice_.expected)
    nowhere = np.zeros(len(cells), np.bool_)
    stored = np.flatnonzero(present)
    first, last = (stored[0], stored[-1]) if len(stored) else (len(cells), -1)
    before_all, after_all = cells < first, cells > last
    unlisted = cells < _cells_over(evidence.listed, slice_) if evidence.listed else nowhere
    delisted = cells >= _cell(evidence.delisted, slice_) if evidence.delisted else nowhere
    beyond = cells < _cell(evidence.horizon, slice_) if evidence.horizon else nowhere
    quarantined = _marked(evidence.quarantined, slice_, exactly=False)
    over = cells < _cells_over(evidence.observed_at, slice_)
    pre_listing, after_delisting = unlisted & before_all, delisted & after_all
    broken_twice = _marked(evidence.broken_twice, slice_, exactly=False)
    return _Findings(
        pre_listing=pre_listing,
        perhaps_pre_listing=nowhere if evidence.listed else before_all,
        delisted=after_delisting,
        perhaps_delisted=nowhere if evidence.delisted else after_all,
        quarantined=quarantined,
        broken_twice=broken_twice & ~pre_listing & ~after_delisting,
        beyond=beyond,
        horizon_is_known=evidence.horizon is not None,
        answered=over & ~beyond & ~quarantined & evidence.answered,
    )


def _observe(known: _Cells, findings: _Findings, evidence: Evidence) -> _Cells:
    now = _microseconds(evidence.observed_at)
    taken_back = (known.reason == _CODES[Reason.DELISTED]) & ~findings.delisted & ~findings.perhaps_delisted
    # Observations of a broken candle do not count as observations of a missing one.
    was_broken = (known.reason == _CODES[Reason.BROKEN_AT_SOURCE]) & findings.answered
    before = np.where(taken_back | was_broken, 0, known.observations)
    due = (before == 0) | (now - known.last_seen >= OBSERVATION_SPACING // _MICROSECOND)
    counted = (findings.answered | findings.broken_twice) & due
    observations = before + counted
    observations = np.where(findings.broken_twice, np.maximum(observations, _ENOUGH), observations)
    if evidence.finished:
        observations = np.where(findings.answered, np.maximum(observations, _ENOUGH), observations)
    return _Cells(
        reason=_reasons(known.reason, findings, observations),
        observations=observations,
        first_seen=known.first_seen,
        last_seen=np.where(counted, now, known.last_seen),
    )


def _reasons(was: NDArray[np.int8], findings: _Findings, observations: Ints) -> NDArray[np.int8]:
    def known_as(reason: Reason) -> Mask:
        mask: Mask = was == _CODES[reason]
        return mask

    kept = np.isin(was, [_CODES[reason] for reason in CONFIRMED_ABSENT])
    kept |= known_as(Reason.PRE_LISTING) & findings.perhaps_pre_listing
    kept |= known_as(Reason.DELISTED) & findings.perhaps_delisted
    silent = ~findings.answered
    still_broken = (known_as(Reason.QUARANTINED) | known_as(Reason.BROKEN_AT_SOURCE)) & silent
    still_beyond = known_as(Reason.BEYOND_HORIZON) & silent & (not findings.horizon_is_known)
    ladder: list[tuple[Mask, NDArray[np.int8] | int]] = [
        (findings.pre_listing, _CODES[Reason.PRE_LISTING]),
        (findings.delisted, _CODES[Reason.DELISTED]),
        (findings.broken_twice, _CODES[Reason.BROKEN_AT_SOURCE]),
        (findings.quarantined, _CODES[Reason.QUARANTINED]),
        (kept, was),
        (still_broken, was),
        (observations >= _ENOUGH, _CODES[Reason.NO_TRADES]),
        (findings.beyond, _CODES[Reason.BEYOND_HORIZON]),
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
    gaps = []
    for n, (a, b) in enumerate(runs):
        times = (seen[first_seen[n]], seen[last_seen[n]])
        gaps.append(Gap(start + a * step, start + b * step, _REASONS[reason[n]], observations[n], *times))
    return gaps


def _runs(mask: Mask, labels: Sequence[NDArray[np.int8] | Ints]) -> list[tuple[int, int]]:
    """Return the runs [a, b) of True, split where a label changes."""
    cut = mask[1:] != mask[:-1]
    for label in labels:
        cut |= label[1:] != label[:-1]
    edges = np.concatenate(([0], np.flatnonzero(cut) + 1, [len(mask)]))
    inside = mask[edges[:-1]]
    return list(zip(edges[:-1][inside].tolist(), edges[1:][inside].tolist(), strict=True))


def _marked(times: Times, slice_: Slice, *, exactly: bool = True) -> Mask:
    """Return a mask of the grid's candles that are in `times`.

    Without `exactly`, a time off the grid marks the candle that contains it.
    """
    offset = (times - to_datetime64(slice_.start)).astype(np.int64)
    cell, rest = np.divmod(offset, slice_.series.timeframe.ms)
    fits = (cell >= 0) & (cell < slice_.expected)
    if exactly:
        fits &= rest == 0
    mask = np.zeros(slice_.expected, np.bool_)
    mask[cell[fits]] = True
    return mask


def _cell(instant: datetime, slice_: Slice) -> int:
    """Return the position of the first candle of the grid at or after the instant; `expected` if there is none."""
    cell = _ceil(instant - slice_.start, slice_.series.timeframe.delta)
    return min(max(cell, 0), slice_.expected)


def _places(gaps: Iterable[Gap], slice_: Slice) -> Iterator[tuple[Gap, slice]]:
    """Yield each gap with the cells of the grid that start in it."""
    start, step = slice_.start, slice_.series.timeframe.delta
    for gap in gaps:
        yield gap, slice(max(_ceil(gap.start - start, step), 0), max(_ceil(gap.end - start, step), 0))


def _ceil(span: timedelta, step: timedelta) -> int:
    return -(-span // step)


def _cells_over(instant: datetime, slice_: Slice) -> int:
    """Return how many candles of the grid have ended by this time; below 0 before the day, above `expected` after."""
    return (instant - slice_.start) // slice_.series.timeframe.delta


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _instant(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
