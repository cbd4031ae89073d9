"""The table of the candle rules, and the function that checks a slice against the rules.

A row that breaks a rule is written to quarantine, together with the names of the rules that it breaks. The other rows
of the slice are stored. To add a rule, write a function that finds the rows that break it, and add a row to the table
RULES. The asset checks, their descriptions and the parameters of tests are generated from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import compress

import numpy as np

from titan10_dagster.candles.columns import Candles, Mask
from titan10_dagster.candles.scaling import is_representable
from titan10_dagster.candles.slices import Slice, to_datetime64, to_ms


class Concern(StrEnum):
    """The subject of a rule: the values of a candle, or its time. Each concern has its own asset check."""

    VALUE = "value"
    TIME = "time"


@dataclass(frozen=True)
class Rule:
    """A rule that every candle must follow.

    sentence: the rule as a sentence about a valid candle.
    breaks: a function that returns a mask of the rows that break the rule. Its arguments are the candles (sorted by
        time, without exact repetitions), the slice to which the candles should belong, and the time of the fetch.
    among_others: whether the rule compares rows with each other. If True, the rule gets only the rows that break no
        other rule, because a broken row could make a valid row count as broken.
    """

    name: str
    concern: Concern
    sentence: str
    breaks: Callable[[Candles, Slice, datetime], Mask]
    among_others: bool = False


def _not_finite(c: Candles, slice_: Slice, now: datetime) -> Mask:
    # If the sum of a row is finite, all its values are finite. So it is usually enough to test the sums. But a sum of
    # finite values can overflow. Therefore, if a sum is not finite, every value is tested.
    with np.errstate(over="ignore", invalid="ignore"):
        suspect: Mask = ~np.isfinite(c.open + c.high + c.low + c.close + c.volume)
    if suspect.any():
        suspect = ~np.all(np.isfinite(c.values), axis=0)
    return suspect


def _price_not_positive(c: Candles, slice_: Slice, now: datetime) -> Mask:
    return (c.open <= 0) | (c.high <= 0) | (c.low <= 0) | (c.close <= 0)


def _volume_negative(c: Candles, slice_: Slice, now: datetime) -> Mask:
    return c.volume < 0


def _high_below_low(c: Candles, slice_: Slice, now: datetime) -> Mask:
    return c.high < c.low


def _open_outside_range(c: Candles, slice_: Slice, now: datetime) -> Mask:
    return (c.open > c.high) | (c.open < c.low)


def _close_outside_range(c: Candles, slice_: Slice, now: datetime) -> Mask:
    return (c.close > c.high) | (c.close < c.low)


def _not_representable(c: Candles, slice_: Slice, now: datetime) -> Mask:
    unfit: Mask = ~(is_representable(c.values[:4]) & is_representable(c.values[4:]))
    if unfit.any():
        # Rows with NaN, infinity, a price of zero or less, or a negative volume break other rules. They do not count
        # here.
        unfit &= np.isfinite(c.values).all(axis=0) & (c.values[:4] > 0).all(axis=0) & (c.volume >= 0)
    return unfit


def _off_grid(c: Candles, slice_: Slice, now: datetime) -> Mask:
    # Every timeframe divides the day. Therefore a candle is on the grid of its day if its distance from 1970 is a
    # multiple of the timeframe.
    off: Mask = c.times.view(np.int64) % slice_.series.timeframe.ms != 0
    return off


def _outside_window(c: Candles, slice_: Slice, now: datetime) -> Mask:
    return (c.times < to_datetime64(slice_.start)) | (c.times >= to_datetime64(slice_.end))


def _in_future(c: Candles, slice_: Slice, now: datetime) -> Mask:
    return c.times.view(np.int64) > to_ms(now) - slice_.series.timeframe.ms


def _conflicting_duplicates(c: Candles, slice_: Slice, now: datetime) -> Mask:
    mask = np.zeros(len(c), dtype=np.bool_)
    same = c.times[1:] == c.times[:-1]
    mask[1:] |= same
    mask[:-1] |= same
    return mask


RULES: tuple[Rule, ...] = (
    Rule("not_finite", Concern.VALUE, "Every value is a finite number.", _not_finite),
    Rule("price_not_positive", Concern.VALUE, "Open, high, low and close are above zero.", _price_not_positive),
    Rule("volume_negative", Concern.VALUE, "The volume is not below zero.", _volume_negative),
    Rule("high_below_low", Concern.VALUE, "The high is not below the low.", _high_below_low),
    Rule("open_outside_range", Concern.VALUE, "The open lies between the low and the high.", _open_outside_range),
    Rule("close_outside_range", Concern.VALUE, "The close lies between the low and the high.", _close_outside_range),
    Rule("not_representable", Concern.VALUE, "The table can store the values exactly.", _not_representable),
    Rule("off_grid", Concern.TIME, "The candle starts a whole number of timeframes after midnight UTC.", _off_grid),
    Rule("outside_window", Concern.TIME, "The candle starts on the slice's own UTC day.", _outside_window),
    Rule("in_future", Concern.TIME, "The candle had ended when it was fetched.", _in_future),
    Rule(
        "conflicting_duplicates",
        Concern.TIME,
        "No other valid candle with the same time has different values.",
        _conflicting_duplicates,
        among_others=True,
    ),
)


def names_of(concern: Concern) -> frozenset[str]:
    """Return the names of the rules that belong to this concern."""
    return frozenset(rule.name for rule in RULES if rule.concern is concern)


@dataclass(frozen=True, eq=False)
class Broken:
    """Candles that break rules, each with the names of the rules that it breaks."""

    candles: Candles = field(default_factory=Candles.empty)
    rules: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.candles)


@dataclass(frozen=True, eq=False)
class Verdict:
    """The result of checking a slice against the candle rules.

    Exact repetitions of a row are removed first and are not counted.

    valid: the valid candles, sorted by time. All times are different.
    broken: the rows that break a rule.
    counts: for each rule that is broken, the number of rows that break it.
    """

    valid: Candles
    broken: Broken
    counts: Mapping[str, int]

    @property
    def rows(self) -> int:
        return len(self.valid) + len(self.broken)

    @property
    def broken_share(self) -> float:
        """Return the share of broken rows, from 0.0 to 1.0; 0.0 if there are no rows."""
        return len(self.broken) / self.rows if self.rows else 0.0


def judge(candles: Candles, slice_: Slice, now: datetime) -> Verdict:
    """Check the received candles of a slice against every candle rule.

    `now`: the time of the fetch (aware, UTC). A candle that had not ended at this time breaks the rule `in_future`.
    """
    ordered = candles.drop_repeats()
    broken: dict[str, Mask] = {}
    any_broken = np.zeros(len(ordered), np.bool_)
    for rule in sorted(RULES, key=lambda rule: rule.among_others):
        mask = _broken_by(rule, ordered, any_broken, slice_, now)
        if mask.any():
            broken[rule.name] = mask
            any_broken |= mask
    if not broken:
        return Verdict(ordered, Broken(), {})
    return Verdict(
        ordered.where(~any_broken),
        Broken(ordered.where(any_broken), _names(broken, any_broken)),
        {name: int(mask.sum()) for name, mask in broken.items()},
    )


def _broken_by(rule: Rule, candles: Candles, any_broken: Mask, slice_: Slice, now: datetime) -> Mask:
    """Return a mask of the candles that break the rule.

    `any_broken`: a mask of the candles that break at least one of the rules that were checked before.
    """
    if not rule.among_others or not any_broken.any():
        return rule.breaks(candles, slice_, now)
    mask = np.zeros(len(candles), np.bool_)
    mask[~any_broken] = rule.breaks(candles.where(~any_broken), slice_, now)
    return mask


def _names(broken: Mapping[str, Mask], rows: Mask) -> tuple[tuple[str, ...], ...]:
    by_row = zip(*(mask[rows].tolist() for mask in broken.values()), strict=True)
    return tuple(tuple(compress(broken, hits)) for hits in by_row)
