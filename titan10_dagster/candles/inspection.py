"""What the checks look at: a landed slice reduced to its counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from titan10_dagster.candles.daily import is_beyond_horizon
from titan10_dagster.candles.fetched import FetchRecord
from titan10_dagster.candles.rules import Verdict
from titan10_dagster.candles.slices import Slice


@dataclass(frozen=True)
class SliceInspected:
    """Counts of one slice: `valid` candles, `broken` rows, and how many rows broke each rule.

    `answered`: the exchange answered for all of it. `rotten`: so many rows are broken that none is stored.
    """

    slice: Slice
    valid: int
    broken: int
    counts: Mapping[str, int]
    answered: bool
    beyond_horizon: bool
    rotten: bool
    note: str | None = None

    @property
    def missing(self) -> int:
        return self.slice.expected - self.valid


def unasked(slice_: Slice) -> SliceInspected:
    """A slice that no run has asked for yet."""
    return SliceInspected(
        slice_,
        valid=0,
        broken=0,
        counts={},
        answered=False,
        beyond_horizon=False,
        rotten=False,
        note="not asked for yet",
    )


def inspect(record: FetchRecord, verdict: Verdict, *, rotten: bool) -> SliceInspected:
    """The slice as the checks see it."""
    return SliceInspected(
        slice=record.slice,
        valid=len(verdict.valid),
        broken=len(verdict.broken),
        counts=verdict.counts,
        answered=record.answered,
        beyond_horizon=is_beyond_horizon(record),
        rotten=rotten,
        note=record.note,
    )
