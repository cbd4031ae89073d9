"""Gaps: the runs of missing candles in a slice, and their reasons.

`explain` works on the grid of a slice, which has one cell for each candle of the day. It writes the previous gaps into
the cells and decides the reason of each cell, based on the evidence. Then it joins neighbouring missing cells with
equal properties. The joined cells are the new gaps.

The absence of a candle is final if the candle is absent from two complete answers that are at least OBSERVATION_SPACING
apart. Two answers within a shorter time can come from the same short failure, so they count as one observation.
(Without this rule, the trading bot passivbot made false gaps permanent.) A file that the exchange published after the
end of the day counts as two answers.
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
    """The reason why a candle is missing. `REASONS` describes each reason in a sentence."""

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
    """The properties of a reason.

    sentence: the description for users.
    settled: whether the reason is final. Candles with a final reason are usually not requested again.
    """

    sentence: str
    settled: bool


REASONS: Mapping[Reason, ReasonFacts] = MappingProxyType(
    {
        Reason.UNKNOWN: ReasonFacts("Not explained yet. The candle will be requested again.", False),
        Reason.NO_TRADES: ReasonFacts(
            "No trades took place: the candle is absent from two complete answers, six hours or more apart, and the "
            "silence is not unusual for the series.",
            True,
        ),
        Reason.OUTAGE: ReasonFacts(
            "The exchange was down: most of its busy symbols have no candle at this time in two complete answers, and "
            "another exchange traded.",
            True,
        ),
        Reason.PRE_LISTING: ReasonFacts("The exchange did not trade the symbol yet.", True),
        Reason.DELISTED: ReasonFacts(
            "The exchange no longer traded the symbol. If a later candle arrives, this reason is revoked.", True
        ),
        Reason.BEYOND_HORIZON: ReasonFacts("The exchange no longer serves candles of this age.", True),
        Reason.QUARANTINED: ReasonFacts(
            "The exchange sent a candle that breaks a candle rule. The broken candle is kept in quarantine.", False
        ),
        Reason.BROKEN_AT_SOURCE: ReasonFacts(
            "The exchange sent the same broken candle in two complete answers, six hours or more apart. The broken "
            "candle is kept in quarantine, and is checked again a day and a week later.",
            True,
        ),
        Reason.HALTED: ReasonFacts(
            "Trading was halted. The silence is longer than a lack of trades can explain, or too many series were "
            "silent at the same time. The evidence is in the table `silences`.",
            True,
        ),
        Reason.NOT_LISTED: ReasonFacts(
            "The market was not on the exchange's list. Titan-10 concludes this from a silence of a week or longer, "
            "which is unusual for the series. The evidence is in the table `silences`.",
            True,
        ),
    }
)

# Each of these reasons means that two complete answers did not contain the candle. The reasons differ in the cause.
CONFIRMED_ABSENT = frozenset({Reason.NO_TRADES, Reason.OUTAGE, Reason.HALTED, Reason.NOT_LISTED})

_CODES = {reason: code for code, reason in enumerate(Reason)}
_REASONS = tuple(Reason)


@dataclass(frozen=True, order=True)
class Gap:
    """A run of missing candles from `start` to `end` (exclusive). All instants are aware and UTC.

    observations: the number of complete answers without these candles. An answer is counted only if it comes at least
        OBSERVATION_SPACING after the last counted answer. A file counts as two answers if it was published after the
        end of the gap's day.
    first_seen: the time at which the candles were first found to be missing.
    last_seen: the time of the last counted answer; equal to `first_seen` if no answer was counted.
    """

    start: datetime
    end: datetime
    reason: Reason
    observations: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, eq=False)
class Evidence:
    """The evidence that one fetch of a slice gives about the missing candles. Instants are aware and UTC.

    observed_at: the time of the fetch.
    answered: whether the exchange answered completely for the whole slice.
    finished: whether the answer is a file that the exchange published after the end of the day. Such a file is as much
        evidence as two answers that are hours apart.
    horizon: the exchange serves no candles before this time; None if this time is not known.
    listed, delisted: the exchange traded the symbol from `listed` to `delisted`; None if the time is not known.
    quarantined: the starts (datetime64[ms]) of the received candles that broke a candle rule.
    broken_twice: the starts (datetime64[ms]) of the broken candles that an earlier answer also contained, with the same
        values. The two answers are at least OBSERVATION_SPACING apart.
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
    """Return the runs of missing candles of a slice, each as its start and its end (exclusive).

    `times`: the starts of the present candles (datetime64[ms], in any order).
    """
    missing = ~_marked(times, slice_)
    start, step = slice_.start, slice_.series.timeframe.delta
    return [(start + a * step, start + b * step) for a, b in _runs(missing, ())]


def explain(times: Times, slice_: Slice, evidence: Evidence, previous: Sequence[Gap] = ()) -> list[Gap]:
    """Return the gaps of a slice, sorted by time. Each missing candle of the slice is in exactly one gap.

    `times`: the starts of the stored candles (datetime64[ms], in any order).
    `previous`: the gaps of the slice before this fetch. For a candle that is still missing, the count of observations
        continues, and `first_seen` stays the same.

    A fetch is an observation of a missing candle if the exchange answered completely and could have returned the
    candle: the candle has ended, is not before the horizon, and did not arrive as a broken row. A candle in
    `broken_twice` counts as observed twice. The first observation is counted. A later observation is counted if it
    comes at least OBSERVATION_SPACING after the last counted observation.

    The reason of a missing candle is the first of these reasons that applies:

    1. `pre_listing`: the candle ended before the listing. `delisted`: the candle started after the delisting. A stored
       candle proves that the symbol traded. So a candle after a stored candle is never `pre_listing`, and a candle
       before a stored candle is never `delisted`.
    2. `broken_at_source`: the candle is in `evidence.broken_twice`. `quarantined`: the candle is in
       `evidence.quarantined` only.
    3. The previous reason, if it is `no_trades`, `outage`, `halted` or `not_listed`. Also the previous reason
       `pre_listing` or `delisted`, if neither the evidence nor a stored candle contradicts it.
    4. The previous reason, if it is `quarantined` or `broken_at_source` and the exchange did not answer for the candle.
       Exception: a candle before the horizon does not stay `quarantined`, because no correction can come.
    5. `no_trades`: the candle was observed as absent twice. (candles/outages.py later replaces `no_trades` by another
       reason if the silence is unusual.)
    6. `beyond_horizon`: the candle is before the horizon.
    7. `beyond_horizon`, if this was the previous reason, the horizon is not known now, and the exchange did not answer
       for the candle.
    8. `unknown`.

    If a delisting is revoked, the count of observations starts again, because the market was closed during the earlier
    observations. If the function is called again with the same fetch and its own result, the result does not change.
    """
    present = _marked(times, slice_)
    if present.all():
        return []
    known = _paint(previous, slice_, _microseconds(evidence.observed_at))
    findings = _findings(present, slice_, evidence)
    return _gaps(~present, slice_, _observe(known, findings, evidence))


def within(gaps: Sequence[Gap], slice_: Slice, reasons: Container[Reason] = frozenset(Reason)) -> Mask:
    """Return a mask of the day's candles. A candle is marked if it is in a gap with one of `reasons`."""
    mask = np.zeros(slice_.expected, np.bool_)
    for gap, cells in _places(gaps, slice_):
        if gap.reason in reasons:
            mask[cells] = True
    return mask


def reclassified(gaps: Sequence[Gap], slice_: Slice, masks: Mapping[Reason, Mask]) -> list[Gap]:
    """Return the gaps of a slice with new reasons after a decision about its silences.

    `masks`: for each reason, the candles that get this reason. Each mask has one cell for each candle of the day, and
        the masks do not overlap.

    Only candles with a reason in CONFIRMED_ABSENT get a new reason: the reason of the mask that contains the candle, or
    `no_trades` if no mask contains it.
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
    """Return the gaps of a slice with new reasons, because the symbol traded at the instant `traded` (aware, UTC).

    A symbol that traded at this time was not delisted before. So if a missing candle before `traded` has one of
    `reasons`, its reason becomes `unknown`, and the count of its observations starts again.
    """
    cells = _paint(gaps, slice_, 0)
    halted = within(gaps, slice_, reasons) & (np.arange(slice_.expected) < _cell(traded, slice_))
    reason = np.where(halted, _CODES[Reason.UNKNOWN], cells.reason).astype(np.int8)
    observations = np.where(halted, 0, cells.observations)
    return _gaps(within(gaps, slice_), slice_, replace(cells, reason=reason, observations=observations))


_ENOUGH = 2  # after this number of observations, the absence of a candle is final


@dataclass(frozen=True, eq=False)
class _Cells:
    """The facts about each candle of the day, as arrays with one cell for each candle.

    Instants are in microseconds since 1970 UTC.
    """

    reason: NDArray[np.int8]
    observations: Ints
    first_seen: Ints
    last_seen: Ints

    def all(self) -> tuple[NDArray[np.int8], Ints, Ints, Ints]:
        return self.reason, self.observations, self.first_seen, self.last_seen


@dataclass(frozen=True, eq=False)
class _Findings:
    """The evidence of a fetch about each candle of the day, as masks with one cell for each candle."""

    pre_listing: Mask  # the candle is before the listing, and before all stored candles of the day
    perhaps_pre_listing: Mask  # the listing is not known, and the candle is before all stored candles of the day
    delisted: Mask  # the candle is after the delisting, and after all stored candles of the day
    perhaps_delisted: Mask  # the delisting is not known, and the candle is after all stored candles of the day
    quarantined: Mask
    broken_twice: Mask
    beyond: Mask  # the candle is before the horizon
    horizon_is_known: bool
    answered: Mask  # the exchange answered completely, and could have returned the candle


def _findings(present: Mask, slice_: Slice, evidence: Evidence) -> _Findings:
    cells = np.arange(slice_.expected)
    nowhere = np.zeros(len(cells), np.bool_)
    stored = np.flatnonzero(present)
    first, last = (stored[0], stored[-1]) if len(stored) else (len(cells), -1)
    before_all, after_all = cells < first, cells > last
    unlisted = cells < _ended_cells(evidence.listed, slice_) if evidence.listed else nowhere
    delisted = cells >= _cell(evidence.delisted, slice_) if evidence.delisted else nowhere
    beyond = cells < _cell(evidence.horizon, slice_) if evidence.horizon else nowhere
    quarantined = _marked(evidence.quarantined, slice_, exactly=False)
    has_ended = cells < _ended_cells(evidence.observed_at, slice_)
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
        answered=has_ended & ~beyond & ~quarantined & evidence.answered,
    )


def _observe(known: _Cells, findings: _Findings, evidence: Evidence) -> _Cells:
    now = _microseconds(evidence.observed_at)
    taken_back = (known.reason == _CODES[Reason.DELISTED]) & ~findings.delisted & ~findings.perhaps_delisted
    # These candles were broken in earlier answers and are absent now. Observations of a broken candle do not count as
    # observations of an absent candle.
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
    quarantined = known_as(Reason.QUARANTINED) & ~findings.beyond
    still_broken = (quarantined | known_as(Reason.BROKEN_AT_SOURCE)) & silent
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
    """Return the start and end (exclusive) of each run of True cells. A run also ends where a label changes."""
    cut = mask[1:] != mask[:-1]
    for label in labels:
        cut |= label[1:] != label[:-1]
    edges = np.concatenate(([0], np.flatnonzero(cut) + 1, [len(mask)]))
    inside = mask[edges[:-1]]
    return list(zip(edges[:-1][inside].tolist(), edges[1:][inside].tolist(), strict=True))


def _marked(times: Times, slice_: Slice, *, exactly: bool = True) -> Mask:
    """Return a mask of the day's candles. A candle is marked if its start is in `times`.

    If `exactly` is False, a candle is also marked if one of `times` lies between its start and the start of the next
    candle.
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
    """Return the position, among the day's candles, of the first candle that starts at or after the instant.

    If there is no such candle, the result is the number of candles of the day.
    """
    cell = _ceil(instant - slice_.start, slice_.series.timeframe.delta)
    return min(max(cell, 0), slice_.expected)


def _places(gaps: Iterable[Gap], slice_: Slice) -> Iterator[tuple[Gap, slice]]:
    """Yield each gap, together with the positions of the candles that start in the gap."""
    start, step = slice_.start, slice_.series.timeframe.delta
    for gap in gaps:
        yield gap, slice(max(_ceil(gap.start - start, step), 0), max(_ceil(gap.end - start, step), 0))


def _ceil(span: timedelta, step: timedelta) -> int:
    return -(-span // step)


def _ended_cells(instant: datetime, slice_: Slice) -> int:
    """Return the number of the day's candles that have ended by this instant.

    If the instant is before the day, the result is negative. If the instant is after the day, the result is larger than
    the number of candles of the day.
    """
    return (instant - slice_.start) // slice_.series.timeframe.delta


def _microseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def _instant(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
